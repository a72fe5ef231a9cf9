//! Files of named tensors beyond the plain ones: batch normalisation, prefixes, a classifier of NaN, writing them again.

use std::path::Path;

use safetensors::Dtype;
use vggx::network::{ChannelOrder, Layer, Preprocessing, PreprocessingOverrides};
use vggx::weights::{TensorFile, Weights};

use crate::support::{Model, Random, VARIANTS, open};

/// A VGG with batch normalisation after every convolution under torchvision's numbers, and its tensors folded in float64.
struct Normalised {
    model: Model,
    /// Weight and bias of each convolution.
    folded: Vec<(Vec<f64>, Vec<f64>)>,
}

/// PyTorch's.
const EPSILON: f64 = 1e-5;

fn normalised(blocks: &[usize], bias: bool, seed: u64) -> Normalised {
    let mut random = Random(seed);
    let (mut model, mut folded) = (Model::default(), Vec::new());
    let (mut number, mut channels) = (0, 3);
    for &convolutions in blocks {
        for _ in 0..convolutions {
            let outputs = channels % 5 + 2;
            let mut values = |count: usize, scale: f32, centre: f32| -> Vec<f32> {
                (0..count).map(|_| centre + scale * random.next()).collect()
            };
            let weight = values(outputs * channels * 9, 0.5, 0.0);
            let added = values(outputs, 0.3, 0.1);
            let (gamma, beta) = (values(outputs, 2.0, 0.1), values(outputs, 1.0, 0.0));
            let (mean, variance) = (values(outputs, 1.0, 0.2), values(outputs, 0.4, 0.5));
            let factor =
                |channel: usize| f64::from(gamma[channel]) / (f64::from(variance[channel]) + EPSILON).sqrt();
            let fan_in = channels * 9;
            folded.push((
                weight.iter().enumerate().map(|(i, w)| f64::from(*w) * factor(i / fan_in)).collect(),
                (0..outputs)
                    .map(|i| {
                        let added = if bias { f64::from(added[i]) } else { 0.0 };
                        (added - f64::from(mean[i])) * factor(i) + f64::from(beta[i])
                    })
                    .collect(),
            ));
            model.set(&format!("features.{number}.weight"), &[outputs, channels, 3, 3], weight);
            if bias {
                model.set(&format!("features.{number}.bias"), &[outputs], added);
            }
            let norm = format!("features.{}", number + 1);
            for (suffix, values) in
                [("weight", gamma), ("bias", beta), ("running_mean", mean), ("running_var", variance)]
            {
                model.set(&format!("{norm}.{suffix}"), &[outputs], values);
            }
            model.set(&format!("{norm}.num_batches_tracked"), &[], vec![7.0]);
            (number, channels) = (number + 3, outputs);
        }
        number += 1;
    }
    Normalised { model, folded }
}

/// num_batches_tracked is a whole number, and not read.
fn save(model: &Model, folder: &Path) -> std::path::PathBuf {
    let path = folder.join("normalised.safetensors");
    let dtype = |name: &str| if name.ends_with("tracked") { Dtype::I64 } else { Dtype::F32 };
    std::fs::write(&path, model.mixed_bytes(dtype)).unwrap();
    path
}

