//! What tells one run that sums moments from others.

use super::images::ImageOptions;
use crate::images::{Shard, Survey};
use crate::weights::Weights;
use serde_json::{Map, Value, json};

/// What is summed over.
#[derive(Clone, Copy)]
pub struct Sampling<'a> {
    pub images: &'a ImageOptions,
    /// Random crops an image; none: one from the centre.
    pub crops: Option<u32>,
    /// Of the random crops.
    pub seed: u64,
    pub shard: Shard,
}

/// All that decides the sums of the whole run, by option, and `shard`, `device`, `precision` and `version`, which do not
/// tell runs apart where moments are merged. The images are those of all shards.
pub fn run(
    sampling: &Sampling,
    survey: &Survey,
    weights: &Weights,
    (device, precision): (&str, &str),
) -> Map<String, Value> {
    let preprocessing = weights.network().preprocessing.to_json();
    let mut run: Map<String, Value> =
        preprocessing.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
    let mut insert = |name: &str, value: Value| run.insert(name.to_owned(), value);
    insert("inputs", json!(survey.inputs()));
    insert("files", json!(survey.digest));
    insert("max-pixels", json!(sampling.images.max_pixels));
    insert("weights", json!(weights.digest()));
    insert("crop", json!(sampling.images.crop));
    match sampling.crops {
        None => {
            insert("resize", json!(sampling.images.resize));
        }
        Some(crops) => {
            insert("crops", json!(crops));
            insert("seed", json!(sampling.seed));
        }
    }
    if sampling.shard != Shard::WHOLE {
        insert("shard", json!(sampling.shard.to_string()));
    }
    insert("device", json!(device));
    insert("precision", json!(precision));
    insert("version", json!(env!("CARGO_PKG_VERSION")));
    run
}

/// Key of the number of inputs that failed, in the record of a finished run. It does not tell runs apart.
pub const FAILED: &str = "failed";

/// The first thing in which two runs differ.
pub fn difference(earlier: &Map<String, Value>, now: &Map<String, Value>) -> Option<String> {
    let keys = earlier.keys().chain(now.keys()).filter(|key| *key != FAILED);
    keys.into_iter().find_map(|key| {
        let text = |run: &Map<String, Value>| {
            run.get(key).map_or_else(
                || "nothing".to_owned(),
                |value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
            )
        };
        (earlier.get(key) != now.get(key)).then(|| format!("{key}: {} and now {}", text(earlier), text(now)))
    })
}
