//! Pattern files and the weights they belong to.

#[path = "weights/support.rs"]
mod support;

use std::fs;
use std::path::PathBuf;

use safetensors::Dtype;
use support::{Model, open};
use tempfile::TempDir;
use vggx::patterns::{Component, PatternError, Patterns};
use vggx::weights::{WeightProblem, Weights};

/// A folder, and weights in it.
fn weights(model: &Model) -> (TempDir, Weights) {
    let folder = tempfile::tempdir().unwrap();
    let weights = model.open(folder.path()).unwrap();
    (folder, weights)
}

fn open_patterns(folder: &TempDir, model: &Model, weights: &Weights) -> Result<Patterns, PatternError> {
    Patterns::open(&model.save(folder.path(), "patterns.safetensors", Dtype::F16), weights)
}

#[track_caller]
fn says(error: &PatternError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn patterns_come_in_the_order_and_shape_of_the_layers() {
    let model = Model::vgg(&[vec![4, 4, 4, 4, 4, 4]], 2, &[6, 7, 8], 0);
    let (folder, weights) = weights(&model);
    let stored = model.patterns(&["positive", "negative", "linear"]).with_metadata("centering", "regime");
    let path = stored.save(folder.path(), "patterns", Dtype::F32);
    let patterns = Patterns::open(&path, &weights).unwrap();
    assert_eq!(patterns.centering(), Some("regime"));
    assert_eq!(patterns.fingerprint_text(), None);
    for component in [Component::Positive, Component::Negative, Component::Linear] {
        let tensors = patterns.tensors(component).unwrap();
        let layers: Vec<_> = weights.network().parametric().collect();
        assert_eq!(tensors.len(), layers.len());
        for (tensor, (_, layer)) in tensors.iter().zip(layers) {
            let name = format!("{}.{component}", layer.name());
            assert_eq!(tensor.name(), name);
            assert_eq!(tensor.shape(), layer.weight_shape());
            assert_eq!(tensor.to_vec(), stored.tensors[&name].1);
        }
    }
}

#[test]
fn a_missing_estimator_matters_when_it_is_asked_for() {
    let model = Model::tiny(0);
    let (folder, weights) = weights(&model);
    let stored = model.patterns(&["positive", "linear"]).without("features.3.linear");
    let patterns = open_patterns(&folder, &stored, &weights).unwrap();
    assert_eq!(patterns.tensors(Component::Positive).unwrap().len(), 2);
    says(
        &patterns.tensors(Component::Linear).unwrap_err(),
        &["features.3", "no linear pattern", "positive for 2", "linear for 1"],
    );
    says(&patterns.tensors(Component::Negative).unwrap_err(), &["features.0", "no negative pattern"]);
}

#[test]
fn the_fingerprint_decides_where_there_is_one() {
    let model = Model::tiny_classifier(0);
    let (folder, one) = weights(&model);
    let (_other_folder, other) = weights(&Model::tiny_classifier(1));
    let stored = model.patterns(&["positive"]).with_metadata("fingerprint", &one.fingerprint().to_text());
    let patterns = open_patterns(&folder, &stored, &one).unwrap();
    assert_eq!(patterns.fingerprint_text(), Some(one.fingerprint().to_text().as_str()));
    let error = open_patterns(&folder, &stored, &other).unwrap_err();
    assert!(matches!(error, PatternError::OtherWeights { .. }), "{error}");
    says(&error, &["other weights", "weights.safetensors", "layer 1"]);
    // Without one, shapes are all there is.
    assert!(open_patterns(&folder, &model.patterns(&["positive"]), &other).is_ok());
}

#[test]
fn rounded_copies_and_timm_copies_of_the_weights_take_the_same_patterns() {
    let model = Model::vgg(&[vec![20], vec![30]], 2, &[20, 20, 10], 5);
    let (folder, original) = weights(&model);
    let stored =
        model.patterns(&["positive"]).with_metadata("fingerprint", &original.fingerprint().to_text());
    for (index, copy) in [model.clone(), model.clone().timm(2)].into_iter().enumerate() {
        for dtype in [Dtype::F16, Dtype::BF16] {
            let copy = open(&copy.save(folder.path(), &format!("copy {index}"), dtype)).unwrap();
            let patterns = open_patterns(&folder, &stored, &copy).unwrap();
            assert_eq!(patterns.tensors(Component::Positive).unwrap().len(), 5);
        }
    }
    // And patterns under timm's names, with its shapes, serve both.
    let timm = model.clone().timm(2).patterns(&["positive"]);
    assert_eq!(timm.tensors["pre_logits.fc1.positive"].0, [20, 30, 2, 2]);
    let patterns = open_patterns(&folder, &timm, &original).unwrap();
    let tensors = patterns.tensors(Component::Positive).unwrap();
    assert_eq!(tensors[2].shape(), [20, 120]);
}

#[test]
fn damaged_fingerprints_are_refused() {
    let model = Model::tiny(0);
    let (folder, weights) = weights(&model);
    let deep = "[".repeat(100_000);
    for text in ["", "{", "null", r#"{"version":1,"layers":[{"shape":[4,3,3,3]}]}"#, &deep] {
        let stored = model.patterns(&["positive"]).with_metadata("fingerprint", text);
        let error = open_patterns(&folder, &stored, &weights).unwrap_err();
        assert!(matches!(error, PatternError::Fingerprint { .. }), "{error}");
        says(&error, &["patterns.safetensors", "fingerprint is damaged"]);
    }
    let newer = model.patterns(&["positive"]).with_metadata("fingerprint", r#"{"version":9}"#);
    says(&open_patterns(&folder, &newer, &weights).unwrap_err(), &["version 9"]);
}

#[test]
fn patterns_of_another_network_are_refused() {
    let model = Model::tiny(0);
    let (folder, weights) = weights(&model);
    let wider = Model::vgg(&[vec![4], vec![6]], 0, &[], 0).patterns(&["positive"]);
    let error = open_patterns(&folder, &wider, &weights).unwrap_err();
    says(&error, &["features.3.positive", "[6, 4, 3, 3]", "[5, 4, 3, 3]"]);
    let flat = model.patterns(&["positive"]).with("features.0.positive", &[4, 27]);
    says(&open_patterns(&folder, &flat, &weights).unwrap_err(), &["features.0.positive", "[4, 27]"]);
    for name in ["features.5.positive", "features.0.weight", "features.0.a", "classifier.0.positive"] {
        let extra = model.patterns(&["positive"]).with(name, &[5, 5, 3, 3]);
        let error = open_patterns(&folder, &extra, &weights).unwrap_err();
        assert!(matches!(error, PatternError::UnknownTensor { .. }), "{error}");
        says(&error, &[name, "belongs to no layer", "features.0"]);
    }
    let empty = open_patterns(&folder, &Model::default(), &weights).unwrap_err();
    assert!(matches!(empty, PatternError::Empty { .. }), "{empty}");
}

#[test]
fn values_that_are_not_finite_are_refused_when_they_are_asked_for() {
    let model = Model::tiny(0);
    let (folder, weights) = weights(&model);
    let mut stored = model.patterns(&["positive", "linear"]);
    stored.tensors.get_mut("features.3.linear").unwrap().1[7] = f32::INFINITY;
    let patterns = open_patterns(&folder, &stored, &weights).unwrap();
    patterns.tensors(Component::Positive).unwrap();
    let error = patterns.tensors(Component::Linear).unwrap_err();
    says(&error, &["patterns.safetensors", "features.3.linear", "element 7 is inf"]);
}

#[test]
fn files_that_are_no_patterns_are_refused_like_weights() {
    let model = Model::tiny(0);
    let (folder, weights) = weights(&model);
    let missing: PathBuf = folder.path().join("none");
    let error = Patterns::open(&missing, &weights).unwrap_err();
    says(&error, &["patterns", "none", "no such file"]);
    let bytes = model.patterns(&["positive"]).bytes(Dtype::F16);
    let truncated = folder.path().join("truncated");
    fs::write(&truncated, &bytes[..bytes.len() - 5]).unwrap();
    let error = Patterns::open(&truncated, &weights).unwrap_err();
    assert!(
        matches!(&error, PatternError::File(error) if matches!(error.problem, WeightProblem::DataLength { .. })),
        "{error}"
    );
    let integers = folder.path().join("integers");
    fs::write(&integers, model.patterns(&["positive"]).bytes(Dtype::I32)).unwrap();
    says(&Patterns::open(&integers, &weights).unwrap_err(), &["features.0.positive", "I32"]);
    // Weights are not patterns.
    let path = weights.path().to_owned();
    says(&Patterns::open(&path, &weights).unwrap_err(), &["belongs to no layer"]);
}
