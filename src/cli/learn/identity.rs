//! What tells one run of `vggx learn` from others.

use super::Options;
use crate::images::{InputImage, Shard};
use crate::weights::Weights;
use serde_json::{Map, Value, json};

/// All that decides the sums of the whole run, by option, and `shard`, `device`, `precision` and `version`, which do not
/// tell runs apart where moments are merged.
pub fn run(
    options: &Options,
    images: &[InputImage],
    weights: &Weights,
    (device, precision): (&str, &str),
) -> Map<String, Value> {
    let mut run = Map::new();
    let mut insert = |name: &str, value: Value| run.insert(name.to_owned(), value);
    insert("inputs", json!(images.len()));
    insert("names", json!(digest(images)));
    insert("weights", json!(weights.digest()));
    insert("crop", json!(options.images.crop));
    match options.crops {
        None => {
            insert("resize", json!(options.images.resize));
        }
        Some(crops) => {
            insert("crops", json!(crops));
            insert("seed", json!(options.seed));
        }
    }
    if let Some(shard) = options.shard.filter(|shard| *shard != Shard::WHOLE) {
        insert("shard", json!(shard.to_string()));
    }
    insert("device", json!(device));
    insert("precision", json!(precision));
    insert("version", json!(env!("CARGO_PKG_VERSION")));
    run
}

/// A short name for a list of images: a hash (FNV-1a, 64 bits) of their names below the directories that were searched,
/// in order.
fn digest(images: &[InputImage]) -> String {
    let hash = images.iter().flat_map(|image| {
        let name = image.name.as_os_str().as_encoded_bytes();
        name.iter().copied().chain([0])
    });
    let hash = hash.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