#[test]
fn batch_normalisation_is_folded_in_every_variant() {
    let folder = tempfile::tempdir().unwrap();
    for (name, blocks) in VARIANTS {
        for bias in [true, false] {
            let Normalised { model, folded } = normalised(&blocks, bias, 5);
            let weights = open(&save(&model, folder.path())).unwrap();
            weights.check_finite().unwrap();
            assert_eq!(weights.network().architecture, name);
            let plain = Model::vgg(&blocks.map(|count| vec![1; count]), 0, &[], 0);
            let names: Vec<_> =
                weights.network().parametric().map(|(_, layer)| layer.name().to_owned()).collect();
            assert_eq!(names.len(), folded.len());
            assert!(
                names.iter().all(|name| plain.tensors.contains_key(&format!("{name}.weight"))),
                "{names:?}"
            );
            assert_eq!(weights.origins(0).last().unwrap(), "features.1");
            for (layer, (weight, bias)) in folded.iter().enumerate() {
                let tensors = [(weights.weight(layer), weight), (weights.bias(layer), bias)];
                for (tensor, expected) in tensors {
                    for (got, want) in tensor.to_vec().iter().zip(expected) {
                        // Rounded once from float64, whose own error is smaller by 2²⁹.
                        let bound = want.abs() * f64::from(f32::EPSILON) * 0.51 + 1e-45;
                        assert!((f64::from(*got) - want).abs() <= bound, "{name} {layer}: {got} {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn batch_normalisation_that_cannot_be_folded_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = || normalised(&[2, 1], true, 1).model;
    let says = |model: &Model, parts: &[&str]| {
        let message = open(&save(model, folder.path())).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    for suffix in ["weight", "bias", "running_mean", "running_var"] {
        says(&model().without(&format!("features.1.{suffix}")), &["features.1."]);
    }
    says(
        &model().with("features.1.running_var", &[9]),
        &["features.1.running_var", "[9]", "one for each channel"],
    );
    // A negative variance makes no number.
    let mut negative = model();
    let channels = negative.tensors["features.1.running_var"].1.len();
    negative.set("features.1.running_var", &[channels], vec![-1.0; channels]);
    let message = open(&save(&negative, folder.path())).unwrap().check_finite().unwrap_err().to_string();
    assert!(message.contains("features.0.weight") && message.contains("not finite"), "{message}");
    // After a ReLU.
    let mut late = Model::tiny(0);
    for suffix in ["weight", "bias", "running_mean", "running_var"] {
        late = late.with(&format!("features.2.{suffix}"), &[4]);
    }
    says(&late, &["features.2.weight", "does not directly follow"]);
}

/// Batch normalisation of a classifier at a place.
fn classifier(dense: &[usize], number: usize, channels: usize) -> Model {
    let mut model = Model::vgg(&[vec![4]], 1, &[], 3);
    let mut random = Random(9);
    let mut inputs = 4;
    for (index, &place) in dense.iter().enumerate() {
        let outputs = 5 + index;
        let values =
            |count: usize, random: &mut Random| (0..count).map(|_| random.next()).collect::<Vec<_>>();
        model.set(
            &format!("classifier.{place}.weight"),
            &[outputs, inputs],
            values(outputs * inputs, &mut random),
        );
        model.set(&format!("classifier.{place}.bias"), &[outputs], values(outputs, &mut random));
        inputs = outputs;
    }
    for (suffix, value) in
        [("weight", 2.0), ("bias", 0.5), ("running_mean", 0.25), ("running_var", 4.0 - 1e-5)]
    {
        model.set(&format!("classifier.{number}.{suffix}"), &[channels], vec![value; channels]);
    }
    model
}

#[test]
fn batch_normalisation_of_dense_layers_goes_to_the_side_that_names_tell() {
    let folder = tempfile::tempdir().unwrap();
    // y ↦ 1·(y − 0.25) + 0.5, for all channels.
    let near = |got: &[f32], want: Vec<f32>| {
        assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 2e-6), "{got:?} {want:?}");
    };
    // Dense 0, normalised 1, ReLU 2, dense 3: into the first.
    let model = classifier(&[0, 3], 1, 5);
    let weights = open(&save(&model, folder.path())).unwrap();
    near(&weights.bias(1).to_vec(), model.tensors["classifier.0.bias"].1.iter().map(|b| b + 0.25).collect());
    assert_eq!(weights.origins(1), ["classifier.0.weight", "classifier.0.bias", "classifier.1"]);
    // Dense 0, ReLU 1, normalised 2, dense 3: into the second.
    let model = classifier(&[0, 3], 2, 5);
    let weights = open(&save(&model, folder.path())).unwrap();
    let (rows, biases) = (&model.tensors["classifier.3.weight"].1, &model.tensors["classifier.3.bias"].1);
    let expected =
        biases.iter().zip(rows.chunks(5)).map(|(b, row)| b + 0.25 * row.iter().sum::<f32>()).collect();
    near(&weights.bias(2).to_vec(), expected);
    assert_eq!(weights.bias(1).to_vec(), model.tensors["classifier.0.bias"].1);
    // Dense 0, something 1, normalised 2, something 3, dense 4: nobody knows.
    for (dense, number) in [(&[0, 4], 2), (&[0, 2], 1)] {
        let message = open(&save(&classifier(dense, number, 5), folder.path())).unwrap_err().to_string();
        assert!(message.contains("on which side") && message.contains("ONNX"), "{message}");
    }
}

#[test]
fn names_below_a_prefix_are_those_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::tiny_classifier(2);
    let (plain, digest) = {
        // The same file is written again and again.
        let weights = model.open(folder.path()).unwrap();
        (weights.network().clone(), weights.digest())
    };
    for prefix in ["module.", "timm_model.", "vgg.backbone.", "_orig_mod.module."] {
        let mut below = Model::default();
        for (name, (shape, values)) in &model.tensors {
            below.set(&format!("{prefix}{name}"), shape, values.clone());
        }
        let weights = below.open(folder.path()).unwrap();
        assert_eq!(*weights.network(), plain);
        assert_eq!(weights.digest(), digest);
        assert!(weights.notes().iter().any(|note| note.contains(prefix)), "{:?}", weights.notes());
        assert_eq!(weights.weight(0).name(), format!("{prefix}features.0.weight"));
        // A classifier of somebody's own stands beside the features.
        let beside = below.renamed(&format!("{prefix}classifier.6.weight"), "classifier.6.weight");
        assert_eq!(beside.open(folder.path()).unwrap().digest(), digest);
        let twice = beside.clone().with(&format!("{prefix}classifier.6.weight"), &[8, 7]);
        let message = twice.open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("classifier.6.weight"), "{message}");
        // Two networks.
        let two = beside.with("other.features.0.weight", &[4, 3, 3, 3]);
        let message = two.open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("save one of them alone"), "{message}");
    }
}

#[test]
fn what_names_do_not_tell_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let told = |model: &Model| {
        let weights = model.open(folder.path()).unwrap();
        weights.notes().iter().any(|note| note.contains("between layers"))
    };
    assert!(told(&Model::tiny(1)));
    assert!(!told(&Model::tiny(1).with_metadata("architecture", "mine")));
    let vgg11 = VARIANTS[0].1.map(|count| vec![2; count]);
    assert!(!told(&Model::vgg(&vgg11, 1, &[4], 1)));
}

#[test]
fn a_classifier_without_a_number_is_one_dense_layer() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::vgg(&[vec![4], vec![5]], 2, &[7], 2);
    let expected = model.open(folder.path()).unwrap().digest();
    let bare = model
        .renamed("classifier.0.weight", "classifier.weight")
        .renamed("classifier.0.bias", "classifier.bias");
    let weights = bare.open(folder.path()).unwrap();
    assert_eq!((weights.digest(), weights.network().outputs()), (expected, 7));
}

