//! What tells a run from others, as its file and its checkpoint keep it.

use super::Options;
use crate::evaluate::perturb::{Curve, PerturbSettings};
use crate::patterns::Patterns;
use crate::weights::Weights;
use serde_json::{Map, Value, json};

/// All that decides the curve of an image, by option.
pub fn identity(
    options: &Options,
    settings: &PerturbSettings,
    weights: &Weights,
    patterns: Option<&Patterns>,
    (target, labels): (Option<usize>, Option<&[String]>),
    precision: &str,
) -> Map<String, Value> {
    let preprocessing = settings.preprocessing.to_json();
    let mut run: Map<String, Value> =
        preprocessing.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
    let mut insert = |name: &str, value: Value| run.insert(name.to_owned(), value);
    insert("weights", json!(weights.digest()));
    if let Some(patterns) = patterns {
        insert("patterns", json!(patterns.digest()));
    }
    insert("curves", json!(settings.curves.iter().map(Curve::to_string).collect::<Vec<_>>()));
    // A label by its place: another file of labels may give it another one.
    insert("target", json!(target.map_or_else(|| options.target.to_string(), |target| target.to_string())));
    insert("mode", json!(settings.mode.to_string()));
    insert("patch", json!(options.patch));
    insert("steps", json!(settings.counts));
    insert("replace", json!(settings.replacement.to_string()));
    insert("seed", json!(options.seed));
    insert("resize", json!(options.images.resize));
    insert("crop", json!(options.images.crop));
    insert("max-pixels", json!(options.images.max_pixels));
    insert("labels", json!(labels));
    insert("precision", json!(precision));
    insert("version", json!(env!("CARGO_PKG_VERSION")));
    run
}
