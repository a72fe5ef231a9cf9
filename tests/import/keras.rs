//! Keras's files: what two Kerases themselves wrote (tests/data/import/keras), what h5py writes in every way it has
//! (write_keras.py), and what is made to do harm.

mod configurations;
mod hostile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use vggx::backend::{Backend, Batch, Pixels};
use vggx::explain::on_cpu;
use vggx::network::{ChannelOrder, ParametricLayer, PreprocessingOverrides};
use vggx::weights::{Format, Weights};

use crate::allocations::peak;
use crate::fuzz::{MEMORY, TIME, fuzz, use_weights};
use crate::libraries;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/keras")
}

fn open(path: &Path) -> Result<Weights, vggx::weights::WeightError> {
    Weights::open(path, &PreprocessingOverrides::default())
}

/// What Keras's logits are for the image of [`pixels`]; where there is no classifier, its map.
#[derive(Deserialize)]
struct Expected {
    side: usize,
    caffe: bool,
    outputs: Vec<f64>,
}

fn expected() -> BTreeMap<String, Expected> {
    ["expected_2.json", "expected_3.json"]
        .into_iter()
        .flat_map(|name| {
            let text = std::fs::read_to_string(folder().join(name)).unwrap();
            serde_json::from_str::<BTreeMap<String, Expected>>(&text).unwrap()
        })
        .collect()
}

/// The pixels that `tests/data/import/keras/write_keras.py` makes, \[row\]\[column\]\[red, green, blue\].
fn pixels(side: usize) -> Vec<u8> {
    let places = (0..side).flat_map(|row| (0..side).map(move |column| (row, column)));
    places
        .flat_map(|(row, column)| {
            (0..3).map(move |channel| ((37 * row + 91 * column + 53 * channel + row * column) % 256) as u8)
        })
        .collect()
}

fn responses(weights: Weights, side: usize) -> Vec<f64> {
    let backend = on_cpu(&Arc::new(weights), 1).expect("a network that can run");
    let pixels = pixels(side);
    let batch = Batch { images: 1, height: side, width: side, pixels: Pixels::Rgb8(&pixels) };
    let trace = backend.forward(&batch).expect("a batch that can run");
    assert!(trace.failure(0).is_none());
    trace.responses(0).iter().map(|&value| f64::from(value)).collect()
}

