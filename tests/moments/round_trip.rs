//! What is written is what is read, to the last bit.

use std::fs;

use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use vggx::backend::Moments;
use vggx::network::{ChannelOrder, PreprocessingOverrides};
use vggx::patterns::{LayerSource, MomentError, MomentFile, MomentRecord};
use vggx::weights::Weights;

use crate::samples::{Pieces, Place, random_moments, record, run};
use crate::support::Model;

#[test]
fn moments_come_back_bit_for_bit_with_their_record() {
    let place = Place::new(&Model::tiny_classifier(0));
    let path = place.path().join("m.moments");
    for second in [false, true] {
        let moments = random_moments(&place.weights, 33, second, 7);
        let record = MomentRecord {
            progress: Some(json!({ "next": 3, "of": [1, 2.5, null] })),
            ..record(
                123,
                json!({ "inputs": "a\n\"é\"", "seed": 18_446_744_073_709_551_615_u64, "resize": 0.1 }),
            )
        };
        MomentFile::write(&path, &moments, &record, &place.weights).unwrap();
        let file = MomentFile::open(&path, &place.weights).unwrap();
        assert_eq!(file.read(), moments);
        assert_eq!(*file.record(), record);
        assert_eq!(file.has_second_moments(), second);
        assert_eq!(file.architecture(), Some("custom"));
        assert_eq!(file.fingerprint().to_text(), place.weights.fingerprint().to_text());
        for (number, layer) in moments.layers.iter().enumerate() {
            assert_eq!(*file.layer(number), *layer);
        }
        // Without the weights it is the same.
        let inspected = MomentFile::inspect(&path).unwrap();
        assert_eq!(inspected.read(), moments);
        let layers: Vec<_> = inspected.layers().map(|(name, _, positions)| (name, positions)).collect();
        assert_eq!(layers[0], ("features.0", 33.0));
        assert_eq!(layers.len(), 5);
    }
    assert_eq!(place.names(), ["m.moments", "weights.safetensors"]);
}

/// Writing what was read gives the same file, so a run that goes on from a checkpoint loses nothing.
#[test]
fn the_bytes_depend_on_the_contents_alone() {
    let place = Place::new(&Model::tiny(0));
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    MomentFile::write(&one, &random_moments(&place.weights, 5, true, 1), &run(0), &place.weights).unwrap();
    let file = MomentFile::open(&one, &place.weights).unwrap();
    MomentFile::write(&two, &file, file.record(), &place.weights).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
}

/// Zeros, negative zeros, subnormals and the largest numbers are numbers too.
#[test]
fn extreme_values_are_kept() {
    let place = Place::new(&Model::tiny(0));
    let path = place.path().join("m");
    let mut moments = Moments::zeros(place.weights.network(), false);
    MomentFile::write(&path, &moments, &run(0), &place.weights).unwrap();
    assert_eq!(MomentFile::open(&path, &place.weights).unwrap().read(), moments);
    let values = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -5e-324, 1.0 / 3.0];
    moments.layers[1].negative_xy[..6].copy_from_slice(&values);
    moments.layers[1].positions = 9_007_199_254_740_992.0;
    moments.layers[1].positive_count[0] = 9_007_199_254_740_991.0;
    MomentFile::write(&path, &moments, &run(0), &place.weights).unwrap();
    assert_eq!(MomentFile::open(&path, &place.weights).unwrap().read(), moments);
}

#[test]
fn other_programs_can_read_and_write_the_format() {
    let place = Place::new(&Model::tiny_classifier(0));
    let path = place.path().join("m");
    let moments = random_moments(&place.weights, 12, true, 3);
    MomentFile::write(&path, &moments, &run(0), &place.weights).unwrap();
    let bytes = fs::read(&path).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    let mut count = 0;
    for layer in &moments.layers {
        for field in layer.fields() {
            let tensor = reference.tensor(&format!("{}.{}", layer.name, field.name)).unwrap();
            let expected: Vec<u8> = field.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F64, field.shape.as_slice()));
            assert_eq!(tensor.data(), expected);
            count += 1;
        }
    }
    assert_eq!(reference.len(), count);
    // The checksum is the documented one: another implementation of it makes a file that is accepted.
    let pieces = Pieces::of(&bytes);
    fs::write(&path, pieces.sealed()).unwrap();
    assert_eq!(Pieces::of(&fs::read(&path).unwrap()).metadata["checksum"], pieces.metadata["checksum"]);
    assert_eq!(MomentFile::open(&path, &place.weights).unwrap().read(), moments);
}

