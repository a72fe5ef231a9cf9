//! Every VGG in every variation of the format, by an independent writer (tests/import/write_pth.py, which needs Python alone), with
//! random weights: the same bits come back.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use half::{bf16, f16};
use serde_json::json;
use vggx::network::PreprocessingOverrides;
use vggx::weights::{Format, Weights};

use crate::mutate::Random;

/// Convolutions between two pools, with the widths they have here.
const VARIANTS: [(&str, [(usize, usize); 5]); 4] = [
    ("vgg11", [(1, 2), (1, 3), (2, 3), (2, 4), (2, 5)]),
    ("vgg13", [(2, 2), (2, 3), (2, 3), (2, 4), (2, 5)]),
    ("vgg16", [(2, 2), (2, 3), (3, 3), (3, 4), (3, 5)]),
    ("vgg19", [(2, 2), (2, 3), (4, 3), (4, 4), (4, 5)]),
];

/// PyTorch's default of batch normalisation.
const EPSILON: f64 = 1e-5;

struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Random tensors under torchvision's names.
fn tensors(blocks: &[(usize, usize)], batch_norm: bool, random: &mut Random) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize], least: f32, largest: f32| {
        let count = shape.iter().product();
        let value = || least + (largest - least) * (random.next() >> 40) as f32 / (1 << 24) as f32;
        let values = std::iter::repeat_with(value).take(count).collect();
        tensors.push(Tensor { name, shape: shape.to_vec(), values });
    };
    let (mut number, mut channels) = (0, 3);
    for &(count, width) in blocks {
        for _ in 0..count {
            add(format!("features.{number}.weight"), &[width, channels, 3, 3], -1.0, 1.0);
            add(format!("features.{number}.bias"), &[width], -1.0, 1.0);
            if batch_norm {
                number += 1;
                for (name, least, largest) in [
                    ("weight", 0.5, 1.5),
                    ("bias", -1.0, 1.0),
                    ("running_mean", -1.0, 1.0),
                    ("running_var", 0.5, 1.5),
                ] {
                    add(format!("features.{number}.{name}"), &[width], least, largest);
                }
            }
            (number, channels) = (number + 2, width);
        }
        number += 1;
    }
    let mut inputs = channels * 4;
    for (number, outputs) in [(0, 6), (3, 7), (6, 5)] {
        add(format!("classifier.{number}.weight"), &[outputs, inputs], -1.0, 1.0);
        add(format!("classifier.{number}.bias"), &[outputs], -1.0, 1.0);
        inputs = outputs;
    }
    tensors
}

/// Elements as a file has them.
fn bytes(values: &[f32], element: &str) -> Vec<u8> {
    match element {
        "float32" => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "float16" => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
    }
}

/// One way in which a file can be written.
struct Way {
    title: &'static str,
    job: serde_json::Value,
    prefix: &'static str,
}

fn ways() -> Vec<Way> {
    let plain = json!({
        "format": "zip", "protocol": 2, "deflated": false, "old_strings": false, "wrapper": null, "parameters": false,
        "shared": false, "transposed": false, "type": "float32",
    });
    let way = |title, changes: serde_json::Value, prefix| {
        let mut job = plain.clone();
        for (key, value) in changes.as_object().expect("an object") {
            job[key] = value.clone();
        }
        Way { title, job, prefix }
    };
    vec![
        way("plain", json!({}), ""),
        way("legacy", json!({"format": "legacy"}), ""),
        way("of Python 2", json!({"format": "legacy", "old_strings": true}), ""),
        way("protocol 3", json!({"protocol": 3}), ""),
        way("protocol 4", json!({"protocol": 4}), ""),
        way("protocol 5, legacy", json!({"protocol": 5, "format": "legacy"}), ""),
        way("protocol 5", json!({"protocol": 5, "wrapper": "state_dict"}), ""),
        way("compressed", json!({"deflated": true}), ""),
        way("parameters", json!({"parameters": true}), ""),
        way("one storage", json!({"shared": true}), ""),
        way("one storage, legacy", json!({"shared": true, "format": "legacy"}), ""),
        way("transposed", json!({"transposed": true}), ""),
        way(
            "transposed in one compressed storage",
            json!({"transposed": true, "shared": true, "deflated": true}),
            "",
        ),
        way("of DataParallel", json!({"wrapper": "model"}), "module."),
        way("compiled", json!({"wrapper": "net", "format": "legacy"}), "_orig_mod."),
        way("float16", json!({"type": "float16", "transposed": true}), ""),
        way("bfloat16", json!({"type": "bfloat16", "format": "legacy"}), ""),
    ]
}

/// What the writer needs to know.
fn job(way: &Way, path: &Path, tensors: &[Tensor]) -> serde_json::Value {
    let element = way.job["type"].as_str().expect("a text");
    let listed: Vec<_> = tensors
        .iter()
        .map(|Tensor { name, shape, values }| {
            let text: String = bytes(values, element).iter().map(|byte| format!("{byte:02x}")).collect();
            json!([format!("{}{name}", way.prefix), shape, text])
        })
        .collect();
    let mut job = way.job.clone();
    job["path"] = json!(path);
    job["tensors"] = json!(listed);
    job
}

