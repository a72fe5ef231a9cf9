//! `perturb`: curves, and runs that stop and go on.

use crate::run::{Place, Ran, lines};
use crate::support::Model;
use safetensors::Dtype;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The tiny network on crops of 12×12, which patches of 5 cut into 9.
const TINY: &str = "perturb --weights net.safetensors --patterns patterns.safetensors --resize 14 --crop 12 --patch 5 --device cpu";

fn perturb(place: &Place, arguments: &str) -> Ran {
    place.vggx(&format!("{TINY} {arguments}"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-12
}

#[test]
fn curves_are_written_with_plots_and_a_table() {
    let place = Place::new();
    let call = "a.png b.png -m patternnet,gradient --order most,least --steps 4 -o out/c.json";
    let ran = perturb(&place, call).done();
    assert_eq!(place.files("out"), ["c.json", "c.png", "c.svg"]);
    let document = place.json("out/c.json");
    assert_eq!(document["mode"], "flip");
    assert_eq!(document["measure"], "probability");
    assert_eq!((&document["patch"], &document["patches"]), (&5.into(), &9.into()));
    assert_eq!(document["steps"], serde_json::json!([0, 1, 2, 3, 4]));
    assert!(close(document["fractions"][3].as_f64().unwrap(), 3.0 / 9.0));
    let curves = document["methods"].as_object().unwrap();
    let names: Vec<&str> = curves.keys().map(String::as_str).collect();
    assert_eq!(names, ["gradient", "gradient/least", "patternnet", "patternnet/least", "random"]);
    assert_eq!(
        (&curves["gradient/least"]["method"], &curves["gradient/least"]["order"]),
        (&"gradient".into(), &"least".into())
    );
    assert_eq!((&curves["random"]["method"], &curves["random"]["order"]), (&Value::Null, &"random".into()));
    for (name, curve) in curves {
        let mean = numbers(&curve["mean"]);
        let images: Vec<Vec<f64>> = ["a.png", "b.png"].map(|image| numbers(&curve["images"][image])).to_vec();
        let of_step = |step: usize| (images[0][step] + images[1][step]) / 2.0;
        assert!((0..5).all(|step| close(mean[step], of_step(step))), "{name}");
        let aopc = mean.iter().map(|value| mean[0] - value).sum::<f64>() / 5.0;
        assert!(close(curve["aopc"].as_f64().unwrap(), aopc) && curve.get("auc").is_none());
        // Of two images, sets hold one of them twice often enough.
        for (step, interval) in curve["ci95"].as_array().unwrap().iter().enumerate() {
            let ends = numbers(interval);
            let (low, high) = (images[0][step].min(images[1][step]), images[0][step].max(images[1][step]));
            assert!(close(ends[0], low) && close(ends[1], high), "{name}, step {step}");
        }
        for image in ["a.png", "b.png"] {
            let first = curve["images"][image][0].as_f64().unwrap();
            assert!(close(first, document["images"][image]["probability"].as_f64().unwrap()));
        }
    }
    // Most and least relevant first are not the same.
    assert_ne!(curves["gradient"]["images"], curves["gradient/least"]["images"]);
    let table: Vec<&str> = ran.out.lines().collect();
    assert_eq!(table.len(), 6);
    assert!(table[0].contains("AOPC") && table[1].starts_with("patternnet "), "{}", ran.out);
    let svg = String::from_utf8(place.read("out/c.svg")).unwrap();
    assert!(svg.contains("gradient, least first") && svg.contains("5×5 patches replaced by mean"));
    assert!(image::load_from_memory(&place.read("out/c.png")).unwrap().width() > 500);

    // What explain chooses is what is watched.
    place.explain("a.png b.png --method gradient --device cpu -o e").done();
    for row in place.manifest("e") {
        let image = &document["images"][row["input"].as_str().unwrap()];
        assert_eq!(image["target"], row["target"]);
        assert!((image["probability"].as_f64().unwrap() - row["probability"].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn deletion_ends_where_insertion_begins() {
    let place = Place::new();
    for mode in ["deletion", "insertion"] {
        for replace in ["mean", "black", "dataset-mean", "blur", "noise"] {
            let output = format!("{mode}-{replace}.json");
            let call = format!(
                "a.png b.png -m gradient --mode {mode} --replace {replace} --seed 3 -o {output} --json -q"
            );
            let ran = perturb(&place, &call).done();
            assert_eq!(ran.rows()[0], place.json(&output));
            assert_eq!(ran.err, "");
        }
    }
    for replace in ["mean", "black", "dataset-mean", "blur", "noise"] {
        let [deleted, inserted] =
            ["deletion", "insertion"].map(|mode| place.json(&format!("{mode}-{replace}.json")));
        let (deleted, inserted) = (&deleted["methods"], &inserted["methods"]);
        for image in ["a.png", "b.png"] {
            for curve in ["gradient", "random"] {
                let (down, up) =
                    (numbers(&deleted[curve]["images"][image]), numbers(&inserted[curve]["images"][image]));
                assert_eq!((down.len(), up.len()), (10, 10));
                assert_eq!((down[0], down[9]), (up[9], up[0]), "{replace}");
                assert_ne!(down[0], down[9]);
            }
        }
        for (curve, document) in [("gradient", deleted), ("random", inserted)] {
            let mean = numbers(&document[curve]["mean"]);
            let auc = mean.windows(2).map(|pair| (pair[0] + pair[1]) / 18.0).sum::<f64>();
            assert!(close(document[curve]["auc"].as_f64().unwrap(), auc));
            assert!(document[curve].get("aopc").is_none());
        }
    }
    let of = |file: &str| place.json(file)["methods"]["gradient"]["mean"].clone();
    assert_ne!(of("deletion-mean.json"), of("deletion-black.json"));
    // Insertion begins with a blurred image when nothing else is said.
    perturb(&place, "a.png b.png -m gradient --mode insertion --seed 3 -o i.json").done();
    assert_eq!(place.json("i.json")["methods"], place.json("insertion-blur.json")["methods"]);
}

#[test]
fn headless_networks_have_relative_responses_and_one_image_no_interval() {
    let place = Place::new();
    Model::tiny(4).save(place.path(), "features.safetensors", Dtype::F32);
    let call = "perturb --weights features.safetensors --resize 14 --crop 12 --patch 5 --device cpu a.png -m gradient --steps 0,2,9";
    let ran = place.vggx(call).done();
    let document = place.json("curves.json");
    assert_eq!(document["measure"], "relative-response");
    assert_eq!(document["steps"], serde_json::json!([0, 2, 9]));
    let curve = &document["methods"]["gradient"];
    assert_eq!(curve["mean"][0], 1.0);
    assert_eq!((&curve["ci95"], curve.get("aopc_ci95")), (&Value::Null, None));
    assert_eq!(document["images"]["a.png"]["probability"], Value::Null);
    assert!(ran.out.lines().nth(1).unwrap().contains(" - "), "{}", ran.out);
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let place = Place::new();
    (0..30).for_each(|seed| place.picture(format!("in/{seed}.png"), seed));
    // Patches of one pixel: 144, hundreds of copies an image.
    let call = "in -m gradient --patch 1 --mode deletion --threads 1 --batch 4 -q";
    let tiny = TINY.replace("--patch 5 ", "");
    place.vggx(&format!("{tiny} {call} -o whole.json")).done();
    let whole = place.json("whole.json");
    let arguments = format!("{tiny} {call} -o part.json");
    let kept = || std::fs::read_to_string(place.file("part.json.checkpoint")).unwrap_or_default();
    let mut child = place.command(arguments.split(' ')).stdout(std::process::Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while kept().lines().count() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.file("part.json").exists());
    // Half a line, as a kill may leave it, and a line that nobody would compute.
    let mut text = kept();
    text.truncate(text.rfind('\n').unwrap() + 1);
    let mut last: Value = lines(&text).pop().unwrap();
    let marked = last["image"].as_str().unwrap().to_owned();
    last["response"] = 123.0.into();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains(&format!("\"{marked}\""))).collect();
    place.write("part.json.checkpoint", format!("{}\n{last}\n{{\"image\":\"in/", without.join("\n")));
    let done = lines(&text).len() - 1;
    let ran = place.vggx(&format!("{} -o part.json", format!("{tiny} {call}").replace(" -q", ""))).done();
    assert!(ran.err.contains(&format!("{done} of 30 images kept from an earlier run")), "{}", ran.err);
    assert!(!place.file("part.json.checkpoint").exists());
    let part = place.json("part.json");
    assert_eq!(part["images"][&marked]["response"], 123.0);
    assert_eq!(part["methods"], whole["methods"]);
    // Done: nothing is computed again.
    let again = place.vggx(&format!("{} -o part.json", format!("{tiny} {call}").replace(" -q", ""))).done();
    assert!(again.err.contains("30 of 30 images kept"), "{}", again.err);
    assert_eq!(place.json("part.json"), part);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_asked_to_stop_says_how_far_it_came() {
    let place = Place::new();
    (0..30).for_each(|seed| place.picture(format!("in/{seed}.png"), seed));
    let call = format!("{} in -m gradient --patch 1 --threads 1 --batch 4", TINY.replace("--patch 5 ", ""));
    let child = place
        .command(call.split(' '))
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while std::fs::read_to_string(place.file("curves.json.checkpoint")).unwrap_or_default().lines().count()
        < 2
    {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    Ran::from(&child.wait_with_output().unwrap())
        .expect(130, &["stopped after", "of 30 images", "goes on from curves.json.checkpoint"]);
    place.vggx(&call).done();
    assert_eq!(place.json("curves.json")["images"].as_object().unwrap().len(), 30);
}

#[test]
fn other_options_are_refused_and_other_images_added() {
    let place = Place::new();
    perturb(&place, "a.png -m gradient --steps 3").done();
    let first = place.json("curves.json");
    for (change, word) in [
        ("-m deconvnet --steps 3", "curves"),
        ("-m gradient --steps 4", "steps"),
        ("-m gradient --steps 3 --seed 1", "seed"),
        ("-m gradient --steps 3 --replace black", "replace"),
        ("-m gradient --steps 3 --target 1", "target"),
        ("-m gradient --steps 3 --mean 1,2,3", "mean"),
    ] {
        perturb(&place, &format!("a.png {change}")).expect(1, &[word, "curves.json", "--overwrite"]);
        assert_eq!(place.json("curves.json"), first);
    }
    let ran = perturb(&place, "a.png b.png -m gradient --steps 3").done();
    assert!(ran.err.contains("1 of 2 images kept"), "{}", ran.err);
    let both = place.json("curves.json");
    assert_eq!(
        both["methods"]["gradient"]["images"]["a.png"],
        first["methods"]["gradient"]["images"]["a.png"]
    );
    assert_eq!(both["images"].as_object().unwrap().len(), 2);
    perturb(&place, "a.png -m deconvnet --steps 3 --overwrite").done();
    assert!(place.json("curves.json")["methods"].get("deconvnet").is_some());
    // A checkpoint of other options, and one that is none.
    place.write("c.json.checkpoint", "{\"run\":{},\"overwrite\":false}\n");
    perturb(&place, "a.png -m gradient -o c.json")
        .expect(1, &["c.json.checkpoint", "other options", "--overwrite"]);
    place.write("c.json.checkpoint", "nonsense");
    perturb(&place, "a.png -m gradient -o c.json").expect(1, &["c.json.checkpoint"]);
    perturb(&place, "a.png -m gradient -o c.json --overwrite").done();
    place.write("d.json", "[]");
    perturb(&place, "a.png -m gradient -o d.json").expect(1, &["d.json", "none of `vggx perturb`"]);
}

#[test]
fn bad_images_are_left_out() {
    let place = Place::new();
    place.write("bad.png", "no picture");
    image::RgbImage::from_pixel(1, 1, image::Rgb([9, 200, 30])).save(place.file("one.png")).unwrap();
    let call = "bad.png a.png missing.png one.png -m gradient --steps 2";
    perturb(&place, call).expect(3, &["error: bad.png: ", "error: missing.png: "]);
    let document = place.json("curves.json");
    let failed: Vec<&Value> =
        document["failed"].as_array().unwrap().iter().map(|entry| &entry["input"]).collect();
    assert_eq!(failed, ["bad.png", "missing.png"]);
    let images: Vec<&String> = document["images"].as_object().unwrap().keys().collect();
    assert_eq!(images, ["a.png", "one.png"]);
    // Every patch of one colour is its own mean.
    let curve = numbers(&document["methods"]["gradient"]["images"]["one.png"]);
    assert!(curve.iter().all(|value| (value - curve[0]).abs() < 1e-6));
    perturb(&place, "bad.png missing.png -m gradient -o none.json").expect(1, &["every input failed"]);
    assert!(!place.file("none.json").exists() && !place.file("none.json.checkpoint").exists());
    // Targets that come with images.
    place.write("list.txt", "a.png\t2\nb.png\tx\n");
    perturb(&place, "@list.txt -m gradient --target key -o key.json").expect(3, &["error: b.png: ", "'x'"]);
    assert_eq!(place.json("key.json")["images"]["a.png"]["target"], 2);
    place.write("list.txt", "a.png\t1\nb.png\t0\n");
    perturb(&place, "@list.txt -m gradient --target key -o key.json").done();
    let images = &place.json("key.json")["images"];
    assert_eq!((&images["a.png"]["target"], &images["b.png"]["target"]), (&1.into(), &0.into()));
}

#[test]
fn wrong_words_are_usage_errors() {
    let place = Place::new();
    for (arguments, words) in [
        ("--patch 0", &["--patch"][..]),
        ("--steps 3,2", &["3,2", "rising"]),
        ("--steps 0,10", &["step 10", "9 patches"]),
        ("--mode delete", &["'delete'", "deletion"]),
        ("--order best", &["'best'", "least"]),
        ("--replace grey", &["'grey'", "dataset-mean"]),
        ("-o x.png", &["x.png", "plot"]),
        ("--crop 20", &["20", "14"]),
    ] {
        let tiny =
            if arguments.contains("--patch") { TINY.replace("--patch 5 ", "") } else { TINY.to_owned() };
        let tiny = if arguments.contains("--crop") { tiny.replace("--crop 12 ", "") } else { tiny };
        place.vggx(&format!("{tiny} a.png -m gradient {arguments}")).expect(2, words);
    }
    perturb(&place, "a.png -m gradient -o net.safetensors").expect(2, &["net.safetensors", "the weights"]);
}