#[test]
fn the_features_module_alone_is_a_headless_network() {
    let folder = tempfile::tempdir().unwrap();
    let (mut alone, mut whole) = (Model::default(), Model::default());
    for (name, (shape, values)) in &Model::tiny(2).tensors {
        alone.set(name.strip_prefix("features.").unwrap(), shape, values.clone());
        whole.set(name, shape, values.clone());
    }
    let expected = whole.open(folder.path()).unwrap().digest();
    let weights = alone.open(folder.path()).unwrap();
    assert_eq!(weights.digest(), expected);
    assert!(!weights.network().has_classifier());
}

#[test]
fn a_classifier_of_nan_makes_a_headless_network_with_caffes_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::tiny_classifier(2);
    let names: Vec<String> =
        model.tensors.keys().filter(|name| name.starts_with("classifier")).cloned().collect();
    for name in &names {
        model.tensors.get_mut(name).unwrap().1.fill(f32::NAN);
    }
    let weights = model.open(folder.path()).unwrap();
    weights.check_finite().unwrap();
    assert!(!weights.network().has_classifier() && weights.network().outputs() == 5);
    assert!(weights.notes()[0].contains("NaN") && weights.notes()[0].contains("without a classifier"));
    // Pixels of 0 to 255 less the mean, red first.
    let input = weights.network().preprocessing.normalise(&[0, 100, 255]);
    let expected = [-0.48235 * 255.0, 100.0 - 0.45882 * 255.0, 255.0 - 0.40784 * 255.0];
    assert!(input.iter().zip(expected).all(|(got, want)| (got - want).abs() < 1e-3), "{input:?}");
    assert!(weights.preprocessing_origin().contains("Caffe"));
    // One number among them, and they are damaged instead.
    model.tensors.get_mut("classifier.6.bias").unwrap().1[3] = 1.0;
    let message = model.open(folder.path()).unwrap().check_finite().unwrap_err().to_string();
    assert!(message.contains("classifier.0.weight") && message.contains("NaN"), "{message}");
}

