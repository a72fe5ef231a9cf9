//! ONNX files: what PyTorch and tf2onnx export (tests/data/import/onnx), what onnx.helper writes (write_onnx.py), and what is made to do harm.

mod harmful;
mod message;
mod structure;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use vggx::backend::{Backend, Batch, Pixels};
use vggx::explain::on_cpu;
use vggx::network::{Preprocessing, PreprocessingOverrides};
use vggx::weights::{Format, Weights};

use crate::allocations::peak;
use crate::fuzz::{MEMORY, TIME, fuzz_with};
use crate::mutate::{Random, mutated};
use crate::responses::{SIDE, difference, image};

/// Of float32 through up to 19 layers, with batch normalisation folded; measured: at most 7e-6, see the tests' output.
const TOLERANCE: f64 = 1e-5;

/// Pixels of 0 to 1, said by the user.
pub fn unit() -> PreprocessingOverrides {
    let unit = Preprocessing::named("unit").unwrap();
    PreprocessingOverrides {
        channel_order: Some(unit.channel_order),
        pixel_scale: Some(unit.pixel_scale),
        mean: Some(unit.mean),
        std: Some(unit.std),
    }
}

/// Opens a model that says itself how pixels become its input, or is told.
fn open(path: &Path, own_pixels: bool) -> Weights {
    let overrides = if own_pixels { PreprocessingOverrides::default() } else { unit() };
    let weights = Weights::open(path, &overrides).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(weights.format(), Format::Onnx);
    assert_eq!(weights.extent(), Some((SIDE, SIDE)));
    weights
}

fn responses(weights: Weights) -> Vec<f32> {
    let backend = on_cpu(&Arc::new(weights), 1).expect("a network that can run");
    let pixels = image();
    let batch = Batch { images: 1, height: SIDE, width: SIDE, pixels: Pixels::Rgb8(&pixels) };
    let trace = backend.forward(&batch).expect("a batch that can run");
    trace.responses(0).to_vec()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/onnx")
}

#[derive(Deserialize)]
struct Expected {
    own_pixels: bool,
    logits: Vec<f64>,
}

#[test]
fn what_pytorch_and_tf2onnx_export_computes_the_same_as_in_onnx_runtime() {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 29);
    for (file, expected) in expected {
        let path = folder().join(&file);
        let weights = open(&path, expected.own_pixels);
        if let Some(variant) = file.split('_').nth(1).filter(|name| name.starts_with("vgg")) {
            assert_eq!(weights.network().architecture, variant.trim_end_matches(".onnx"), "{file}");
        }
        let difference = difference(&responses(weights), &expected.logits);
        println!("{file}: {difference:.1e}");
        assert!(difference < TOLERANCE, "{file}: {difference:e}");
        // Nobody guesses where the file does not say it.
        let guessed = Weights::open(&path, &PreprocessingOverrides::default());
        assert_eq!(guessed.is_ok(), expected.own_pixels, "{file}");
    }
}

#[test]
fn hostile_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.onnx");
    let mut failures = Vec::new();
    for harmful::Hostile { title, bytes, message } in harmful::all(folder.path()) {
        std::fs::write(&path, &bytes).unwrap();
        let start = Instant::now();
        let (result, memory) = peak(|| Weights::open(&path, &unit()).map(drop));
        let time = start.elapsed();
        let error = result.err().map_or_else(|| "accepted".to_owned(), |error| error.to_string());
        println!("{title}: {time:.1?}, {memory} bytes: {error}");
        let printable = error.chars().count() < 1000 && !error.chars().any(char::is_control);
        if !error.contains(message) || !printable || memory >= MEMORY || time >= TIME {
            failures.push(format!("{title}: {memory} bytes, {time:?}: {error:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The same model, sound: what is refused above is refused for its fault.
#[test]
fn the_model_that_is_made_harmful_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.onnx");
    std::fs::write(&path, message::Model::sound().bytes()).unwrap();
    let weights = Weights::open(&path, &unit()).unwrap();
    assert_eq!(weights.network().outputs(), 2);
    weights.check_finite().unwrap();
}

#[test]
fn truncated_files_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("truncated.onnx");
    let sound = message::Model::sound().bytes();
    // The graph is the last field: nothing that is missing is optional.
    for length in 1..sound.len() {
        std::fs::write(&path, &sound[..length]).unwrap();
        assert!(Weights::open(&path, &unit()).is_err(), "{length} of {} bytes", sound.len());
    }
}

#[test]
fn changed_files_are_read_or_refused() {
    let files = [
        "torch_view_script.onnx",
        "torch_caffe_export.onnx",
        "torch_averaged_export.onnx",
        "tf_vgg16.onnx",
        "tf_caffe.onnx",
    ];
    let mut good: Vec<_> = files.iter().map(|file| std::fs::read(folder().join(file)).unwrap()).collect();
    // Small, so that most changes reach something that counts.
    good.extend(std::iter::repeat_n(message::Model::sound().bytes(), 5));
    let next = |random: &mut Random| match random.below(4) {
        0 => mutated(&good, random),
        _ => structure::mutated(&good[random.below(good.len())], random),
    };
    fuzz_with("onnx", next, |path| {
        let weights = Weights::open(path, &unit()).map_err(|error| error.to_string())?;
        for (number, (_, layer)) in weights.network().parametric().enumerate() {
            assert_eq!(weights.weight(number).len(), layer.outputs() * layer.fan_in());
            assert_eq!(weights.bias(number).len(), layer.outputs());
        }
        let finite = weights.check_finite().is_ok();
        assert!(!finite || weights.fingerprint().matches(weights.fingerprint()));
        Ok(())
    });
}
