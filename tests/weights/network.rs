//! Extents of maps and preprocessing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vggx::network::{
    ChannelOrder, Convolution, Dense, Extent, Layer, Network, Preprocessing, PreprocessingError,
    PreprocessingOverrides,
};

fn convolution(inputs: usize, outputs: usize) -> Layer {
    Layer::Convolution(Convolution { name: "features".to_owned(), inputs, outputs })
}

fn with_classifier() -> Network {
    let dense =
        |inputs, outputs, relu| Layer::Dense(Dense { name: "classifier".to_owned(), inputs, outputs, relu });
    Network::new(
        vec![
            convolution(3, 4),
            Layer::MaxPool,
            convolution(4, 5),
            Layer::MaxPool,
            Layer::AdaptiveAveragePool { side: 7 },
            dense(5 * 49, 10, true),
            dense(10, 9, false),
        ],
        Preprocessing::default(),
    )
}

fn extent(height: usize, width: usize, channels: usize) -> Extent {
    Extent { height, width, channels }
}

#[test]
fn extents_floor_odd_sizes_and_end_in_one_position_a_class() {
    let extents = with_classifier().extents(15, 22).unwrap();
    let expected = [
        extent(15, 22, 3),
        extent(15, 22, 4),
        extent(7, 11, 4),
        extent(7, 11, 5),
        extent(3, 5, 5),
        extent(7, 7, 5),
        extent(1, 1, 10),
        extent(1, 1, 9),
    ];
    assert_eq!(extents, expected);
}

#[test]
fn an_input_that_a_pool_would_leave_nothing_of_is_refused() {
    let network = with_classifier();
    for (height, width) in [(3, 100), (100, 3), (1, 1), (0, 8), (8, 0), (0, 0)] {
        let message = network.extents(height, width).unwrap_err().to_string();
        assert!(message.contains("smallest that works is 4×4"), "{message}");
        assert!(message.contains(&format!("{height}×{width}")), "{message}");
    }
    assert!(network.extents(4, 4).is_ok());
}

#[test]
fn a_network_without_pools_takes_one_pixel_and_not_none() {
    let network = Network::new(vec![convolution(3, 4)], Preprocessing::default());
    assert_eq!(network.extents(1, 1).unwrap(), [extent(1, 1, 3), extent(1, 1, 4)]);
    assert!(network.extents(0, 1).is_err());
}

#[test]
fn more_pools_than_bits_are_an_error_and_no_overflow() {
    let network = Network::new(vec![Layer::MaxPool; 200], Preprocessing::default());
    assert!(network.extents(usize::MAX - 1, usize::MAX - 1).is_err());
    let network = Network::new(vec![Layer::MaxPool; 63], Preprocessing::default());
    assert_eq!(network.extents(usize::MAX, usize::MAX).unwrap().last(), Some(&extent(1, 1, 0)));
}

proptest! {
    #[test]
    fn extents_work_exactly_from_the_smallest_input_on(
        pools in 0usize..8,
        height in 0usize..300,
        width in 0usize..300,
    ) {
        let layers = (0..pools).flat_map(|_| [convolution(3, 3), Layer::MaxPool]).collect();
        let network = Network::new(layers, Preprocessing::default());
        let (mut rows, mut columns) = (height, width);
        for _ in 0..pools {
            (rows, columns) = (rows / 2, columns / 2);
        }
        match network.extents(height, width) {
            Ok(extents) => prop_assert_eq!(extents.last(), Some(&extent(rows, columns, extents[0].channels))),
            Err(_) => prop_assert!(rows == 0 || columns == 0),
        }
        prop_assert_eq!(network.extents(height, width).is_ok(), rows > 0 && columns > 0);
    }
}

