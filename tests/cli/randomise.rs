//! `randomise`: whether explanations depend on what the network has learnt.

use crate::run::{Place, Ran};
use serde_json::Value;

const TINY: &str =
    "randomise --weights net.safetensors --patterns patterns.safetensors --resize 14 --crop 12 --device cpu";

fn randomise(place: &Place, arguments: &str) -> Ran {
    place.vggx(&format!("{TINY} {arguments}"))
}

#[test]
fn maps_are_compared_layer_by_layer() {
    let place = Place::new();
    place.write("bad.png", "no picture");
    let ran = randomise(&place, "a.png bad.png b.png -m gradient,pattern-attribution -o out/r.json")
        .expect(3, &["error: bad.png: "]);
    assert_eq!(place.files("out"), ["r.json", "r.png", "r.svg"]);
    let document = place.json("out/r.json");
    assert_eq!(document["scope"], "cascading");
    assert_eq!(document["images"], serde_json::json!(["a.png", "b.png"]));
    assert_eq!(document["failed"][0]["input"], "bad.png");
    let layers = document["layers"].as_array().unwrap();
    assert_eq!(ran.out.lines().count(), layers.len() + 1);
    let first = layers.first().unwrap()["name"].as_str().unwrap();
    let last = layers.last().unwrap()["name"].as_str().unwrap();
    assert!(first.starts_with("classifier.") && last == "features.0", "{first} {last}");
    for layer in layers {
        for method in ["gradient", "pattern-attribution"] {
            for measure in ["ssim", "ssim_abs", "spearman", "spearman_abs"] {
                let measure = &layer["methods"][method][measure];
                assert_eq!(measure["images"].as_array().unwrap().len(), 2);
                for value in measure["images"].as_array().unwrap().iter().filter_map(Value::as_f64) {
                    assert!((-1.0..=1.0).contains(&value));
                }
            }
        }
    }
    // The same again, wherever it runs.
    let again = randomise(
        &place,
        "a.png b.png -m gradient,pattern-attribution -o s.json --threads 1 --batch 1 --json",
    )
    .done();
    assert_eq!(again.rows()[0]["layers"], document["layers"]);
    let other =
        randomise(&place, "a.png b.png -m gradient,pattern-attribution -o t.json --seed 1 --json").done();
    assert_ne!(other.rows()[0]["layers"], document["layers"]);
    randomise(&place, "a.png -m gradient -o s.json").expect(1, &["s.json", "--overwrite"]);
    let alone = randomise(&place, "a.png -m gradient -o s.json --independent --overwrite --json -q").done();
    assert_eq!((&alone.rows()[0]["scope"], alone.err.as_str()), (&"independent".into(), ""));
    assert_eq!(alone.rows()[0]["layers"][0]["methods"]["gradient"]["ssim"]["ci95"], Value::Null);
    // No files of weights are left.
    let files: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(files.iter().all(|file| !file.to_string_lossy().starts_with(".vggx")), "{files:?}");
    randomise(&place, "bad.png -m gradient -o u.json").expect(1, &["every input failed"]);
}
