//! PyTorch's files: what PyTorch itself wrote (tests/data/import/pth), what an independent writer makes of the same format, and
//! what is made to do harm.

mod hostile;
mod hostile_files;
pub mod pickle;
mod written;

use std::path::{Path, PathBuf};

use vggx::network::PreprocessingOverrides;
use vggx::weights::{Format, Weights};

use crate::fuzz::{fuzz, measured, use_weights};
use crate::responses::{difference, responses};

/// Of float32 through up to 19 layers, with batch normalisation folded; measured: see the test's output.
const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/pth")
}

#[test]
fn the_same_responses_as_pytorch() {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = expected["files"].as_object().unwrap();
    assert_eq!(files.len(), 17);
    for (file, expected) in files {
        let logits: Vec<f64> = serde_json::from_value(expected["logits"].clone()).unwrap();
        let path = folder().join(file);
        let difference = difference(&responses(&path), &logits);
        println!("{file}: {difference:.1e}");
        assert!(difference < TOLERANCE, "{file}: {difference:e}");

        let weights = Weights::open(&path, &PreprocessingOverrides::default()).unwrap();
        let legacy =
            ["legacy.pth", "strided_legacy.pth", "vgg13.pth", "vgg13_bn.pth"].contains(&file.as_str());
        assert_eq!(weights.format(), if legacy { Format::TorchLegacy } else { Format::Torch }, "{file}");
        if let Some(name) = file.strip_suffix(".pth").filter(|name| name.starts_with("vgg")) {
            assert_eq!(weights.network().architecture, name.trim_end_matches("_bn"));
        }
    }
}

#[test]
fn hostile_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pth");
    for hostile::Hostile { title, bytes, message } in hostile::all() {
        std::fs::write(&path, &bytes).unwrap();
        let (result, excess) =
            measured(|| Weights::open(&path, &PreprocessingOverrides::default()).map(drop));
        let error = result.expect_err(&title).to_string();
        assert!(error.contains(message), "{title}: {error}");
        assert!(error.chars().count() < 1000, "{title}: {error}");
        assert!(!error.chars().any(char::is_control), "{title}: {error:?}");
        assert_eq!(excess, None, "{title}");
    }
}

#[test]
fn truncated_files_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("truncated.pth");
    for file in ["vgg11.pth", "legacy.pth", "protocol4.pth", "strided_legacy.pth"] {
        let bytes = std::fs::read(folder().join(file)).unwrap();
        for length in (1..bytes.len()).step_by(23).chain([bytes.len() - 1]) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let result = Weights::open(&path, &PreprocessingOverrides::default());
            assert!(result.is_err(), "{length} bytes of {file}");
        }
    }
}

#[test]
fn changed_files_are_read_or_refused() {
    // Without checksums, and without a zip archive around them: changes reach the pickles.
    let files = [
        "no_checksums.pth",
        "legacy.pth",
        "strided_legacy.pth",
        "vgg11.pth",
        "protocol4.pth",
        "training.pth",
    ];
    let good: Vec<_> = files.iter().map(|file| std::fs::read(folder().join(file)).unwrap()).collect();
    fuzz("pth", &good, use_weights);
}
