//! The archives of PatternNet's authors: what NumPy wrote (tests/data/import/npz), and what is made to do harm.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use vggx::network::{ChannelOrder, PreprocessingOverrides};
use vggx::patterns::{Component, Patterns};
use vggx::weights::{Format, Weights};
use zip::CompressionMethod::{Deflated, Stored};
use zip::ZipArchive;

use crate::fuzz::{fuzz, measured, use_patterns, use_weights};
use crate::pth::pickle::archive;
use crate::responses::{difference, responses};

/// Of float32 through 19 layers; measured: see the test's output.
const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/npz")
}

fn open(name: &str) -> Weights {
    Weights::open(&folder().join(name), &PreprocessingOverrides::default()).unwrap()
}

#[test]
fn the_same_responses_as_numpy() {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = expected["logits"].as_object().unwrap();
    assert_eq!(files.len(), 8);
    for (file, logits) in files {
        let logits: Vec<f64> = serde_json::from_value(logits.clone()).unwrap();
        let difference = difference(&responses(&folder().join(file)), &logits);
        println!("{file}: {difference:.1e}");
        assert!(difference < TOLERANCE, "{file}: {difference:e}");
    }
}

#[test]
fn the_authors_conventions() {
    for name in ["vgg11", "vgg13", "vgg16", "vgg19"] {
        let weights = open(&format!("{name}.npz"));
        assert_eq!(weights.network().architecture, name);
        assert_eq!(weights.format(), Format::Npz);
        assert_eq!(weights.extent(), Some((64, 64)));
        let preprocessing = weights.network().preprocessing;
        assert_eq!(preprocessing.channel_order, ChannelOrder::Bgr);
        assert_eq!(preprocessing.pixel_scale, 255.0);
        assert_eq!((preprocessing.mean, preprocessing.std), ([103.939, 116.779, 123.68], [1.0; 3]));
        assert!(weights.notes().iter().any(|note| note.contains("max-pools")), "{:?}", weights.notes());
    }
}

/// An array of an archive as NumPy's format has it: shape and elements, row-major. With crates of others.
fn array(file: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(folder().join(file)).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    let npy = npyz::NpyFile::new(bytes.as_slice()).unwrap();
    assert_eq!(npy.order(), npyz::Order::C);
    let shape = npy.shape().iter().map(|&extent| extent as usize).collect();
    (shape, npy.into_vec().unwrap())
}

#[test]
fn the_authors_patterns() {
    let weights = open("vgg16.npz");
    for file in ["vgg16.patterns.A_only.npz", "vgg16.patterns.npz"] {
        let patterns = Patterns::open(&folder().join(file), &weights).unwrap();
        let tensors = patterns.tensors(Component::Positive).unwrap();
        assert_eq!(tensors.len(), 16);
        for (index, tensor) in tensors.iter().enumerate() {
            let (shape, expected) = array("vgg16.patterns.A_only.npz", &format!("A_{index}"));
            let found = tensor.to_vec();
            if let &[inputs, outputs] = shape.as_slice() {
                assert_eq!(tensor.shape(), [outputs, inputs]);
                for input in 0..inputs {
                    for output in 0..outputs {
                        assert_eq!(found[output * inputs + input], expected[input * outputs + output]);
                    }
                }
            } else {
                assert_eq!(tensor.shape(), shape);
                assert_eq!(found, expected);
            }
            // As they were made: wᵀa = 1, so the weights lie in the same order.
            let weight = weights.weight(index).to_vec();
            let fan_in = weight.len() / tensor.shape()[0];
            for (w, a) in weight.chunks(fan_in).zip(found.chunks(fan_in)) {
                let product: f64 = w.iter().zip(a).map(|(w, a)| f64::from(*w) * f64::from(*a)).sum();
                assert!((product - 1.0).abs() < 1e-5, "layer {index}: {product}");
            }
        }
        let missing = patterns.tensors(Component::Linear).unwrap_err().to_string();
        assert!(missing.contains("has no linear pattern"), "{missing}");
    }
}

#[test]
fn patterns_of_other_networks_are_refused() {
    let path = folder().join("vgg16.patterns.A_only.npz");
    let error = Patterns::open(&path, &open("vgg13.npz")).unwrap_err().to_string();
    assert!(error.contains("16 patterns A_0, A_1, … and"), "{error}");
    assert!(error.contains("13 layers"), "{error}");
    let error = Patterns::open(&folder().join("vgg16.npz"), &open("vgg16.npz")).unwrap_err().to_string();
    assert!(error.contains("arr_0 is not expected"), "{error}");
    let error = Weights::open(&path, &PreprocessingOverrides::default()).unwrap_err().to_string();
    assert!(error.contains("A_0 is not expected"), "{error}");
}

/// An array in NumPy's format, version 1.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn header(element: &str, fortran: bool, shape: &str) -> String {
    let fortran = if fortran { "True" } else { "False" };
    format!("{{'descr': {element}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
}

