//! What onnx.helper writes, and what ONNX Runtime makes of it.

use std::path::Path;

use serde::Deserialize;
use vggx::network::PreprocessingOverrides;
use vggx::weights::Weights;

use super::{TOLERANCE, open, responses, unit};
use crate::libraries;
use crate::responses::difference;

#[derive(Deserialize)]
struct Listed {
    models: Vec<Model>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    own_pixels: bool,
    output: Vec<f64>,
    shape: Vec<usize>,
    /// Whether the tensors beside it are those of the model bit by bit (`exact`) or with batch normalisation `folded` into them.
    tensors: Option<String>,
    labels: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    node: String,
    reason: String,
}

#[test]
fn written_models_are_read_or_refused_as_they_should() {
    let folder = tempfile::tempdir().unwrap();
    if libraries::run("write_onnx.py", &[folder.path()]).is_none() {
        return;
    }
    let text = std::fs::read_to_string(folder.path().join("models.json")).unwrap();
    let listed: Listed = serde_json::from_str(&text).unwrap();
    let mut worst = 0.0_f64;
    for model in &listed.models {
        let path = folder.path().join(format!("{}.onnx", model.name));
        let weights = open(&path, model.own_pixels);
        assert_eq!(weights.labels().map(<[String]>::to_vec), model.labels, "{}", model.name);
        if model.name.starts_with("vgg") {
            assert_eq!(Some(weights.network().architecture.as_str()), model.name.split('_').next());
        }
        if let Some(tensors) = &model.tensors {
            compare(&weights, &path.with_extension("safetensors"), tensors == "exact");
        }
        let difference = difference(&responses(weights), &expected_responses(model));
        worst = worst.max(difference);
        assert!(difference < TOLERANCE, "{}: {difference:e}", model.name);
    }
    println!("{} models, responses differ by at most {worst:.1e}", listed.models.len());
    assert!(listed.models.len() > 80);

    for refused in &listed.refused {
        let path = folder.path().join(format!("{}.onnx", refused.name));
        let error = Weights::open(&path, &unit()).expect_err(&refused.name).to_string();
        let expected = [&refused.node, &refused.reason].iter().all(|part| error.contains(part.as_str()));
        assert!(expected, "{}: {error}", refused.name);
    }
    assert!(listed.refused.len() > 20);
}

/// Outputs, or of a network without a classifier the sums of the final maps.
fn expected_responses(model: &Model) -> Vec<f64> {
    match model.shape[..] {
        [1, channels, height, width] if height * width > 1 => {
            assert_eq!(model.output.len(), channels * height * width);
            model.output.chunks(height * width).map(|map| map.iter().sum()).collect()
        }
        _ => model.output.clone(),
    }
}

/// Compares weights and biases with a safetensors file's. Folded ones were rounded once from float64 on both sides, along different
/// ways: one unit in the last place.
fn compare(weights: &Weights, path: &Path, exact: bool) {
    let theirs =
        Weights::open(path, &PreprocessingOverrides::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(weights.network().layers, theirs.network().layers);
    for layer in 0..weights.network().parametric().count() {
        for (ours, theirs) in
            [(weights.weight(layer), theirs.weight(layer)), (weights.bias(layer), theirs.bias(layer))]
        {
            assert_eq!(ours.shape(), theirs.shape());
            for (ours, theirs) in ours.to_vec().into_iter().zip(theirs.to_vec()) {
                let tolerance = if exact { 0.0 } else { f32::EPSILON * theirs.abs() };
                assert!((ours - theirs).abs() <= tolerance, "{}: {ours} {theirs}", path.display());
            }
        }
    }
}
