//! `vggx bench`: what it counts is exact, what it measures is at least consistent.

use crate::host_driver;
use crate::run::{Place, Ran, VGGX};
use serde_json::Value;
use std::process::Command;

/// Everything small: the times say nothing.
const SMALL: &str =
    "bench --weights net.safetensors --crop 12 --batch 3 --repeats 2 --product 64 --copy 1 --quiet";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn layers_have_their_work_and_rates_follow_from_it() {
    let place = Place::new();
    let report = &place.vggx(&format!("{SMALL} --json")).done().rows()[0];
    assert_eq!((report["batch"].as_u64(), report["side"].as_u64()), (Some(3), Some(12)));
    assert_eq!((report["element"].as_str(), report["repeats"].as_u64()), (Some("f32"), Some(2)));
    let layers = report["layers"].as_array().unwrap();
    let of = |way: &str| -> Vec<(&str, f64)> {
        let layers = layers.iter().filter(|layer| layer["way"] == way && layer["tflops"].is_number());
        layers.map(|layer| (layer["name"].as_str().unwrap(), number(&layer["gflop"]) * 1e9)).collect()
    };
    // 12×12×3 → 4, pooled to 6×6 → 5, pooled to 3×3, averaged to 2×2, then 20 → 6 → 7 → 8; three images.
    let convolution = |side: f64, inputs: f64, outputs: f64| 3.0 * 2.0 * 9.0 * side * side * inputs * outputs;
    let mut expected = vec![
        ("features.0", convolution(12.0, 3.0, 4.0)),
        ("features.3", convolution(6.0, 4.0, 5.0)),
        ("classifier.0", 6.0 * 20.0 * 6.0),
        ("classifier.3", 6.0 * 6.0 * 7.0),
        ("classifier.6", 6.0 * 7.0 * 8.0),
    ];
    let agree = |got: Vec<(&str, f64)>, expected: &[(&str, f64)]| {
        assert_eq!(got.len(), expected.len(), "{got:?}");
        for (got, expected) in got.iter().zip(expected) {
            assert!(got.0 == expected.0 && (got.1 - expected.1).abs() < 0.5, "{got:?} {expected:?}");
        }
    };
    agree(of("forward"), &expected);
    expected.reverse();
    agree(of("backward"), &expected);
    for layer in layers {
        let milliseconds = number(&layer["milliseconds"]);
        assert!(milliseconds > 0.0 && number(&layer["megabytes"]) > 0.0, "{layer}");
        if let Some(tflops) = layer["tflops"].as_f64() {
            let again = number(&layer["gflop"]) / milliseconds;
            assert!((tflops / again - 1.0).abs() < 1e-9, "{layer}");
            assert!(
                (number(&layer["share"]) * number(&report["ceiling"]["tflops"]) / tflops - 1.0).abs() < 1e-9
            );
        }
    }
    assert!(number(&report["copy"]["gigabytes_per_second"]) > 0.0);
    assert_eq!(report["ceiling"]["source"], "own product");
    let rows = report["end_to_end"].as_array().unwrap();
    let methods: Vec<&Value> = rows.iter().map(|row| &row["method"]).collect();
    // Other weights than the bundled ones, and no patterns: those methods that need none.
    assert_eq!(methods, [&Value::Null, &"gradient".into(), &"deconvnet".into(), &"guided-backprop".into()]);
    for row in rows {
        let (rate, alone) = (number(&row["images_per_second"]), number(&row["batch_milliseconds"]));
        assert!((rate * alone / 3000.0 - 1.0).abs() < 1e-9, "one batch at a time: {row}");
    }
}

#[test]
fn the_larger_ceiling_counts() {
    let place = Place::new();
    let small = format!("{SMALL} --json --parts ceiling");
    let report = &place.vggx(&format!("{small} --ceiling 1e6")).done().rows()[0];
    assert_eq!(
        (report["ceiling"]["source"].as_str(), report["ceiling"]["tflops"].as_f64()),
        (Some("--ceiling"), Some(1e6))
    );
    assert!(
        report["layers"].as_array().unwrap().is_empty()
            && report["end_to_end"].as_array().unwrap().is_empty()
    );
    let report = &place.vggx(&format!("{small} --ceiling 1e-9")).done().rows()[0];
    assert_eq!(report["ceiling"]["source"], "own product");
    assert_eq!(report["ceiling"]["given"], 1e-9);
}

#[test]
fn the_table_has_the_same_rows() {
    let place = Place::new();
    let call = format!("{SMALL} --patterns patterns.safetensors --method patternnet,signal:filter");
    let text = place.vggx(&call).done().out;
    for word in [
        "features.3",
        "classifier.6",
        "backward",
        "TFLOP/s",
        "patternnet",
        "signal:filter",
        "own product",
        "copy",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("gradient")), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = Place::new();
    for (arguments, code, word) in [
        ("--ceiling 0", 2, "positive"),
        ("--parts speed", 2, "ceiling, layers or methods"),
        ("--method signal:identity", 1, "nothing to time"),
        ("--method patternnet", 1, "--patterns"),
    ] {
        place.vggx(&format!("{SMALL} {arguments}")).expect(code, &[word]);
    }
    place.vggx("bench --weights net.safetensors --crop 3").expect(1, &["too small"]);
    place.vggx("bench --weights missing.safetensors").expect(1, &["missing.safetensors"]);
}

/// Name and way of each row of the table of layers.
fn rows_of(report: &Value) -> Vec<(&str, &str)> {
    let layers = report["layers"].as_array().unwrap();
    layers.iter().map(|layer| (layer["name"].as_str().unwrap(), layer["way"].as_str().unwrap())).collect()
}

