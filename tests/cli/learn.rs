//! `learn` and `solve`: patterns from images, in one run, in several, after a kill.

use crate::pattern_file::{largest_difference, tensors};
use crate::run::{Place, Ran, VGGX};
use crate::support::Model;
use safetensors::Dtype;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The tiny network on crops of 12×12.
const TINY: &str = "learn --weights net.safetensors --resize 14 --crop 12 --device cpu";

impl Place {
    fn learn(&self, arguments: &str) -> Ran {
        self.vggx(&format!("{TINY} {arguments}"))
    }

    fn solve(&self, arguments: &str) -> Ran {
        self.vggx(&format!("solve --weights net.safetensors {arguments}"))
    }

    /// Pictures `in/0.png` and so on.
    fn pictures(&self, count: u64) {
        (0..count).for_each(|seed| self.picture(format!("in/{seed}.png"), seed));
    }

    /// Starts a run that is going to be stopped.
    fn start(&self, arguments: &str) -> Child {
        let arguments = format!("{TINY} {arguments}");
        self.command(arguments.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

#[test]
fn patterns_are_learnt_shown_and_used() {
    let place = Place::new();
    place.pictures(5);
    let ran = place.learn("in -o learnt/p.safetensors --json").done();
    let report = &ran.rows()[0];
    assert_eq!(report["patterns"], "learnt/p.safetensors");
    assert_eq!(report["report"]["images"], 5);
    let layers = report["report"]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), tensors(&place.read("learnt/p.safetensors")).len() / 3);
    assert_eq!(place.files("learnt"), ["p.safetensors"]);
    place.vggx("explain in/0.png --weights net.safetensors --patterns learnt/p.safetensors --resize 14 --crop 12 --method patternnet,signal:linear,pattern-attribution -o o").done();
    let shown = place.vggx("info learnt/p.safetensors").done();
    assert!(shown.out.contains("features.0") && shown.out.contains("global"), "{}", shown.out);
    // wᵀa = 1 wherever there is a pattern.
    let weights = place.read("net.safetensors");
    let weights = tensors(&weights);
    let weight = &weights.iter().find(|(name, _)| name == "features.0.weight").unwrap().1;
    let learnt = tensors(&place.read("learnt/p.safetensors"));
    let positive = &learnt.iter().find(|(name, _)| name == "features.0.positive").unwrap().1;
    let mut patterns = 0;
    for (w, a) in weight.chunks(27).zip(positive.chunks(27)) {
        let product: f64 = w.iter().zip(a).map(|(&w, &a)| f64::from(w) * f64::from(a)).sum();
        if a.iter().any(|&a| a != 0.0) {
            patterns += 1;
            assert!((product - 1.0).abs() < 1e-5, "{product}");
        }
    }
    assert!(patterns > 0);
}

#[test]
fn nothing_depends_on_threads_and_a_seed_gives_other_crops() {
    let place = Place::new();
    place.pictures(4);
    for (threads, file) in [(1, "one"), (3, "three")] {
        place.learn(&format!("in --crops 7 --seed 5 --threads {threads} -o {file} --batch 5")).done();
    }
    assert!(place.read("one") == place.read("three"));
    place.learn("in --crops 7 --seed 6 -o other --batch 5").done();
    assert!(place.read("one") != place.read("other"));
}

#[test]
fn shards_solved_together_are_one_run() {
    let place = Place::new();
    place.pictures(11);
    let call = "in --crops 3 --batch 2";
    for shard in 0..4 {
        place.learn(&format!("{call} --shard {shard}/4 --moments m{shard}")).done();
    }
    for centering in ["global", "regime"] {
        place.learn(&format!("{call} --centering {centering} -o whole-{centering}")).done();
        let solve = format!("m2 m0 m3 m1 --centering {centering} -o merged-{centering}");
        let ran = place.solve(&solve).done();
        assert!(!ran.err.contains("warning"), "{}", ran.err);
        let (whole, merged) = (format!("whole-{centering}"), format!("merged-{centering}"));
        let difference = largest_difference(&place.read(&whole), &place.read(&merged));
        assert!(difference <= 1e-8, "{difference}");
    }
    assert!(place.read("whole-global") != place.read("whole-regime"));
    // What is missing is told, what would count twice refused.
    let ran = place.solve("m0 m1 m3 -o three").done();
    assert!(ran.err.contains("2/4"), "{}", ran.err);
    place.solve("m0 m1 m0 -o twice").expect(1, &["count images twice"]);
    // Moments of shards can be merged step by step.
    place.solve("m0 m1 --moments m01").done();
    place.vggx("info m01").done();
    place.learn("in --shard 11/11 -o x").expect(2, &["11/11"]);
    place.learn("in --shard 11/12 -o x").expect(1, &["no image"]);
}

#[cfg(unix)]
fn send(child: &Child, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for a file, or for the run to end.
fn wait_for(place: &Place, file: &str, child: &mut Child) {
    let start = Instant::now();
    while !place.file(file).exists() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "no {file}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let place = Place::new();
    place.pictures(9);
    place.write("in/4.png", b"no picture");
    let call = "in --crops 201 --batch 7 --second-moments";
    place.learn(&format!("{call} -o whole --moments whole.m")).expect(3, &["4.png"]);
    let mut killed = 0;
    for kill in 0..4 {
        let call = format!("{call} -o p{kill} --moments p{kill}.m");
        // After every batch, to have one to be killed after.
        let mut child = place.start(&format!("{call} --checkpoint 0"));
        let checkpoint = format!("p{kill}.m.checkpoint");
        wait_for(&place, &checkpoint, &mut child);
        std::thread::sleep(Duration::from_millis(7 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
        if !place.file(&checkpoint).exists() {
            // It was faster than the kill.
            continue;
        }
        killed += 1;
        let ran = place.learn(&call).expect(3, &["going on after"]);
        assert!(ran.err.contains("1 inputs failed"), "{}", ran.err);
        assert!(place.read(&format!("p{kill}")) == place.read("whole"), "killed {kill}");
        assert!(place.read(&format!("p{kill}.m")) == place.read("whole.m"), "killed {kill}");
        assert!(!place.file(&checkpoint).exists());
    }
    assert!(killed >= 2, "killed too late to show anything");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_checkpoint() {
    let place = Place::new();
    place.pictures(6);
    let call = "in --crops 3001 --batch 7 -o p";
    for (signal, file) in [("-INT", "p"), ("-TERM", "q")] {
        let call = call.replace("-o p", &format!("-o {file}"));
        let mut child = place.start(&format!("{call} --checkpoint 0"));
        // The first checkpoint shows that signals are caught.
        wait_for(&place, &format!("{file}.checkpoint"), &mut child);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        let ran = Ran::from(&output).expect(130, &["stopped after", "same call goes on"]);
        assert!(!ran.err.contains("error: error"), "{}", ran.err);
        assert!(place.file(format!("{file}.checkpoint")).exists() && !place.file(file).exists());
        // Another run must not go on from it.
        place.learn(&call.replace("3001", "3000")).expect(1, &["crops: 3001 and now 3000", "--overwrite"]);
        place.learn(&call.replace("--batch 7", "--batch 6")).expect(1, &["--batch 7 and now 6"]);
        place.learn(&call).done();
    }
    assert!(place.read("p") == place.read("q"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_that_replaces_results_goes_on_too() {
    let place = Place::new();
    place.pictures(6);
    place.learn("in -o p").done();
    let former = place.read("p");
    let call = "in --crops 1501 --batch 7 --overwrite -o p";
    place.learn(&call.replace("-o p", "-o whole")).done();
    let mut child = place.start(&format!("{call} --checkpoint 0"));
    wait_for(&place, "p.checkpoint", &mut child);
    send(&child, "-INT");
    Ran::from(&child.wait_with_output().unwrap()).expect(130, &["same call goes on"]);
    assert!(place.read("p") == former);
    place.learn(call).expect(0, &["going on after"]);
    assert!(place.read("p") == place.read("whole"));
}

#[test]
fn an_image_listed_twice_is_learnt_once() {
    let place = Place::new();
    place.write("list.txt", "a.png\t1\na.png\t2\nb.png\n");
    let ran = place.learn("@list.txt -o p --json").done();
    assert_eq!(ran.rows()[0]["report"]["images"], 2);
}

#[test]
fn damaged_checkpoints_are_refused_and_can_be_left_behind() {
    let place = Place::new();
    place.pictures(2);
    place.learn("in -o whole").done();
    for damaged in [&b""[..], b"something", &place.read("net.safetensors"), &place.read("whole")] {
        place.write("p.checkpoint", damaged);
        place.learn("in -o p").expect(1, &["p.checkpoint", "is not a checkpoint", "--overwrite"]);
        assert_eq!(place.read("p.checkpoint"), damaged);
    }
    place.learn("in -o p --overwrite").done();
    assert!(place.read("p") == place.read("whole") && !place.file("p.checkpoint").exists());
}

#[test]
fn results_are_kept_and_others_not_replaced_unasked() {
    let place = Place::new();
    place.pictures(3);
    place.learn("in -o p --moments m").done();
    let (patterns, moments) = (place.read("p"), place.read("m"));
    let ran = place.learn("in -o p --moments m").done();
    assert!(ran.err.contains("kept"), "{}", ran.err);
    let again = place.learn("in -o p --moments m --json").done();
    assert_eq!(again.rows()[0]["report"]["images"], 3);
    // Patterns that were lost are solved again from the moments.
    std::fs::remove_file(place.file("p")).unwrap();
    place.learn("in -o p --moments m").done();
    assert!(tensors(&place.read("p")) == tensors(&patterns) && place.read("m") == moments);
    let patterns = place.read("p");
    for other in ["--crops 2", "--centering regime", "--store f16"] {
        place.learn(&format!("in -o p {other}")).expect(1, &["p is there already", "--overwrite"]);
    }
    place.learn("in/0.png -o p").expect(1, &["and now", "--overwrite"]);
    place.learn("in -o p --channel-order bgr --pixel-scale 255").expect(1, &["p is there already"]);
    // Another picture of the same name is another set.
    let picture = place.read("in/1.png");
    place.write("in/1.png", [&picture[..], b"more"].concat());
    place.learn("in -o p").expect(1, &["files: "]);
    place.write("in/1.png", picture);
    place.learn("in -o net.safetensors").expect(1, &["net.safetensors is there already"]);
    place.learn("in -o in").expect(1, &["is a folder"]);
    assert!(place.read("p") == patterns);
    place.learn("in -o p --centering regime --overwrite").done();
    assert!(place.read("p") != patterns);
    // The same for solve.
    place.solve("m -o s").done();
    let ran = place.solve("m -o s").done();
    assert!(ran.err.contains("kept"), "{}", ran.err);
    place.solve("m -o s --centering regime").expect(1, &["s is there already", "global and now regime"]);
}

#[test]
fn images_that_fail_are_told_and_all_of_them_end_the_run() {
    let place = Place::new();
    place.pictures(3);
    place.write("in/bad.png", b"nothing");
    place.learn("in -o p").expect(3, &["bad.png", "1 inputs failed"]);
    place.learn("in -o p").expect(3, &["kept", "1 inputs failed"]);
    std::fs::create_dir(place.file("only")).unwrap();
    place.write("only/bad.png", b"");
    place.write("only/worse.jpg", b"\xff\xd8");
    place.learn("only -o q").expect(1, &["bad.png", "worse.jpg", "every input failed"]);
    assert!(!place.file("q").exists() && !place.file("q.checkpoint").exists());
}

#[test]
fn usage_is_checked_before_any_work() {
    let place = Place::new();
    for (call, words) in [
        ("a.png", "--output"),
        ("a.png -o p --crops 0", "--crops"),
        ("a.png -o p --crops many", "--crops"),
        ("a.png -o p --centering mean", "--centering"),
        ("a.png -o p --store f8", "--store"),
        ("a.png -o p --shard 1", "--shard"),
        ("a.png -o p --seed 1", "--crops"),
        ("a.png --moments m --centering regime", "--output"),
        ("a.png -o p --moments p", "written over"),
        ("a.png -o p --moments ./p.checkpoint", "written over"),
    ] {
        place.learn(call).expect(2, &[words]);
        assert!(!place.file("p").exists());
    }
    place.vggx("learn a.png -o p --resize 14 --crop 15").expect(2, &["--crop 15"]);
    place.learn("nowhere -o p").expect(1, &["nowhere"]);
    place.solve("-o p").expect(2, &["MOMENTS"]);
    place.solve("nowhere -o p").expect(1, &["nowhere"]);
    // Sizes that the network does not take.
    place
        .vggx("learn a.png -o p --weights net.safetensors --resize 1 --crop 1 --device cpu")
        .expect(1, &["--crop"]);
    // Random crops are not resized first, so a crop may be larger than the default of --resize.
    place.vggx("learn a.png --weights net.safetensors --crops 1 --crop 300 -o q --device cpu").done();
}

#[test]
fn moments_of_other_weights_are_refused() {
    let place = Place::new();
    place.learn("a.png --moments m").done();
    Model::tiny_classifier(2).save(place.path(), "other.safetensors", Dtype::F32);
    place.vggx("solve m --weights other.safetensors -o p").expect(1, &["m", "other weights"]);
    place.solve("net.safetensors -o p").expect(1, &["not of moments"]);
    let mut edited = place.read("m");
    let last = edited.len() - 3;
    edited[last] ^= 1;
    place.write("edited", &edited);
    place.solve("edited -o p").expect(1, &["edited"]);
    place.write("short", &edited[..last]);
    place.solve("short -o p").expect(1, &["short"]);
    assert!(!place.file("p").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_at_a_checkpoint_keeps_the_last_one() {
    use std::process::Command;
    let place = Place::new();
    place.pictures(3);
    place.learn("in -o whole").done();
    std::fs::create_dir(place.file("disk")).unwrap();
    let size = std::fs::metadata(place.file("whole")).unwrap().len() / 1024 / 2;
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}k"), "tmpfs"])
        .arg(place.file("disk"))
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("not run here: a file system cannot be mounted");
        return;
    }
    place.write("disk/p.checkpoint", b"the last one");
    let ran = place.learn("in --checkpoint 0 --batch 1 --overwrite -o disk/p");
    let left = place.files("disk");
    let kept = place.read("disk/p.checkpoint");
    let unmounted = Command::new("umount").arg(place.file("disk")).status().unwrap();
    assert!(unmounted.success());
    ran.expect(1, &["warning: no checkpoint this time: no space left", "error: no space left"]);
    assert_eq!((left, kept), (vec!["p.checkpoint".to_owned()], b"the last one".to_vec()));
}

#[test]
fn the_binary_lists_both_commands() {
    let output = std::process::Command::new(VGGX).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("learn") && help.contains("solve"), "{help}");
}
