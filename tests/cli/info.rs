//! `vggx info`.

use crate::run::{Place, Ran};
use crate::support::{Model, bundled};
use safetensors::Dtype;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn it_starts_at_once() {
    let place = Place::new();
    let mut calls = vec![("info".to_owned(), place.command(["info"]))];
    if let Some(weights) = bundled("vgg16-features.safetensors") {
        let mut command = place.command(["info"]);
        command.arg(weights);
        calls.push(("info of the bundled weights".to_owned(), command));
    }
    for (name, mut command) in calls {
        // The fastest of many: other tests run at the same time.
        let fastest = (0..30)
            .map(|_| {
                let start = Instant::now();
                let output = command.output().unwrap();
                let elapsed = start.elapsed();
                Ran::from(&output).done();
                elapsed
            })
            .min()
            .unwrap();
        println!("{name}: {fastest:?} (goal: 50 ms)");
        assert!(fastest < Duration::from_millis(50), "{name}: {fastest:?}");
    }
}

#[test]
fn the_build_in_text_and_json() {
    let place = Place::new();
    let text = place.vggx("info").done().out;
    assert!(text.contains("CPU") && text.contains("CUDA") && text.contains("threads"), "{text}");
    let json = &place.vggx("info --json").done().rows()[0];
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["cpu"]["threads"].as_u64().unwrap() >= 1);
    assert!(json["cuda"]["architectures"].is_array());
}

#[test]
fn files_in_text_and_json() {
    let place = Place::new();
    let text = place.vggx("info net.safetensors").done().out;
    for word in ["features.0", "classifier.6", "8 classes", "F32", "[4, 3, 3, 3]"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json = &place.vggx("info --json net.safetensors").done().rows()[0];
    assert_eq!((json["kind"].as_str(), json["outputs"].as_u64()), (Some("weights"), Some(8)));
    assert_eq!(json["layers"][0]["name"], "features.0");
    assert_eq!(json["preprocessing"]["channel_order"], "rgb");
    let parameters: usize = Model::tiny_classifier(1).tensors.values().map(|(_, values)| values.len()).sum();
    assert_eq!(json["parameters"], parameters);

    let text = place.vggx("info patterns.safetensors").done().out;
    assert!(text.contains("patterns (positive)") && text.contains("features.0.positive"), "{text}");
    let json = &place.vggx("info --json patterns.safetensors").done().rows()[0];
    assert_eq!(json["kind"], "patterns");
    assert_eq!(json["estimators"], serde_json::json!(["positive"]));

    // What a hostile file says does not reach the terminal as it is.
    let hostile = Model::tiny(1).with_metadata("note", "\u{1b}[2J");
    hostile.save(place.path(), "hostile.safetensors", Dtype::F32);
    let text = place.vggx("info hostile.safetensors").done().out;
    assert!(!text.contains('\u{1b}') && text.contains("headless"), "{text}");
}

#[test]
fn other_files_are_refused() {
    let place = Place::new();
    place.write("empty", "");
    for (file, words) in [
        ("missing", &["missing"][..]),
        ("empty", &["empty"]),
        ("a.png", &["a.png", "not a safetensors"]),
        (".", &["."]),
    ] {
        place.vggx(&format!("info {file}")).expect(1, words);
    }
}

/// The bundled files are found by VGGX_DATA, in weights/ of the working folder, and beside an installed binary.
#[test]
fn bundled_files_are_found_in_all_places() {
    let (Some(weights), Some(patterns)) =
        (bundled("vgg16-features.safetensors"), bundled("vgg16-features-patterns.safetensors"))
    else {
        return;
    };
    let place = Place::new();
    let found = |output: std::process::Output| {
        let json = Ran::from(&output).done().rows().remove(0);
        ["weights", "patterns"].map(|kind| json[kind].as_str().map(str::to_owned))
    };
    for folder in ["data", "weights", "share/vggx"] {
        std::fs::create_dir_all(place.file(folder)).unwrap();
        for file in [&weights, &patterns] {
            std::fs::hard_link(file, place.file(folder).join(file.file_name().unwrap()))
                .or_else(|_| {
                    std::fs::copy(file, place.file(folder).join(file.file_name().unwrap())).map(drop)
                })
                .unwrap();
        }
    }
    let data =
        found(place.command(["info", "--json"]).env("VGGX_DATA", place.file("data")).output().unwrap());
    assert!(data.iter().all(|path| path.as_ref().unwrap().contains("/data/")), "{data:?}");
    let working = found(place.command(["info", "--json"]).output().unwrap());
    assert!(working.iter().all(|path| path.as_ref().unwrap().contains("weights/")), "{working:?}");

    std::fs::create_dir(place.file("bin")).unwrap();
    std::fs::create_dir(place.file("elsewhere")).unwrap();
    std::fs::copy(crate::run::VGGX, place.file("bin/vggx")).unwrap();
    let mut installed = Command::new(place.file("bin/vggx"));
    installed.args(["info", "--json"]).current_dir(place.file("elsewhere")).env_remove("VGGX_DATA");
    let installed = found(installed.output().unwrap());
    assert!(installed.iter().all(|path| path.as_ref().unwrap().contains("share/vggx")), "{installed:?}");
}
