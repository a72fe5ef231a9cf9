//! Recognising networks from names and shapes.

use proptest::prelude::*;
use safetensors::Dtype;
use vggx::network::{ChannelOrder, Layer, Network, Preprocessing, PreprocessingOverrides};
use vggx::weights::Weights;

use crate::support::{Model, VARIANTS, open};

/// Layers in one line: c8 for a convolution of 8 channels, M, A7 for a grid of 7×7, d10r and d10 with and without ReLU.
fn summary(network: &Network) -> String {
    let layers: Vec<_> = network
        .layers
        .iter()
        .map(|layer| match layer {
            Layer::Convolution(layer) => format!("c{}", layer.outputs),
            Layer::MaxPool => "M".to_owned(),
            Layer::AdaptiveAveragePool { side } => format!("A{side}"),
            Layer::Dense(layer) => {
                format!("d{}{}", layer.outputs, if layer.relu { "r" } else { "" })
            }
        })
        .collect();
    layers.join(" ")
}

#[test]
fn features_alone_are_a_headless_network() {
    let folder = tempfile::tempdir().unwrap();
    let weights = Model::tiny(0).open(folder.path()).unwrap();
    let network = weights.network();
    assert_eq!(summary(network), "c4 M c5 M");
    assert_eq!(network.architecture, "custom");
    assert!(!network.has_classifier());
    assert_eq!(network.outputs(), 5);
    assert_eq!(network.preprocessing, Preprocessing::default());
}

#[test]
fn timm_names_make_the_same_network_as_torchvision_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::tiny_classifier(1);
    let torchvision = model.open(folder.path()).unwrap();
    let timm = open(&model.clone().timm(2).save(folder.path(), "timm", Dtype::F32)).unwrap();
    assert_eq!(summary(timm.network()), "c4 M c5 M A2 d6r d7r d8");
    assert_eq!(timm.network(), torchvision.network());
    for layer in 0..5 {
        let (left, right) = (timm.weight(layer), torchvision.weight(layer));
        assert_eq!(left.shape(), right.shape());
        assert_eq!(left.to_vec(), right.to_vec());
        assert_eq!(timm.bias(layer).to_vec(), torchvision.bias(layer).to_vec());
    }
    assert_eq!(timm.weight(2).name(), "pre_logits.fc1.weight");
}

#[test]
fn any_number_of_dense_layers_and_any_numbers_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let one = Model::vgg(&[vec![4]], 1, &[10], 0);
    assert_eq!(summary(one.open(folder.path()).unwrap().network()), "c4 M A1 d10");
    // Without dropout, torchvision's layout numbers its dense layers 0, 2, 4; with ten of them, 10 comes after 9.
    let mut many = Model::vgg(&[vec![4]], 3, &[9; 6], 0);
    for layer in 1..6 {
        for suffix in ["weight", "bias"] {
            many = many.renamed(
                &format!("classifier.{}.{suffix}", 3 * layer),
                &format!("classifier.{}.{suffix}x", 2 * layer),
            );
        }
    }
    for layer in 1..6 {
        for suffix in ["weight", "bias"] {
            many = many.renamed(
                &format!("classifier.{}.{suffix}x", 2 * layer),
                &format!("classifier.{}.{suffix}", 2 * layer),
            );
        }
    }
    let weights = many.open(folder.path()).unwrap();
    assert_eq!(summary(weights.network()), "c4 M A3 d9r d9r d9r d9r d9r d9");
    let names: Vec<_> = weights.network().parametric().map(|(_, layer)| layer.name().to_owned()).collect();
    assert_eq!(names[5..], ["classifier.8", "classifier.10"]);
}

