//! `quality`: from moments, from images, from one set parted in three.

use crate::run::{Place, Ran};
use crate::support::Model;
use safetensors::Dtype;
use serde_json::Value;

/// The tiny network on crops of 12×12.
const TINY: &str = "--weights net.safetensors --resize 14 --crop 12 --device cpu";

impl Place {
    fn quality(&self, arguments: &str) -> Ran {
        self.vggx(&format!("quality --weights net.safetensors {arguments}"))
    }

    /// Pictures in `all/`, moments of every third one in `0.moments` and so on, patterns of the first third.
    fn measured() -> Self {
        let place = Place::new();
        (0..9).for_each(|seed| place.picture(format!("all/{seed}.png"), seed));
        for part in 0..3 {
            let learn = format!("learn {TINY} all --crops 3 --seed 4 --second-moments --shard {part}/3");
            place.vggx(&format!("{learn} --moments {part}.safetensors --json")).done();
        }
        for centering in ["global", "regime"] {
            let solve = format!("solve --weights net.safetensors 0.safetensors --centering {centering}");
            place.vggx(&format!("{solve} -o {centering}.patterns")).done();
        }
        place
    }
}

/// The estimators of a layer.
fn names(layer: &Value) -> Vec<&str> {
    layer["estimators"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// All that was measured, without the time that it took.
fn values(document: &Value) -> Vec<Value> {
    let mut layers = document["layers"].as_array().unwrap().clone();
    for layer in &mut layers {
        assert!(layer.as_object_mut().unwrap().remove("seconds").unwrap().as_f64() >= Some(0.0));
    }
    layers
}

#[test]
fn moments_and_patterns_of_both_centerings_give_five_estimators() {
    let place = Place::measured();
    let ran = place
        .quality("--moments 2.safetensors --fit 1.safetensors --patterns global.patterns,regime.patterns -o out/q.json")
        .expect(0, &["warning: classifier.0: no ρ for 6 neurons", "no more positions to fit v on than inputs a neuron"]);
    assert_eq!(place.files("out"), ["q.json", "q.png", "q.svg"]);
    let document = place.json("out/q.json");
    assert_eq!(document["evaluated"]["images"], 9);
    assert_eq!(document["fit"]["moments"], serde_json::json!(["1.safetensors"]));
    assert_eq!(document["patterns"][1]["centering"], "regime");
    let layers = document["layers"].as_array().unwrap();
    let all = ["filter", "linear", "random", "two-component-global", "two-component-regime"];
    let mut defined = 0;
    for layer in layers {
        assert_eq!(names(layer), all);
        let (k, positions) = (layer["k"].as_u64().unwrap(), layer["fit_positions"].as_u64().unwrap());
        for estimator in layer["estimators"].as_object().unwrap().values() {
            let rho = estimator["rho"].as_array().unwrap();
            assert_eq!(rho.len(), estimator["rho_in_sample"].as_array().unwrap().len());
            if positions <= k {
                assert!(rho.iter().all(Value::is_null) && estimator["mean"].is_null());
                assert_eq!(estimator["undefined"]["few-positions"], rho.len());
                continue;
            }
            let values: Vec<f64> = rho.iter().filter_map(Value::as_f64).collect();
            // A neuron may lack one of its two patterns.
            if values.is_empty() {
                assert!(
                    estimator["mean"].is_null() && estimator["undefined"]["no-pattern"].as_u64() > Some(0)
                );
                continue;
            }
            defined += 1;
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((estimator["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        }
    }
    assert!(defined >= 5);
    // The table: a heading and a row a layer, the value in sample beside it.
    let table: Vec<&str> = ran.out.lines().collect();
    assert_eq!(table.len(), layers.len() + 1);
    assert!(table[0].contains("two-component-regime") && table[1].starts_with("conv1_1  features.0"));
    let first = &layers[0]["estimators"]["linear"];
    let cell =
        format!("{:.3} ({:.3})", first["mean"].as_f64().unwrap(), first["mean_in_sample"].as_f64().unwrap());
    assert!(table[1].contains(&cell), "{cell}: {}", table[1]);
    let picture = image::load_from_memory(&place.read("out/q.png")).unwrap();
    assert!(picture.width() > 500);
    let svg = String::from_utf8(place.read("out/q.svg")).unwrap();
    assert!(svg.contains("two-component-global") && svg.contains("conv1_1"));
}

#[test]
fn images_give_what_their_moments_give_and_a_split_does_both() {
    let place = Place::measured();
    let list =
        |part: usize| (0..9).filter(move |seed| seed % 3 == part).map(|seed| format!("all/{seed}.png"));
    // Crops are drawn by the number of an image in the list, so that only crops from the centre are the same here.
    for part in [1, 2] {
        let images: Vec<String> = list(part).collect();
        let learn =
            format!("learn {TINY} {} --second-moments --moments centre{part}.safetensors", images.join(" "));
        place.vggx(&learn).done();
    }
    let images: Vec<String> = list(2).collect();
    let fit: Vec<String> = list(1).collect();
    let patterns = "--patterns global.patterns --seed 3";
    place
        .quality(&format!(
            "{} --fit {} {patterns} --resize 14 --crop 12 --device cpu -o images.json",
            images.join(" "),
            fit.join(",")
        ))
        .done();
    place
        .quality(&format!(
            "--moments centre2.safetensors --fit centre1.safetensors {patterns} -o moments.json"
        ))
        .done();
    let [from_images, from_moments] = ["images.json", "moments.json"].map(|name| place.json(name));
    assert_eq!(values(&from_images), values(&from_moments));
    assert_eq!(names(&from_images["layers"][0]), ["filter", "linear", "random", "two-component"]);

    place.vggx(&format!("quality {TINY} all --crops 3 --seed 4 --split -o split.json")).done();
    place
        .quality(
            "--moments 2.safetensors --fit 1.safetensors --patterns global.patterns,regime.patterns --seed 4 -o parts.json --json",
        )
        .done();
    assert_eq!(values(&place.json("split.json")), values(&place.json("parts.json")));
    let hidden = std::fs::read_dir(place.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".vggx"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn without_a_set_to_fit_on_everything_is_in_sample() {
    let place = Place::measured();
    let ran = place
        .quality(
            "--moments 1.safetensors --patterns global.patterns --estimators linear,filter --json -o q.json",
        )
        .done();
    let document = &ran.rows()[0];
    assert_eq!(document, &place.json("q.json"));
    assert!(document["fit"].is_null());
    let linear = &document["layers"][0]["estimators"]["linear"];
    assert_eq!(linear["rho"], linear["rho_in_sample"]);
    assert_eq!(names(&document["layers"][0]), ["filter", "linear"]);
    // The same moments to fit on change nothing but the warning.
    place
        .quality("--moments 1.safetensors --fit 1.safetensors --patterns global.patterns --estimators linear,filter -o same.json")
        .expect(0, &["warning: v is fitted on images that ρ is taken on too"]);
    let (same, alone) = (place.json("same.json"), document);
    for layer in 0..2 {
        let rho = |document: &Value| -> Vec<Option<f64>> {
            let values = &document["layers"][layer]["estimators"]["filter"]["rho"];
            values.as_array().unwrap().iter().map(Value::as_f64).collect()
        };
        for (a, b) in rho(&same).into_iter().zip(rho(alone)) {
            // 1 − ρ is a root of what is summed in another order.
            assert!((a.unwrap() - b.unwrap()).abs() < 1e-6, "{a:?} {b:?}");
        }
    }
    // A distractor that is nothing.
    let ran =
        place.quality("--moments 1.safetensors --estimators identity,random --json -o identity.json").done();
    let identity = &ran.rows()[0]["layers"][0]["estimators"]["identity"];
    place
        .quality("--moments 1.safetensors --fit 0.safetensors --patterns global.patterns --estimators linear,linear,random -o shared.json")
        .expect(0, &["warning: global.patterns was learnt from images that v is fitted on too"]);
    assert_eq!(names(&place.json("shared.json")["layers"][0]), ["linear", "random"]);
    assert_eq!(place.json("shared.json")["patterns"][0]["estimators"], serde_json::json!(["linear"]));
    assert!(identity["mean"].is_null() && identity["undefined"]["no-distractor"].as_u64() > Some(0));
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::measured();
    place.quality("--moments 1.safetensors -o none.json").expect(
        0,
        &["'linear' is not measured: no pattern file was given", "'two-component' is not measured"],
    );
    place.quality("--moments 1.safetensors --patterns patterns.safetensors -o positive.json").expect(
        0,
        &["'two-component' is not measured: no pattern file has 'negative' patterns of every layer"],
    );
    place
        .quality(
            "--moments 1.safetensors --patterns patterns.safetensors --estimators two-component -o x.json",
        )
        .expect(2, &["'two-component' cannot be measured", "'negative'"]);
    place
        .quality("--moments 1.safetensors --estimators best -o x.json")
        .expect(2, &["unknown estimator 'best'", "two-component"]);
    assert!(!place.file("x.json").exists());
}

#[test]
fn what_cannot_be_measured_is_refused_before_any_work() {
    let place = Place::measured();
    let patterns = "--patterns global.patterns";
    place.vggx(&format!("learn {TINY} all --moments first.safetensors")).done();
    place
        .quality(&format!("--moments first.safetensors {patterns} -o x.json"))
        .expect(1, &["first.safetensors has no second moments", "--second-moments"]);
    place
        .quality(&format!("--moments 1.safetensors --fit first.safetensors {patterns} -o x.json"))
        .expect(1, &["first.safetensors has no second moments"]);
    Model::tiny_classifier(9).save(place.path(), "other.safetensors", Dtype::F32);
    place
        .vggx("quality --weights other.safetensors --moments 1.safetensors -o x.json")
        .expect(1, &["1.safetensors", "other.safetensors"]);
    place
        .quality(&format!("--moments 1.safetensors --mean 0,0,0 {patterns} -o x.json"))
        .expect(1, &["another preprocessing"]);
    place
        .quality("--moments 1.safetensors --patterns global.patterns,global.patterns -o x.json")
        .expect(1, &["same centering (global)"]);
    place.quality("--moments 1.safetensors --fit 1.safetensors,all -o x.json").expect(2, &["not both"]);
    place
        .vggx(&format!("quality {TINY} all --split --estimators best -o x.json"))
        .expect(2, &["unknown estimator"]);
    place
        .vggx(&format!("quality {TINY} --moments 1.safetensors,1.safetensors --fit all -o x.json"))
        .expect(1, &["1.safetensors"]);
    // Moments by any name.
    std::fs::copy(place.file("1.safetensors"), place.file("other.name")).unwrap();
    place.quality("--moments 2.safetensors --fit other.name -o named.json").done();
    let before = (place.read("1.safetensors"), place.read("all/0.png"), place.read("global.patterns"));
    for arguments in [
        "--moments 1.safetensors -o 1.safetensors --overwrite".to_owned(),
        format!("{TINY} all -o all/0.json --overwrite").replace("--weights net.safetensors ", ""),
        "--moments 1.safetensors --patterns global.patterns -o global.patterns --overwrite".to_owned(),
        "--moments 1.safetensors -o net.safetensors --overwrite".to_owned(),
    ] {
        place.quality(&arguments).expect(2, &["is the same file as"]);
    }
    assert!(before == (place.read("1.safetensors"), place.read("all/0.png"), place.read("global.patterns")));
    place.quality("--moments 1.safetensors -o x.png").expect(2, &["x.png is the name of a plot"]);
    place.quality("--moments missing.safetensors -o x.json").expect(1, &["missing.safetensors"]);
    place.quality("nowhere --patterns global.patterns -o x.json").expect(1, &["nowhere"]);
    place.vggx(&format!("quality {TINY} all/0.png all/1.png --split -o x.json")).expect(1, &["too few"]);
    assert!(!place.file("x.json").exists() && !place.file("x.svg").exists());
    place.write("there.svg", "mine");
    place
        .quality("--moments 1.safetensors -o there.json")
        .expect(1, &["there.svg is there already", "--overwrite"]);
    assert_eq!(place.read("there.svg"), b"mine");
    place.quality("--moments 1.safetensors -o there.json --overwrite").done();
    assert_ne!(place.read("there.svg"), b"mine");
}

#[test]
fn other_inputs_go_on_when_some_fail() {
    let place = Place::measured();
    place.write("all/bad.png", "no picture");
    let measure = format!("quality {TINY} all --patterns global.patterns");
    place.vggx(&format!("{measure} -o q.json")).expect(3, &["error: all/bad.png"]);
    let document = place.json("q.json");
    assert_eq!(
        (&document["evaluated"]["images"], &document["evaluated"]["run"]["failed"]),
        (&9.into(), &1.into())
    );
    place
        .vggx("quality --weights net.safetensors all/bad.png -o x.json")
        .expect(1, &["every input", "failed"]);
}
