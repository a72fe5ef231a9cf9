//! The files vggx is delivered with, and those they were made from.

use half::f16;
use vggx::network::{ChannelOrder, Preprocessing};
use vggx::patterns::{Component, Patterns};
use vggx::weights::{ElementType, bundled};

use crate::support::{self, open, shared};

const CAFFE: Preprocessing = Preprocessing {
    channel_order: ChannelOrder::Bgr,
    pixel_scale: 255.0,
    mean: [103.939, 116.779, 123.68],
    std: [1.0; 3],
};

#[test]
fn the_bundled_network_is_vgg16_without_a_classifier() {
    let Some(path) = support::bundled(bundled::WEIGHTS) else {
        return;
    };
    let weights = open(&path).unwrap();
    weights.check_finite().unwrap();
    let network = weights.network();
    assert_eq!(network.architecture, "vgg16");
    assert_eq!(network.outputs(), 512);
    assert!(!network.has_classifier());
    assert_eq!(network.preprocessing, CAFFE);
    assert!(weights.file().metadata()["licence"].starts_with("CC BY 4.0"));
    assert!(weights.file().metadata()["source"].contains("Oxford"));
}

#[test]
fn the_bundled_patterns_are_those_of_the_bundled_network() {
    let (Some(path), Some(weights)) =
        (support::bundled(bundled::PATTERNS), support::bundled(bundled::WEIGHTS))
    else {
        return;
    };
    let weights = open(&weights).unwrap();
    let patterns = Patterns::open(&path, &weights).unwrap();
    assert_eq!(patterns.centering(), Some("global"));
    assert_eq!(patterns.metadata("images"), Some("168"));
    assert!(patterns.fingerprint_text().is_some());
    assert_eq!(patterns.tensors(Component::Positive).unwrap().len(), 13);
    let positions: serde_json::Value = serde_json::from_str(patterns.metadata("positions").unwrap()).unwrap();
    assert_eq!(positions["features.0"], 168 * 224 * 224);
    assert_eq!(positions["features.28"], 168 * 14 * 14);
}

#[test]
fn the_shared_data_open_and_the_bundled_files_are_their_rounded_copies() {
    let (Some(original), Some(original_patterns)) = (
        shared("vgg16_imagenet_features.safetensors"),
        shared("vgg16_imagenet_features_patterns.safetensors"),
    ) else {
        return;
    };
    let original = open(&original).unwrap();
    original.check_finite().unwrap();
    assert_eq!(original.network().architecture, "vgg16");
    assert_eq!(original.network().preprocessing, CAFFE);
    let original_patterns = Patterns::open(&original_patterns, &original).unwrap();
    let positive = original_patterns.tensors(Component::Positive).unwrap();
    assert_eq!(original_patterns.tensors(Component::Linear).unwrap().len(), 13);
    assert!(original_patterns.tensors(Component::Negative).is_err());

    let (Some(rounded), Some(patterns)) =
        (support::bundled(bundled::WEIGHTS), support::bundled(bundled::PATTERNS))
    else {
        return;
    };
    let rounded = open(&rounded).unwrap();
    assert!(rounded.fingerprint().matches(original.fingerprint()));
    for layer in 0..13 {
        for (rounded, original) in
            [(rounded.weight(layer), original.weight(layer)), (rounded.bias(layer), original.bias(layer))]
        {
            assert_eq!(rounded.element(), ElementType::F16);
            assert_eq!(rounded.name(), original.name());
            let expected: Vec<f32> =
                original.to_vec().into_iter().map(|value| f16::from_f32(value).to_f32()).collect();
            assert!(rounded.to_vec() == expected, "{rounded:?}");
        }
    }
    // The bundled patterns are for the float32 original too.
    let patterns = Patterns::open(&patterns, &original).unwrap();
    for (bundled, original) in patterns.tensors(Component::Positive).unwrap().iter().zip(positive) {
        assert!(bundled.bytes() == original.bytes(), "{bundled:?}");
    }
}
