//! What `explain` writes.

use crate::run::{Place, Ran};
use crate::support::{Model, bundled};
use npyz::NpyFile;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use std::io::{Cursor, Read};

fn npy(bytes: &[u8]) -> (Vec<u64>, Vec<f32>) {
    let file = NpyFile::new(Cursor::new(bytes)).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

#[test]
fn all_formats_hold_the_same_values() {
    let place = Place::new();
    let ran = place
        .explain(
            "a.png --method gradient,signal:filter,gradient --format npy,npz,safetensors,png --json -o o",
        )
        .done();
    assert_eq!(
        place.files("o"),
        [
            "a.gradient.npy",
            "a.gradient.png",
            "a.npz",
            "a.safetensors",
            "a.signal-filter.npy",
            "a.signal-filter.png",
            "manifest.jsonl",
            "run.json"
        ]
    );
    assert_eq!(ran.rows(), place.manifest("o"));
    let safetensors = place.read("o/a.safetensors");
    let safetensors = SafeTensors::deserialize(&safetensors).unwrap();
    let mut npz = zip::ZipArchive::new(Cursor::new(place.read("o/a.npz"))).unwrap();
    for method in ["gradient", "signal-filter"] {
        let (shape, values) = npy(&place.read(&format!("o/a.{method}.npy")));
        assert_eq!(shape, [3, 12, 12]);
        assert!(values.iter().all(|value| value.is_finite()) && values.iter().any(|&value| value != 0.0));
        let mut bytes = Vec::new();
        npz.by_name(&format!("{method}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(npy(&bytes), (shape, values.clone()));
        let tensor = safetensors.tensor(method).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &[3, 12, 12][..]));
        let held: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(held, values);
    }
    let picture = image::load_from_memory(&place.read("o/a.gradient.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (12, 12));
}

#[test]
fn the_manifest_and_the_record_say_what_was_done() {
    let place = Place::new();
    place.write("labels.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\nhen\n\n");
    let ran = place
        .explain(
            "a.png b.png --method gradient --labels labels.txt --target bee --batch 1 --json --quiet -o o",
        )
        .done();
    assert!(ran.err.is_empty(), "{}", ran.err);
    let rows = place.manifest("o");
    assert_eq!(ran.rows(), rows);
    assert_eq!(rows.len(), 2);
    for (row, stem) in rows.iter().zip(["a", "b"]) {
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected =
            ["input", "status", "error", "target", "label", "response", "probability", "methods"];
        let mut keys = keys.clone();
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(row["input"], format!("{stem}.png"));
        assert_eq!((&row["status"], &row["error"]), (&json!("ok"), &json!(null)));
        assert_eq!((&row["target"], &row["label"]), (&json!(1), &json!("bee")));
        assert!((0.0..1.0).contains(&row["probability"].as_f64().unwrap()));
        assert!(row["response"].as_f64().is_some());
        assert_eq!(
            row["methods"],
            json!({"gradient": {"scale_log2": 0, "files": [format!("{stem}.gradient.png")]}})
        );
    }
    let record = place.json("o/run.json");
    assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["counts"], json!({"images": 2, "done": 2, "failed": 0, "kept": 0}));
    assert_eq!((&record["options"]["target"], &record["options"]["resize"]), (&json!("bee"), &json!(14)));
    assert!(record["device"].as_str().unwrap().starts_with("cpu"));
    assert!(record["fingerprints"]["weights"].is_string() && record["fingerprints"]["patterns"].is_null());
    assert!(record["times"]["seconds"].as_f64().unwrap() > 0.0);
    // For people: one line an image, and a summary.
    let ran = place.explain("a.png --method gradient -o o2").done();
    assert!(ran.out.starts_with("a.png: target ") && ran.out.contains("probability 0."), "{}", ran.out);
    assert!(ran.err.contains("1 explained in o2"), "{}", ran.err);
}

#[test]
fn probabilities_sum_to_one_and_targets_are_ranked() {
    let place = Place::new();
    let (mut sum, mut responses, mut targets) = (0.0, Vec::new(), Vec::new());
    for rank in 1..=8 {
        let row = place
            .explain(&format!(
                "a.png --method gradient --format none --json -o o --overwrite --target top{rank}"
            ))
            .done()
            .rows()
            .remove(0);
        sum += row["probability"].as_f64().unwrap();
        responses.push(row["response"].as_f64().unwrap());
        targets.push(row["target"].as_u64().unwrap());
    }
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    assert!(responses.is_sorted_by(|a, b| a >= b), "{responses:?}");
    targets.sort_unstable();
    assert_eq!(targets, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(place.files("o"), ["manifest.jsonl", "run.json"]);
}

#[test]
fn neither_batches_nor_threads_change_a_byte() {
    let place = Place::new();
    for seed in 0..5 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    let all = "in --method gradient,deconvnet,signal:random --format npy,png";
    for (folder, options) in [("o1", "--batch 1 --threads 1"), ("o2", "--batch 2 --threads 2"), ("o3", "")] {
        place.explain(&format!("{all} {options} -o {folder}")).done();
    }
    for file in place.files("o1").iter().filter(|file| *file != "run.json") {
        for other in ["o2", "o3"] {
            assert!(
                place.read(&format!("o1/{file}")) == place.read(&format!("{other}/{file}")),
                "{other}/{file}"
            );
        }
    }
}

/// Alone, pictures of attributions are made from sums that the backend returns; beside arrays, from all channels.
#[test]
fn pictures_do_not_depend_on_the_other_formats() {
    let place = Place::new();
    let methods = "a.png b.png --patterns patterns.safetensors --method pattern-attribution,patternnet,attribution:filter";
    place.explain(&format!("{methods} --format png -o alone")).done();
    place.explain(&format!("{methods} --format png,npy -o beside")).done();
    let pictures: Vec<String> =
        place.files("alone").into_iter().filter(|file| file.ends_with(".png")).collect();
    assert_eq!(pictures.len(), 6);
    for file in pictures {
        assert!(place.read(&format!("alone/{file}")) == place.read(&format!("beside/{file}")), "{file}");
    }
}

#[test]
fn the_seed_changes_random_and_gamma_heat_maps_only() {
    let place = Place::new();
    let methods = "a.png --method gradient,attribution:filter,attribution:random --format npy,png";
    place.explain(&format!("{methods} -o plain")).done();
    let different = |options: &str| -> Vec<String> {
        place.explain(&format!("{methods} -o other --overwrite {options}")).done();
        let files = place.files("plain").into_iter().filter(|file| file.starts_with("a."));
        files
            .filter(|file| place.read(&format!("plain/{file}")) != place.read(&format!("other/{file}")))
            .collect()
    };
    assert_eq!(different(""), [""; 0]);
    assert_eq!(different("--seed 1"), ["a.attribution-random.npy", "a.attribution-random.png"]);
    assert_eq!(different("--gamma 1"), ["a.attribution-filter.png", "a.attribution-random.png"]);
    assert!(!different("--pixel-scale 255").is_empty());
    assert!(!different("--mean 0,0,0").is_empty());
    assert!(!different("--std 1,1,2").is_empty());
}

/// A network that sees nothing but red: its gradient is in the first channel, whatever the network's own order.
#[test]
fn arrays_are_red_green_blue() {
    let place = Place::new();
    for (order, red) in [("rgb", 0), ("bgr", 2)] {
        let mut model = Model::tiny(3);
        let (_, weights) = model.tensors.get_mut("features.0.weight").unwrap();
        for (index, weight) in weights.iter_mut().enumerate() {
            *weight = if index / 9 % 3 == red { 0.5 } else { 0.0 };
        }
        let (_, biases) = model.tensors.get_mut("features.0.bias").unwrap();
        biases.fill(10.0);
        let (_, weights) = model.tensors.get_mut("features.3.weight").unwrap();
        weights.iter_mut().for_each(|weight| *weight = weight.abs());
        model.save(place.path(), "red.safetensors", Dtype::F32);
        place.vggx(&format!("explain --weights red.safetensors --resize 14 --crop 12 a.png --method gradient --format npy --channel-order {order} -o {order}")).done();
        let (_, values) = npy(&place.read(&format!("{order}/a.gradient.npy")));
        assert!(values[..144].iter().any(|&value| value != 0.0), "{order}");
        assert!(values[144..].iter().all(|&value| value == 0.0), "{order}");
    }
}

#[test]
fn headless_networks_have_no_probability_and_timm_names_agree_with_torchvision() {
    let place = Place::new();
    Model::tiny(1).save(place.path(), "headless.safetensors", Dtype::F16);
    let row = place.vggx("explain --weights headless.safetensors --resize 14 --crop 12 a.png --method gradient --json -o h").done().rows().remove(0);
    assert!(row["probability"].is_null() && row["response"].is_number(), "{row}");

    Model::tiny_classifier(1).timm(2).save(place.path(), "timm.safetensors", Dtype::F32);
    place.explain("a.png --method gradient --format npy -o torchvision").done();
    place.vggx("explain --weights timm.safetensors --resize 14 --crop 12 a.png --method gradient --format npy -o timm").done();
    assert!(place.read("timm/a.gradient.npy") == place.read("torchvision/a.gradient.npy"));
    assert_eq!(place.manifest("timm"), place.manifest("torchvision"));
}

/// The bundled network, its patterns, and the default options: what the README's first command does.
#[test]
fn the_bundled_network_explains_samples() {
    let (Some(weights), Some(_)) =
        (bundled("vgg16-features.safetensors"), bundled("vgg16-features-patterns.safetensors"))
    else {
        return;
    };
    let place = Place::new();
    std::fs::create_dir(place.file("samples")).unwrap();
    let cat = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/third_party/cat.png");
    std::fs::copy(&cat, place.file("samples/cat.png")).unwrap();
    let explain = |arguments: &[&str]| {
        let mut command = place.command(["explain"]);
        command.args(arguments).env("VGGX_DATA", weights.parent().unwrap());
        Ran::from(&command.output().unwrap())
    };
    explain(&[]).done();
    assert_eq!(
        place.files("explanations"),
        ["cat.pattern-attribution.png", "cat.patternnet.png", "manifest.jsonl", "run.json"]
    );
    let record = place.json("explanations/run.json");
    assert!(record["options"]["patterns"].as_str().unwrap().ends_with("vgg16-features-patterns.safetensors"));
    assert!(record["fingerprints"]["patterns"].is_string());
    let picture = image::load_from_memory(&place.read("explanations/cat.patternnet.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (224, 224));

    // The file holds 224×224 pixels: without a resize they reach the network untouched. Its path named, the bundled
    // network still has its patterns.
    let name = weights.to_str().unwrap();
    explain(&[
        "--weights",
        name,
        "--resize",
        "224",
        "--method",
        "signal:identity,patternnet",
        "--format",
        "npy,png",
        "-o",
        "plain",
    ])
    .done();
    let pixels = image::open(&cat).unwrap().to_rgb8();
    let (shape, values) = npy(&place.read("plain/cat.signal-identity.npy"));
    assert_eq!(shape, [3, 224, 224]);
    // Means of the Caffe weights, red first.
    for (channel, mean) in [123.68, 116.779, 103.939].into_iter().enumerate() {
        for (pixel, value) in pixels.pixels().zip(&values[channel * 224 * 224..]) {
            // float32 of numbers up to 256 has steps of 1.5e-5 at most, and three of them are rounded.
            assert!((f64::from(pixel.0[channel]) - mean - f64::from(*value)).abs() < 1e-4);
        }
    }
}