#[test]
fn hostile_files_are_refused() {
    let good = npy(&header("'<f4'", false, "(2, 3, 3, 3)"), &[0; 216]);
    let nested = format!("{{'descr': {}'<f4'{}, 'shape': (), }}\n", "[".repeat(400), "]".repeat(400));
    let zeros = npy(&header("'<f4'", false, "(1048576, 3, 3, 3)"), &vec![0; 27 << 22]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("objects", npy(&header("'|O'", false, "(2,)"), b"\x80\x02]."), "elements of type |O"),
        ("integers", npy(&header("'<i4'", false, "(2, 3, 3, 3)"), &[0; 216]), "elements of type <i4"),
        ("another machine", npy(&header("'>f4'", false, "(2, 3, 3, 3)"), &[0; 216]), "elements of type >f4"),
        (
            "records",
            npy(&header("[('a', '<f4'), ('b', '<f4')]", false, "(2,)"), &[0; 16]),
            "not plain numbers",
        ),
        ("brackets", npy(&nested, &[]), "not plain numbers"),
        ("fewer elements", npy(&header("'<f4'", false, "(2, 3, 3, 3)"), &[0; 212]), "more or fewer elements"),
        ("more elements", npy(&header("'<f4'", true, "(2, 3, 3, 3)"), &[0; 220]), "more or fewer elements"),
        ("2^64 elements", npy(&header("'<f4'", false, "(4294967296, 4294967296)"), &[]), "arr_0"),
        (
            "2^62 elements",
            npy(&header("'<f4'", true, "(2147483648, 2147483648)"), &[]),
            "more or fewer elements",
        ),
        ("a negative extent", npy(&header("'<f4'", false, "(-2, 3, 3, 3)"), &[0; 216]), "arr_0"),
        ("a large extent", npy(&header("'<f4'", false, "(99999999999999999999999,)"), &[]), "arr_0"),
        ("no header", b"text".to_vec(), "NumPy header"),
        ("a long header", npy(&header("'<f4'", false, &" ".repeat(2000)), &[]), "short NumPy header"),
        ("a header of 4 GB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec(), "short NumPy header"),
        ("another version", b"\x93NUMPY\x09\x00\x02\x00{}".to_vec(), "short NumPy header"),
        ("no bias", good.clone(), "the bias after arr_0"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.npz");
    let check = |title: &str, bytes: &[u8], message: &str| {
        std::fs::write(&path, bytes).unwrap();
        let (result, excess) =
            measured(|| Weights::open(&path, &PreprocessingOverrides::default()).map(drop));
        let error = result.expect_err(title).to_string();
        assert!(error.contains(message), "{title}: {error}");
        assert!(error.chars().count() < 1000, "{title}: {error}");
        assert_eq!(excess, None, "{title}");
    };
    for (title, bytes, message) in &cases {
        for method in [Stored, Deflated] {
            check(title, &archive(&[("arr_0.npy", bytes, method)]), message);
        }
    }
    check("a bomb", &archive(&[("arr_0.npy", &zeros, Deflated)]), "unpacks to more than 64 times");
    check(
        "gaps",
        &archive(&[("arr_0.npy", &good, Stored), ("arr_2.npy", &good, Stored)]),
        "arr_1 is missing",
    );
    check(
        "a number twice",
        &archive(&[("arr_0.npy", &good, Stored), ("arr_00.npy", &good, Stored)]),
        "arr_1 is missing",
    );
    check(
        "another name",
        &archive(&[("arr_0.npy", &good, Stored), ("x.npy", &good, Stored)]),
        "x is not expected",
    );
    check("outside", &archive(&[("../arr_0.npy", &good, Stored)]), "outside of its folder");
    check("nothing", &archive(&[]), "");
    let bias = npy(&header("'<f4'", false, "(2,)"), &[0; 8]);
    check(
        "one convolution",
        &archive(&[("arr_0.npy", &good, Stored), ("arr_1.npy", &bias, Stored)]),
        "no VGG has 1 convolutions",
    );
    check(
        "a bias first",
        &archive(&[("arr_0.npy", &bias, Stored), ("arr_1.npy", &good, Stored)]),
        "convolutions first",
    );
    check(
        "a long bias",
        &archive(&[("arr_0.npy", &good, Stored), ("arr_1.npy", &good, Stored)]),
        "the bias of arr_0",
    );
}

#[test]
fn changed_files_are_read_or_refused() {
    let weights = open("vgg16.npz");
    let files = [
        "vgg11.npz",
        "compressed.npz",
        "fortran.npz",
        "float16.npz",
        "vgg16.patterns.A_only.npz",
        "vgg16.patterns.npz",
    ];
    let good: Vec<_> = files.iter().map(|file| std::fs::read(folder().join(file)).unwrap()).collect();
    fuzz("npz", &good, |path| use_weights(path).or_else(|_| use_patterns(path, &weights)));
}