/// On a CUDA device, here by host execution: the same work, the kernels named, and with `--every-kernel` all variants tried.
#[test]
fn cuda_kernels_are_timed_one_by_one() {
    let info = Ran::from(&Command::new(VGGX).args(["info", "--json"]).output().unwrap()).done();
    if info.rows()[0]["cuda"]["architectures"] == serde_json::json!([]) {
        eprintln!("not run: this build has no CUDA kernels");
        return;
    }
    let place = Place::new();
    let call = format!("{SMALL} --device cuda --every-kernel --method gradient,deconvnet --json");
    let mut command = place.command(call.split_whitespace());
    let report = &Ran::from(&host_driver::with_driver(&mut command).output().unwrap()).done().rows()[0];
    assert_eq!(report["element"], "f16");
    if !host_driver::on_device() {
        assert_eq!(report["hardware"], "host execution", "the numbers mean nothing, and say so");
    }
    let layers = report["layers"].as_array().unwrap();
    let rows = rows_of(report);
    let forward = [
        "normalise",
        "features.0",
        "features.3",
        "average pool",
        "classifier.0",
        "classifier.3",
        "classifier.6",
    ];
    let backward = [
        "start",
        "classifier.6",
        "classifier.3",
        "classifier.0",
        "average pool",
        "features.3",
        "features.0",
        "output",
    ];
    let expected: Vec<(&str, &str)> = forward
        .map(|name| (name, "forward"))
        .into_iter()
        .chain(backward.map(|name| (name, "backward")))
        .collect();
    assert_eq!(rows, expected);
    // Layers that run for two images and then for one are as many rows, of which each has all three images' work.
    let mut command = place.command(call.split_whitespace());
    let parts = host_driver::with_driver(command.env("VGGX_SUBBATCHES", "2x2")).output().unwrap();
    let parts = &Ran::from(&parts).done().rows()[0];
    assert_eq!(rows_of(parts), rows);
    for (part, whole) in parts["layers"].as_array().unwrap().iter().zip(layers) {
        assert_eq!((&part["gflop"], &part["megabytes"]), (&whole["gflop"], &whole["megabytes"]));
        // What other kernels would read is gone then.
        let convolution = part["name"].as_str().is_some_and(|name| name.starts_with("features"));
        assert_eq!(
            part["tried"].as_array().unwrap().is_empty(),
            convolution || whole["tried"].as_array().unwrap().is_empty()
        );
        assert!(number(&part["milliseconds"]) > 0.0);
    }
    let mut command = place.command(call.split_whitespace());
    let wrong = host_driver::with_driver(command.env("VGGX_SUBBATCHES", "2 by 2")).output().unwrap();
    Ran::from(&wrong).expect(1, &["VGGX_SUBBATCHES is '2 by 2'", "as in 4x2"]);
    // Nor does it make the CPU compute where the device is left open.
    let mut command = place.command(call.replace("--device cuda", "").split_whitespace());
    let wrong = host_driver::with_driver(command.env("VGGX_SUBBATCHES", "4x")).output().unwrap();
    Ran::from(&wrong).expect(1, &["VGGX_SUBBATCHES is '4x'"]);
    let cpu = &place.vggx(&format!("{SMALL} --method gradient --json")).done().rows()[0];
    for layer in layers {
        let (name, kernel) = (layer["name"].as_str().unwrap(), layer["kernel"].as_str().unwrap());
        assert!(number(&layer["milliseconds"]) > 0.0 && number(&layer["megabytes"]) > 0.0, "{layer}");
        // The same work as on the CPU, on half the bytes at least of the operators.
        let same = |other: &&Value| other["name"] == layer["name"] && other["way"] == layer["way"];
        let other = cpu["layers"].as_array().unwrap().iter().find(same);
        if let Some(other) = other.filter(|_| layer["tflops"].is_number()) {
            assert_eq!(layer["gflop"], other["gflop"], "{name}");
            assert!(number(&layer["megabytes"]) < number(&other["megabytes"]), "{name}");
        }
        let tried: Vec<&str> =
            layer["tried"].as_array().unwrap().iter().map(|time| time["kernel"].as_str().unwrap()).collect();
        let way = layer["way"].as_str().unwrap();
        if name.starts_with("classifier") || name == "features.3" {
            // The pretended device has compute capability 9.0, whose convolutions have kernels of their own.
            let family = if name == "features.3" { "hopper" } else { "convolution" };
            assert!(kernel.starts_with(&format!("{family}_{way}_f16_")), "{kernel}");
            assert!(tried.contains(&kernel), "{kernel} is not among {tried:?}");
            for tile in ["256x64", "128x128", "128x256"] {
                assert!(tried.iter().any(|kernel| kernel.contains(tile)), "{tile} is not among {tried:?}");
            }
        } else {
            assert!(
                tried.is_empty() && kernel.contains(if name == "output" { "planes" } else { "f16" }),
                "{layer}"
            );
        }
    }
    let products = report["ceiling"]["products"].as_array().unwrap();
    assert!(products.len() >= 3 && products.iter().all(|product| number(&product["tflops"]) > 0.0));
    let best = products.iter().map(|product| number(&product["tflops"])).fold(0.0, f64::max);
    assert_eq!(report["ceiling"]["tflops"], best);
    assert!(number(&report["copy"]["gigabytes_per_second"]) > 0.0);
    assert_eq!(report["end_to_end"].as_array().unwrap().len(), 3);
}