/// Writes the files; `false`, said aloud, without Python.
fn run(jobs: &[serde_json::Value]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/write_pth.py");
    let Ok(mut python) = Command::new("python3").arg(script).stdin(Stdio::piped()).spawn() else {
        println!("skipped: python3 is missing, which writes the files of this test");
        return false;
    };
    let text = serde_json::to_vec(jobs).unwrap();
    python.stdin.take().expect("a pipe").write_all(&text).unwrap();
    assert!(python.wait().unwrap().success());
    true
}

#[test]
fn every_vgg_in_every_variation() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(5);
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for (architecture, blocks) in VARIANTS {
        for batch_norm in [false, true] {
            for way in ways() {
                let element = way.job["type"].as_str().expect("a text").to_owned();
                let tensors = tensors(&blocks, batch_norm, &mut random);
                let path = folder.path().join(format!("{}.pth", jobs.len()));
                jobs.push(job(&way, &path, &tensors));
                let title = format!("{architecture}, batch normalisation {batch_norm}, {}", way.title);
                expected.push((title, path, architecture, batch_norm, element, tensors));
            }
        }
    }
    if !run(&jobs) {
        return;
    }
    for (title, path, architecture, batch_norm, element, tensors) in expected {
        let weights = Weights::open(&path, &PreprocessingOverrides::default())
            .unwrap_or_else(|error| panic!("{title}: {error}"));
        assert!(matches!(weights.format(), Format::Torch | Format::TorchLegacy));
        assert_eq!(weights.network().architecture, architecture, "{title}");
        let layers = weights.network().parametric().count();
        if batch_norm {
            check_folded(&title, &weights, &tensors, &element);
            continue;
        }
        assert_eq!(tensors.len(), 2 * layers, "{title}");
        for (layer, pair) in tensors.chunks_exact(2).enumerate() {
            for (tensor, expected) in [weights.weight(layer), weights.bias(layer)].into_iter().zip(pair) {
                assert_eq!(tensor.shape(), expected.shape, "{title}: {}", expected.name);
                assert!(tensor.bytes() == bytes(&expected.values, &element), "{title}: {}", expected.name);
            }
        }
    }
}

/// torchvision's `IMAGENET1K_FEATURES` weights have no trained classifier: all of it is NaN.
#[test]
fn a_classifier_of_nan_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_, blocks) = VARIANTS[2];
    let mut tensors = tensors(&blocks, false, &mut Random::new(6));
    for tensor in tensors.iter_mut().filter(|tensor| tensor.name.starts_with("classifier")) {
        tensor.values.fill(f32::NAN);
    }
    let (path, way) = (folder.path().join("features.pth"), &ways()[0]);
    if !run(&[job(way, &path, &tensors)]) {
        return;
    }
    let weights = Weights::open(&path, &PreprocessingOverrides::default()).unwrap();
    assert_eq!(weights.network().architecture, "vgg16");
    assert!(!weights.network().has_classifier());
    assert!(weights.check_finite().is_ok());
    assert!(weights.notes().iter().any(|note| note.contains("NaN")), "{:?}", weights.notes());
}

/// y = γ·(w·x + b − μ)/√(σ² + ε) + β in float64, rounded to float32 once.
fn check_folded(title: &str, weights: &Weights, tensors: &[Tensor], element: &str) {
    let values = |name: &str| -> Vec<f64> {
        let tensor = tensors.iter().find(|tensor| tensor.name == name).expect(name);
        let rounded = |value: &f32| match element {
            "float32" => f64::from(*value),
            "float16" => f16::from_f32(*value).to_f64(),
            _ => bf16::from_f32(*value).to_f64(),
        };
        tensor.values.iter().map(rounded).collect()
    };
    // Half a unit in the last place of float32, of the largest that is summed.
    let close = |found: f32, expected: f64, largest: f64| {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 2f64.powi(-24) * largest.max(expected.abs()), "{title}: {found} for {expected}");
    };
    let convolutions = tensors.iter().filter(|tensor| tensor.shape.len() == 4);
    for (layer, tensor) in convolutions.enumerate() {
        let name = tensor.name.trim_end_matches(".weight");
        let number: usize = name.trim_start_matches("features.").parse().expect("a number");
        let norm = |suffix: &str| values(&format!("features.{}.{suffix}", number + 1));
        let (gamma, beta, mean, variance) =
            (norm("weight"), norm("bias"), norm("running_mean"), norm("running_var"));
        let (weight, bias) = (values(&tensor.name), values(&format!("{name}.bias")));
        let (found_weight, found_bias) = (weights.weight(layer).to_vec(), weights.bias(layer).to_vec());
        let fan_in = weight.len() / bias.len();
        for output in 0..bias.len() {
            let scale = gamma[output] / (variance[output] + EPSILON).sqrt();
            for tap in output * fan_in..(output + 1) * fan_in {
                close(found_weight[tap], weight[tap] * scale, 0.0);
            }
            close(found_bias[output], (bias[output] - mean[output]) * scale + beta[output], 1.0);
        }
    }
}
