//! The same folder again.

use crate::run::{Place, Ran, TINY};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// All files of a folder with time and bytes.
fn state(place: &Place, folder: &str) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let time = |file: &str| std::fs::metadata(place.file(folder).join(file)).unwrap().modified().unwrap();
    let files = place.files(folder).into_iter();
    files.map(|file| (file.clone(), (time(&file), place.read(&format!("{folder}/{file}"))))).collect()
}

#[test]
fn what_is_done_is_left_alone() {
    let place = Place::new();
    let call = "a.png b.png --method gradient --json -o o";
    let first = place.explain(call).done();
    let mut before = state(&place, "o");
    let again = place.explain(call).done();
    assert!(again.err.contains("2 kept"), "{}", again.err);
    assert_eq!(again.rows(), first.rows());
    let mut after = state(&place, "o");
    assert_eq!(place.json("o/run.json")["counts"]["kept"], 2);
    assert!(before.remove("run.json").is_some() && after.remove("run.json").is_some());
    assert!(before == after);

    // Files that were lost are made again, others not.
    std::fs::remove_file(place.file("o/a.gradient.png")).unwrap();
    let ran = place.explain(call).done();
    assert!(ran.err.contains("1 explained, 1 kept"), "{}", ran.err);
    assert!(state(&place, "o")["b.gradient.png"] == before["b.gradient.png"]);
    assert!(state(&place, "o")["a.gradient.png"].1 == before["a.gradient.png"].1);
}

#[test]
fn inputs_methods_and_formats_are_added() {
    let place = Place::new();
    place.explain("a.png --method gradient --format npz -o o").done();
    place.explain("b.png --method gradient --format npz -o o").done();
    // Patterns join what the folder is made with.
    let added = place.explain("a.png b.png --method gradient,patternnet --patterns patterns.safetensors --format npz,png --json -o o").done();
    let rows = place.manifest("o");
    assert_eq!(added.rows(), rows);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["methods"].as_object().unwrap().len(), 2, "{row}");
    }
    let npz = zip::ZipArchive::new(std::io::Cursor::new(place.read("o/a.npz"))).unwrap();
    assert!(
        ["gradient.npy", "patternnet.npy"]
            .iter()
            .all(|name| npz.file_names().any(|held| held.unwrap() == *name))
    );
    place.explain("a.png --method gradient --format png -o o").done();
    // From here on other patterns would change what is there.
    crate::support::Model::tiny_classifier(1).patterns(&["negative", "positive"]).save(
        place.path(),
        "others.safetensors",
        safetensors::Dtype::F32,
    );
    place
        .explain("a.png --method patternnet --patterns others.safetensors -o o")
        .expect(1, &["patterns", "--overwrite"]);
}

#[test]
fn a_changed_option_is_refused_and_overwrite_redoes() {
    let place = Place::new();
    let base = "a.png --method attribution:filter -o o";
    crate::support::Model::tiny_classifier(2).save(
        place.path(),
        "other.safetensors",
        safetensors::Dtype::F32,
    );
    place.explain(base).done();
    let before = state(&place, "o");
    for (change, word) in [
        ("--target 2", "target"),
        ("--gamma 1", "gamma"),
        ("--mean 0,0,0", "mean"),
        ("--std 1,1,1", "std"),
        ("--pixel-scale 255", "pixel-scale"),
        ("--channel-order bgr", "channel-order"),
    ] {
        place.explain(&format!("{base} {change}")).expect(1, &[word, "--overwrite", "another output folder"]);
    }
    let other = base.replace("a.png", "a.png --weights other.safetensors --resize 14 --crop 12");
    place.vggx(&format!("explain {other}")).expect(1, &["weights"]);
    for (change, word) in [("--resize 15 --crop 12", "resize"), ("--resize 14 --crop 13", "crop")] {
        place.vggx(&format!("explain --weights net.safetensors {base} {change}")).expect(1, &[word]);
    }
    assert!(state(&place, "o") == before);
    // What changes no output is no change: a seed without random directions, batches, threads.
    place.explain(&format!("{base} --seed 5 --batch 3 --threads 1 --max-pixels 1000")).done();
    place.explain(&format!("{base} --target 2 --overwrite")).done();
    assert_eq!(place.manifest("o")[0]["target"], 2);
    assert!(place.read("o/a.attribution-filter.png") != before["a.attribution-filter.png"].1);
}

/// A label is what it means, not what it is called.
#[test]
fn labels_are_compared_by_their_place() {
    let place = Place::new();
    place.write("one.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\nhen\n");
    place.write("two.txt", "bee\nant\ncat\ndog\neel\nfox\ngnu\nhen\n");
    let call = "a.png --method gradient -o o";
    place.explain(&format!("{call} --labels one.txt --target bee")).done();
    place.explain(&format!("{call} --labels two.txt --target bee")).expect(1, &["target"]);
    place.explain(&format!("{call} --target 1")).done();
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on() {
    let place = Place::new();
    for seed in 0..300 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    let call = "in --method gradient,deconvnet --format npy --batch 1 -o o";
    let mut child = place
        .command(format!("{TINY} {call}").split_whitespace())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let partial = place.file("o/manifest.jsonl.partial");
    let start = Instant::now();
    while std::fs::metadata(&partial).map_or(0, |metadata| metadata.len()) < 1000 {
        assert!(start.elapsed() < Duration::from_secs(30), "the run does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.file("o/run.json").exists(), "the run was over before it was killed");

    let ran = place.explain(call).done();
    let counts = &place.json("o/run.json")["counts"];
    assert!(counts["kept"].as_u64().unwrap() >= 1, "{}", ran.err);
    assert_eq!((counts["images"].as_u64(), place.manifest("o").len()), (Some(300), 300));
    place.explain("in --method gradient,deconvnet --format npy -o whole").done();
    assert_eq!(place.files("o"), place.files("whole"));
    for file in place.files("whole").iter().filter(|file| *file != "run.json") {
        assert!(place.read(&format!("o/{file}")) == place.read(&format!("whole/{file}")), "{file}");
    }
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let place = Place::new();
    for seed in 0..300 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    let call = format!("{TINY} in --method gradient --format npy --batch 1 -o o");
    let mut child = place
        .command(call.split_whitespace())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let partial = place.file("o/manifest.jsonl.partial");
    while !partial.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run was over before the other began");
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = Ran::from(&place.command(call.split_whitespace()).output().unwrap());
    child.wait().unwrap();
    second.expect(1, &["another run is writing into o"]);
}