#[test]
fn what_is_written_again_is_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written.safetensors");
    let again = |weights: &Weights| {
        weights.save(&written).unwrap();
        let read = open(&written).unwrap();
        assert_eq!(read.network(), weights.network());
        assert_eq!(read.digest(), weights.digest());
        for (layer, (_, of)) in read.network().parametric().enumerate() {
            assert_eq!(read.weight(layer).bytes(), weights.weight(layer).bytes());
            assert_eq!(read.bias(layer).bytes(), weights.bias(layer).bytes());
            assert_eq!(read.weight(layer).name(), format!("{}.weight", of.name()));
        }
        let file = TensorFile::open(&written).unwrap();
        for key in ["architecture", "channel_order", "pixel_scale", "mean", "std", "source"] {
            assert!(file.metadata().contains_key(key), "{key}");
        }
        assert!(read.preprocessing_origin().starts_with("from the file's metadata, and before: "));
        let bytes = std::fs::read(&written).unwrap();
        read.save(&folder.path().join("twice.safetensors")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("twice.safetensors")).unwrap(), bytes);
        read
    };
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for timm in [false, true] {
            let model = Model::tiny_classifier(4);
            let model = if timm { model.timm(2) } else { model };
            let overrides = PreprocessingOverrides {
                channel_order: Some(ChannelOrder::Bgr),
                std: Some([0.1, 0.25, 3.0]),
                ..Default::default()
            };
            let weights = Weights::open(&model.save(folder.path(), "model", dtype), &overrides).unwrap();
            again(&weights);
        }
    }
    again(&open(&save(&normalised(&[1, 2], false, 3).model, folder.path())).unwrap());

    // What names do not tell is in the metadata: no max-pool at the end, labels.
    let labels = serde_json::json!((0..8).map(|index| format!("class {index}")).collect::<Vec<_>>());
    let model = Model::tiny_classifier(4)
        .with_metadata("last_max_pool", "false")
        .with_metadata("labels", &labels.to_string())
        .with_metadata("licence", "mine")
        .with_metadata("format", "pt");
    let read = again(&model.open(folder.path()).unwrap());
    assert_eq!(read.network().layers.iter().filter(|layer| **layer == Layer::MaxPool).count(), 1);
    assert_eq!(read.labels().unwrap()[7], "class 7");
    assert_eq!(read.metadata()["licence"], "mine");
    assert!(!read.metadata().contains_key("format"));
    assert_eq!(read.network().preprocessing, Preprocessing::default());
}

#[test]
fn convolutions_of_one_pixel_are_the_middle_of_larger_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::tiny(1);
    let values: Vec<f32> = (1..=20).map(|value| value as f32).collect();
    model.set("features.3.weight", &[5, 4, 1, 1], values.clone());
    let weights = model.open(folder.path()).unwrap();
    assert_eq!(weights.weight(1).shape(), [5, 4, 3, 3]);
    for (kernel, value) in weights.weight(1).to_vec().chunks(9).zip(values) {
        let mut expected = [0.0; 9];
        expected[4] = value;
        assert_eq!(kernel, expected);
    }
}