#[test]
fn element_types_may_differ_between_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::tiny(3);
    let path = folder.path().join("mixed");
    let mixed = |name: &str| match name {
        "features.0.weight" => Dtype::BF16,
        "features.3.weight" => Dtype::F16,
        _ => Dtype::F32,
    };
    std::fs::write(&path, model.mixed_bytes(mixed)).unwrap();
    let weights = open(&path).unwrap();
    assert_eq!(weights.bias(1).to_vec(), model.tensors["features.3.bias"].1);
    let elements: Vec<_> = (0..2).map(|layer| weights.weight(layer).element().to_string()).collect();
    assert_eq!(elements, ["BF16", "F16"]);
}

#[test]
fn preprocessing_comes_from_metadata_under_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let path = Model::tiny(0)
        .with_metadata("channel_order", "bgr")
        .with_metadata("pixel_scale", "255")
        .with_metadata("mean", "[1,2,3]")
        .save(folder.path(), "partial", Dtype::F32);
    let message = open(&path).unwrap_err().to_string();
    assert!(message.contains("--std"), "{message}");
    let overrides =
        PreprocessingOverrides { std: Some([2.0; 3]), pixel_scale: Some(1.0), ..Default::default() };
    let weights = Weights::open(&path, &overrides).unwrap();
    assert_eq!(
        weights.network().preprocessing,
        Preprocessing {
            channel_order: ChannelOrder::Bgr,
            pixel_scale: 1.0,
            mean: [1.0, 2.0, 3.0],
            std: [2.0; 3],
        }
    );
}

#[test]
fn metadata_that_name_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::vgg(&[vec![2; 2], vec![2; 2], vec![2; 3], vec![2; 3], vec![2; 2]], 0, &[], 0);
    let message =
        model.clone().with_metadata("architecture", "vgg16").open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("vgg16") && message.contains("[2, 2, 3, 3, 2]"), "{message}");
    // A name of somebody's own says nothing about layers.
    let own = model.with_metadata("architecture", "my-vgg").open(folder.path());
    assert_eq!(own.unwrap().network().architecture, "custom");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_variant_is_recognised_at_any_widths(
        variant in 0usize..4,
        widths in prop::collection::vec(1usize..7, 16),
        side in 1usize..4,
        dense in prop::collection::vec(1usize..9, 0..5),
        timm in any::<bool>(),
        half in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (name, counts) = VARIANTS[variant];
        let mut rest = widths.iter().copied();
        let blocks: Vec<Vec<usize>> = counts.iter().map(|count| rest.by_ref().take(*count).collect()).collect();
        let mut model = Model::vgg(&blocks, side, &dense, seed).with_metadata("architecture", name);
        if timm && dense.len() == 3 {
            model = model.timm(side);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = model.save(folder.path(), "model", if half { Dtype::F16 } else { Dtype::F32 });
        let weights = open(&path).unwrap();
        weights.check_finite().unwrap();
        let network = weights.network();

        let mut expected: Vec<String> = blocks
            .iter()
            .flat_map(|block| block.iter().map(|width| format!("c{width}")).chain(["M".to_owned()]))
            .collect();
        if let Some((last, hidden)) = dense.split_last() {
            expected.push(format!("A{side}"));
            expected.extend(hidden.iter().map(|width| format!("d{width}r")));
            expected.push(format!("d{last}"));
        }
        prop_assert_eq!(summary(network), expected.join(" "));
        prop_assert_eq!(&network.architecture, name);
        prop_assert_eq!(network.has_classifier(), !dense.is_empty());
        prop_assert_eq!(network.outputs(), *dense.last().unwrap_or(widths.get(counts.iter().sum::<usize>() - 1).unwrap()));
        for (number, (index, layer)) in network.parametric().enumerate() {
            prop_assert!(matches!(network.layers[index], Layer::Convolution(_) | Layer::Dense(_)));
            prop_assert_eq!(weights.weight(number).shape(), layer.weight_shape());
            prop_assert_eq!(weights.weight(number).len(), layer.outputs() * layer.fan_in());
            prop_assert_eq!(weights.bias(number).shape(), [layer.outputs()]);
        }
        let extents = network.extents(37, 65).unwrap();
        prop_assert_eq!(extents.len(), network.layers.len() + 1);
    }
}
