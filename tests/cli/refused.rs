//! Weights and patterns that are not what they should be, and places that cannot be written.

use crate::run::{Place, Ran};
use crate::support::{Model, raw};
use safetensors::Dtype;
use std::fs::OpenOptions;
use std::process::Stdio;

#[test]
fn bad_weights_are_refused() {
    let place = Place::new();
    let good = Model::tiny_classifier(1);
    let bytes = good.bytes(Dtype::F32);
    place.write("truncated", &bytes[..bytes.len() / 2]);
    place.write("header", &raw("{}", b"")[..7]);
    place.write("oversized", [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat());
    place.write("zero", "");
    good.clone().without("features.3.bias").save(place.path(), "gap", Dtype::F32);
    good.clone().with("features.3.weight", &[5, 7, 3, 3]).save(place.path(), "shape", Dtype::F32);
    good.save(place.path(), "type", Dtype::I32);
    let mut broken = good.clone();
    broken.tensors.get_mut("features.3.weight").unwrap().1[5] = f32::NAN;
    broken.save(place.path(), "nan", Dtype::F32);
    for (file, words) in [
        ("missing", &["missing"][..]),
        ("truncated", &["truncated"]),
        ("header", &["header"]),
        ("oversized", &["oversized", "header"]),
        ("zero", &["zero"]),
        ("gap", &["gap", "features.3.bias"]),
        ("shape", &["shape", "features.3.weight"]),
        ("type", &["type"]),
        ("nan", &["nan", "features.3.weight"]),
        ("patterns.safetensors", &["patterns.safetensors"]),
        (".", &["."]),
    ] {
        let ran =
            place.vggx(&format!("explain a.png --method gradient --weights {file} -o o")).expect(1, words);
        assert!(ran.out.is_empty(), "{}", ran.out);
    }
    assert!(place.files("o").is_empty(), "{:?}", place.files("o"));
}

#[test]
fn bad_patterns_are_refused() {
    let place = Place::new();
    let patterns = Model::tiny_classifier(1).patterns(&["positive"]);
    Model::tiny(1).patterns(&["positive"]).save(place.path(), "layers", Dtype::F32);
    let shape = patterns.clone().with("features.3.positive", &[5, 3, 3, 3]);
    shape.save(place.path(), "shape", Dtype::F32);
    let mut nan = patterns.clone();
    nan.tensors.get_mut("features.3.positive").unwrap().1[0] = f32::INFINITY;
    nan.save(place.path(), "nan", Dtype::F32);
    for (file, words) in [
        ("missing", &["missing"][..]),
        ("layers", &["classifier"]),
        ("shape", &["features.3.positive"]),
        ("nan", &["features.3.positive"]),
        ("net.safetensors", &["net.safetensors"]),
    ] {
        place.explain(&format!("a.png --method patternnet --patterns {file} -o o")).expect(1, words);
    }
    place.explain("a.png --method signal:linear --patterns patterns.safetensors -o o").expect(1, &["linear"]);
    // Nobody looks at patterns that nothing needs.
    place.explain("a.png --method gradient --patterns missing -o o").done();
    place
        .explain("a.png --method patternnet,pattern-attribution --patterns patterns.safetensors -o p")
        .done();
}

#[test]
fn patterns_of_other_weights_are_refused() {
    let place = Place::new();
    let fingerprint = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let weights = Model::tiny_classifier(seed).open(folder.path()).unwrap();
        weights.fingerprint().to_text()
    };
    let patterns = Model::tiny_classifier(1).patterns(&["positive"]);
    for (name, seed) in [("own", 1), ("other", 2)] {
        let patterns = patterns.clone().with_metadata("fingerprint", &fingerprint(seed));
        patterns.save(place.path(), name, Dtype::F32);
    }
    place.explain("a.png --method patternnet --patterns own -o o").done();
    place.explain("a.png --method patternnet --patterns other -o p").expect(1, &["other", "weights"]);
}

#[test]
fn a_reader_that_leaves_ends_the_run_and_no_more() {
    let place = Place::new();
    for seed in 0..20 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    let closed = |arguments: &str| {
        let mut child = place
            .command(arguments.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        Ran::from(&child.wait_with_output().unwrap())
    };
    let explain = format!("{} in --method gradient --batch 1 --json -o o", crate::run::TINY);
    closed(&explain).expect(1, &["standard output", "goes on"]);
    // What was done is listed, and the rest follows.
    assert!(!place.manifest("o").is_empty());
    place.explain("in --method gradient -o o").done();
    assert_eq!(place.manifest("o").len(), 20);
    for quiet in ["info", "completions bash", "--help"] {
        assert_eq!(closed(quiet).done().err, "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_and_error_are_no_panic() {
    let place = Place::new();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in ["info", "completions bash"] {
        let output = place.command(arguments.split(' ')).stdout(full()).output().unwrap();
        Ran::from(&output).expect(1, &["standard output", "space"]);
    }
    let explain = format!("{} a.png --method gradient --json -o o", crate::run::TINY);
    let output = place.command(explain.split(' ')).stdout(full()).output().unwrap();
    Ran::from(&output).expect(1, &["standard output", "space"]);
    let explain = format!("{} a.png --method gradient -o quiet", crate::run::TINY);
    let output = place.command(explain.split(' ')).stderr(full()).output().unwrap();
    Ran::from(&output).done();
}

/// Needs a file system of a few kilobytes, so the right to mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_the_run_goes_on_elsewhere() {
    use std::process::Command;
    let place = Place::new();
    std::fs::create_dir(place.file("disk")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"])
        .arg(place.file("disk"))
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("not run here: a file system cannot be mounted");
        return;
    }
    for seed in 0..30 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    let ran = place.explain("in --method gradient --format npy --batch 1 -o disk/o");
    let left = place.files("disk/o");
    let unmounted = Command::new("umount").arg(place.file("disk")).status().unwrap();
    assert!(unmounted.success());
    ran.expect(1, &["no space left"]);
    assert!(
        left.iter().any(|file| file.ends_with(".npy")) && !left.contains(&"run.json".to_owned()),
        "{left:?}"
    );
}
