//! The options of a call as its output folder keeps them: its identity, and what `run.json` tells.

use super::Options;
use super::choices::Choices;
use crate::explain::{Kind, Method};
use crate::output::resume::Identity;
use crate::output::run_record::Fingerprints;
use crate::output::{Format, path_text};
use crate::patterns::Patterns;
use crate::weights::Weights;
use serde_json::json;
use std::path::Path;

/// All that decides the outputs of an image, by option; what none of the methods and formats depends on is left out.
pub fn identity(
    options: &Options,
    choices: &Choices,
    weights: &Weights,
    target: Option<usize>,
    fingerprints: &Fingerprints,
    precision: &str,
) -> Identity {
    let Choices { methods, formats, store, .. } = choices;
    let mut identity = preprocessing(weights);
    let mut insert = |name: &str, value| identity.insert(name.to_owned(), value);
    insert("weights", json!(fingerprints.weights));
    // A label by its place: another file of labels may give it another one.
    insert("target", json!(target.map_or_else(|| options.target.to_string(), |target| target.to_string())));
    insert("resize", json!(options.images.resize));
    insert("crop", json!(options.images.crop));
    insert("precision", json!(precision));
    insert("layout", json!("files"));
    if let Some(patterns) = &fingerprints.patterns {
        insert("patterns", json!(patterns));
    }
    if methods.iter().any(|method| method.needs_seed()) {
        insert("seed", json!(options.seed));
    }
    let heat_maps = methods.iter().any(|method| method.kind() == Kind::Attribution);
    if heat_maps && formats.contains(&Format::Png) {
        insert("gamma", json!(options.gamma));
    }
    if choices.arrays() {
        insert("store", json!(store.element.to_string()));
        insert("heat-maps", json!(store.heat_maps));
    }
    identity
}

/// The preprocessing by the names of its options.
fn preprocessing(weights: &Weights) -> Identity {
    let values = weights.network().preprocessing.to_json();
    values.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect()
}

/// The options as `run.json` records them: what was used, defaults included.
pub fn recorded_options(
    options: &Options,
    methods: &[Method],
    weights: &Weights,
    patterns: Option<&Patterns>,
    (device, precision): (&str, &str),
) -> Identity {
    let mut recorded = preprocessing(weights);
    let mut insert = |name: &str, value| recorded.insert(name.to_owned(), value);
    let inputs: Vec<String> = options.images.inputs.iter().map(|input| path_text(Path::new(input))).collect();
    insert("inputs", json!(inputs));
    insert("method", json!(methods.iter().map(Method::to_string).collect::<Vec<_>>()));
    insert("weights", json!(path_text(weights.path())));
    insert("patterns", json!(patterns.map(|patterns| path_text(patterns.path()))));
    insert("target", json!(options.target.to_string()));
    insert("labels", json!(options.labels.as_deref().map(path_text)));
    insert("output", json!(path_text(&options.output)));
    insert("format", json!(options.format));
    insert("gamma", json!(options.gamma));
    insert("store", json!(options.store.map(|element| element.to_string())));
    insert("heat-maps", json!(options.heat_maps));
    insert("shard", json!(options.shard.map(|shard| shard.to_string())));
    insert("synthetic", json!(options.synthetic));
    insert("shard-size", json!(options.shard_size));
    insert("rows", json!(options.rows.map(|rows| rows.to_string())));
    insert("resize", json!(options.images.resize));
    insert("crop", json!(options.images.crop));
    insert("max-pixels", json!(options.images.max_pixels));
    insert("device", json!(device));
    insert("precision", json!(precision));
    insert("threads", json!(options.network.device.threads));
    insert("batch", json!(options.batch));
    insert("seed", json!(options.seed));
    insert("overwrite", json!(options.overwrite));
    recorded
}