#[test]
fn the_same_logits_as_keras() {
    // Of float32 in both, with batch normalisation and preprocessing folded; measured: at most 7e-7.
    const TOLERANCE: f64 = 1e-5;
    let expected = expected();
    assert_eq!(expected.len(), 15);
    for (file, Expected { side, caffe, outputs }) in expected {
        let weights = open(&folder().join(&file)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(weights.format(), if file.ends_with(".h5") { Format::Hdf5 } else { Format::Keras });
        assert!(weights.extent().is_none_or(|extent| extent == (side, side)), "{file}");
        let preprocessing = weights.network().preprocessing;
        let is_caffe = preprocessing.channel_order == ChannelOrder::Bgr && preprocessing.mean[0] == 103.939;
        assert_eq!(is_caffe, caffe || file.contains("_preprocessed"), "{file}: {preprocessing:?}");
        if !weights.network().has_classifier() {
            // Networks without a classifier answer with a map, which no trace holds.
            assert!(file.contains("_notop"));
            continue;
        }
        let found = responses(weights, side);
        assert_eq!(found.len(), outputs.len());
        let largest = outputs.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let errors = found.iter().zip(&outputs).map(|(found, expected)| (found - expected).abs());
        let difference = errors.fold(0.0, f64::max) / largest;
        println!("{file}: {difference:.1e}");
        assert!(difference < TOLERANCE, "{file}: {found:?}, Keras {outputs:?}");
    }
}

/// Element `index` of the n-th weight or bias in `write_keras.py`'s files.
fn value(array: usize, index: usize) -> f32 {
    (((31 * index + 17 * array) % 251) as f32 - 125.0) / 64.0
}

/// Rows and columns of the map that the first dense layer takes in those files.
const GRID: usize = 2;

/// Where element \[output\]\[input\]\[row\]\[column\] of a layer, or \[output\]\[input\], is in Keras's array.
fn keras_index(layer: &ParametricLayer<'_>, index: usize, channels: Option<usize>) -> usize {
    let (output, rest) = (index / layer.fan_in(), index % layer.fan_in());
    let input = match (layer.weight_shape().len(), channels) {
        // [row][column][input]: nine positions a channel here.
        (4, _) => rest % 9 * (layer.fan_in() / 9) + rest / 9,
        // Flattened position by position.
        (_, Some(channels)) => rest % (GRID * GRID) * channels + rest / (GRID * GRID),
        (_, None) => rest,
    };
    input * layer.outputs() + output
}

fn check_bits(path: &Path, architecture: &str, headless: bool) {
    check_bits_of(&open(path).unwrap_or_else(|error| panic!("{error}")), architecture, headless);
}

fn check_bits_of(weights: &Weights, architecture: &str, headless: bool) {
    let path = weights.path();
    assert_eq!(weights.network().architecture, architecture, "{}", path.display());
    assert_eq!(weights.network().has_classifier(), !headless);
    if !headless {
        assert_eq!(weights.extent(), Some((GRID << 5, GRID << 5)));
    }
    // Set where the layer before was a convolution.
    let mut channels = None;
    for (number, (_, layer)) in weights.network().parametric().enumerate() {
        let flattened = if layer.weight_shape().len() == 4 { None } else { channels };
        for (index, &found) in weights.weight(number).to_vec().iter().enumerate() {
            let expected = value(2 * number, keras_index(&layer, index, flattened));
            assert_eq!(found.to_bits(), expected.to_bits(), "{} layer {number} [{index}]", path.display());
        }
        for (index, &found) in weights.bias(number).to_vec().iter().enumerate() {
            assert_eq!(found.to_bits(), value(2 * number + 1, index).to_bits());
        }
        channels = (layer.weight_shape().len() == 4).then(|| layer.outputs());
    }
}

#[test]
fn every_bit_of_what_h5py_writes() {
    let folder = tempfile::tempdir().unwrap();
    if libraries::run("write_keras.py", &[folder.path()]).is_none() {
        return;
    }
    let file = |name: &str| folder.path().join(name);
    for depth in [11, 13, 16, 19] {
        let architecture = format!("vgg{depth}");
        check_bits(&file(&format!("vgg{depth}.h5")), &architecture, false);
        check_bits(&file(&format!("vgg{depth}_notop.h5")), &architecture, true);
        check_bits(&file(&format!("vgg{depth}.weights.h5")), &architecture, false);
    }
    let others = [
        (
            "vgg16",
            &["keras1", "keras3", "latest_packed", "packed", "without_pools", "packed.weights", "nested"][..],
        ),
        (
            "vgg11",
            &["checked", "compact", "half", "double", "big_endian", "big_endian_half", "split", "user_block"],
        ),
        ("vgg11", &["tensorflow.weights"]),
        ("vgg13", &["variable"]),
        ("vgg19", &["latest"]),
    ];
    for (architecture, names) in others {
        for name in names {
            check_bits(&file(&format!("{name}.h5")), architecture, false);
        }
    }
    // Nothing says what these take: refused, and what to do is said.
    let stated = PreprocessingOverrides {
        channel_order: Some(ChannelOrder::Rgb),
        pixel_scale: Some(1.0),
        mean: Some([0.0; 3]),
        std: Some([1.0; 3]),
    };
    for depth in [11, 13, 16, 19] {
        let path = file(&format!("vgg{depth}_unnamed.weights.h5"));
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("--preprocessing"), "{error}");
        let weights = Weights::open(&path, &stated).unwrap_or_else(|error| panic!("{error}"));
        check_bits_of(&weights, &format!("vgg{depth}"), false);
    }
    let refused = std::fs::read_to_string(file("refused.json")).unwrap();
    let refused: BTreeMap<String, String> = serde_json::from_str(&refused).unwrap();
    assert_eq!(refused.len(), 20);
    for (name, says) in refused {
        refuse(&name, &file(&name), &says);
    }
}

/// Refused quickly, with little memory, and told why in one line.
fn refuse(title: &str, path: &Path, says: &str) {
    let start = Instant::now();
    let (result, memory) = peak(|| open(path).map(drop));
    let time = start.elapsed();
    let error = result.expect_err(title).to_string();
    assert!(error.contains(says), "{title}: {error}");
    assert!(error.chars().count() < 1000, "{title}: {error}");
    assert!(!error.chars().any(char::is_control), "{title}: {error:?}");
    assert!(memory < MEMORY && time < TIME, "{title}: {memory} bytes, {time:?}");
}

#[test]
fn hostile_files_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    for hostile::Hostile { title, name, bytes, says } in hostile::all() {
        let path = temporary.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        refuse(title, &path, says);
    }
}

#[test]
fn models_that_are_no_vgg_are_refused_by_the_layer() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("model.keras");
    for (config, says) in configurations::refused() {
        std::fs::write(&path, hostile::archive(&config.to_string(), hostile::weights())).unwrap();
        refuse(says, &path, says);
    }
}

#[test]
fn truncated_files_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    for name in ["keras2_fine_tuned.h5", "keras3_vgg.weights.h5", "keras3_fine_tuned.keras"] {
        let path = temporary.path().join(name);
        let bytes = std::fs::read(folder().join(name)).unwrap();
        for length in (1..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let result = open(&path);
            // What is cut off at the end of an HDF5 file may be free space.
            assert!(result.is_err() || length + 4096 > bytes.len(), "{length} bytes of {name}");
        }
    }
}

#[test]
fn changed_files_are_read_or_refused() {
    let mut good = BTreeMap::from([("h5", Vec::new()), ("keras", Vec::new())]);
    for name in expected().keys() {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        good.get_mut(name.rsplit('.').next().unwrap()).unwrap().push(bytes);
    }
    for (extension, good) in good {
        fuzz(extension, &good, use_weights);
    }
}
