//! The file that is written.

use crate::evaluate::randomise::ImageSimilarities;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// randomise.json.
#[derive(Serialize)]
pub struct Document {
    /// `cascading` or `independent`.
    pub scope: &'static str,
    /// From the output on.
    pub layers: Vec<LayerEntry>,
    /// The names of the images that were compared, in the order of the measures' `images`.
    pub images: Vec<String>,
    /// The output that each one's maps explain.
    pub targets: Vec<Option<usize>>,
    pub failed: Vec<FailedEntry>,
    pub run: Map<String, Value>,
}

/// One layer: it is random, and in a cascade all above it.
#[derive(Serialize)]
pub struct LayerEntry {
    /// As in the file of weights.
    pub name: String,
    pub title: String,
    /// By the methods' names.
    pub methods: BTreeMap<String, ImageSimilarities>,
}

/// An input that was left out.
#[derive(Serialize)]
pub struct FailedEntry {
    pub input: String,
    pub error: String,
}