#[test]
fn parametric_layers_know_their_shapes() {
    let network = with_classifier();
    let found: Vec<_> = network
        .parametric()
        .map(|(index, layer)| (index, layer.inputs(), layer.outputs(), layer.fan_in()))
        .collect();
    assert_eq!(found, [(0, 3, 4, 27), (2, 4, 5, 36), (5, 245, 10, 245), (6, 10, 9, 10)]);
    let shapes: Vec<_> = network.parametric().map(|(_, layer)| layer.weight_shape()).collect();
    assert_eq!(shapes, [vec![4, 3, 3, 3], vec![5, 4, 3, 3], vec![10, 245], vec![9, 10]]);
    assert_eq!((network.input_channels(), network.outputs()), (3, 9));
    assert!(network.has_classifier());
}

fn metadata(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const CAFFE: [(&str, &str); 4] = [
    ("channel_order", "bgr"),
    ("pixel_scale", "255"),
    ("mean", "[103.939,116.779,123.68]"),
    ("std", "[1,1,1]"),
];

#[test]
fn preprocessing_is_read_from_json_values_in_strings() {
    let expected = Preprocessing {
        channel_order: ChannelOrder::Bgr,
        pixel_scale: 255.0,
        mean: [103.939, 116.779, 123.68],
        std: [1.0; 3],
    };
    let read = |entries: &[_]| Preprocessing::from_metadata(&metadata(entries)).unwrap();
    assert_eq!(read(&CAFFE), Some(expected));
    let mut quoted = CAFFE;
    quoted[0].1 = "\"BGR\"";
    assert_eq!(read(&quoted), Some(expected));
    assert_eq!(read(&[("architecture", "vgg16")]), None);
}

#[test]
fn preprocessing_that_cannot_be_used_names_its_key() {
    let refused = [
        ("channel_order", "grb"),
        ("channel_order", "7"),
        ("pixel_scale", "0"),
        ("pixel_scale", "-255"),
        ("pixel_scale", "\"255\""),
        ("pixel_scale", "1e300"),
        ("pixel_scale", "NaN"),
        ("mean", "[1,2]"),
        ("mean", "[1,2,3,4]"),
        ("mean", "103"),
        ("mean", "null"),
        ("mean", "[1,2,1e39]"),
        ("std", "[1,0,1]"),
        ("std", "[1,-0.0,1]"),
        ("std", "[1,1e-40,1]"),
        ("std", "[1,1e999,1]"),
        ("std", ""),
    ];
    for (key, value) in refused {
        let entries = CAFFE.map(|entry| if entry.0 == key { (key, value) } else { entry });
        match Preprocessing::from_metadata(&metadata(&entries)) {
            Err(PreprocessingError::Value { key: named, .. }) => assert_eq!(named, key, "{value}"),
            other => panic!("{key} {value}: {other:?}"),
        }
    }
}

#[test]
fn half_a_preprocessing_is_not_completed_by_guessing() {
    for (missing, _) in CAFFE {
        let entries: Vec<_> = CAFFE.into_iter().filter(|(key, _)| *key != missing).collect();
        assert_eq!(
            Preprocessing::from_metadata(&metadata(&entries)),
            Err(PreprocessingError::Incomplete { key: missing })
        );
    }
    let message = PreprocessingError::Incomplete { key: "pixel_scale" }.to_string();
    assert!(message.contains("--pixel-scale"), "{message}");
}

#[test]
fn overrides_replace_what_they_state_and_are_checked() {
    let overrides = PreprocessingOverrides {
        pixel_scale: Some(255.0),
        mean: Some([1.0, 2.0, 3.0]),
        ..Default::default()
    };
    let expected = Preprocessing { pixel_scale: 255.0, mean: [1.0, 2.0, 3.0], ..Default::default() };
    assert_eq!(overrides.apply(Preprocessing::default()), Ok(expected));
    for std in [[1.0, f32::NAN, 1.0], [0.0; 3], [f32::INFINITY; 3]] {
        let overrides = PreprocessingOverrides { std: Some(std), ..Default::default() };
        assert!(overrides.apply(Preprocessing::default()).is_err(), "{std:?}");
    }
}