#[test]
fn the_preprocessing_is_kept_as_weights_have_it() {
    let place = Place::new(&Model::tiny(0));
    let overrides = PreprocessingOverrides {
        channel_order: Some(ChannelOrder::Bgr),
        pixel_scale: Some(255.0),
        mean: Some([103.939, 116.779, 123.68]),
        std: Some([1.0, 1e-7, 2.0]),
    };
    let weights = Weights::open(place.weights.path(), &overrides).unwrap();
    let path = place.path().join("m");
    MomentFile::write(&path, &random_moments(&weights, 3, false, 0), &run(0), &weights).unwrap();
    let file = MomentFile::open(&path, &weights).unwrap();
    assert_eq!(*file.preprocessing(), weights.network().preprocessing);
}

#[test]
fn copies_of_the_weights_take_the_same_moments() {
    let model = Model::vgg(&[vec![20], vec![30]], 2, &[20, 20, 10], 5);
    let place = Place::new(&model);
    let path = place.path().join("m");
    MomentFile::write(&path, &random_moments(&place.weights, 3, false, 0), &run(0), &place.weights).unwrap();
    let copy = model.timm(2).save(place.path(), "copy", Dtype::F16);
    let copy = crate::support::open(&copy).unwrap();
    assert_eq!(MomentFile::open(&path, &copy).unwrap().layer_count(), 5);
}

/// A checkpoint that cannot be written leaves the last one.
#[test]
fn what_was_there_survives_a_failed_write() {
    let place = Place::new(&Model::tiny(0));
    let path = place.path().join("m");
    let good = random_moments(&place.weights, 9, false, 0);
    MomentFile::write(&path, &good, &run(0), &place.weights).unwrap();
    let former = fs::read(&path).unwrap();
    let refused = |moments: &Moments| {
        let error = MomentFile::write(&path, moments, &run(1), &place.weights).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), former);
        assert_eq!(place.names(), ["m", "weights.safetensors"]);
        error
    };
    let mut bad = good.clone();
    bad.layers[1].negative_xy[4] = f64::NAN;
    let error = refused(&bad);
    assert!(
        matches!(&error, MomentError::Value { tensor, index: 4, .. } if tensor == "features.3.negative.xy")
    );
    let mut bad = good.clone();
    bad.layers[0].positive_count[2] = 10.0;
    assert!(matches!(refused(&bad), MomentError::Value { index: 2, .. }));
    let mut bad = good.clone();
    bad.layers[0].positive_x.pop();
    assert!(matches!(refused(&bad), MomentError::Write { .. }));
    let mut bad = good.clone();
    bad.layers.pop();
    assert!(matches!(refused(&bad), MomentError::LayerCount { found: 1, expected: 2, .. }));
    let mut bad = good;
    bad.layers.swap(0, 1);
    assert!(matches!(refused(&bad), MomentError::OtherNetwork { .. }));
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let place = Place::new(&Model::tiny(0));
    let moments = random_moments(&place.weights, 2, false, 0);
    let taken = place.path().join("taken");
    fs::create_dir_all(taken.join("inner")).unwrap();
    for path in [taken, place.path().join("no/folder")] {
        let error = MomentFile::write(&path, &moments, &run(0), &place.weights).unwrap_err();
        assert!(matches!(error, MomentError::Write { .. }));
        let message = error.to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.contains("is kept"), "{message}");
    }
    assert_eq!(place.names(), ["taken", "weights.safetensors"]);
}
