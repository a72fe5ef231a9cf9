//! What the pods of `examples/clusters/kubernetes` run. (`scripts/test` compares the manifests with Kubernetes' schema.)

use crate::tiny::Tiny;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const LEARN: &str = include_str!("../../examples/clusters/kubernetes/learn.yaml");
const SOLVE: &str = include_str!("../../examples/clusters/kubernetes/solve.yaml");

/// The script of the one block of text in a manifest.
fn script(manifest: &str) -> String {
    let (before, after) = manifest.split_once("- |\n").unwrap();
    let indent = before.rsplit('\n').next().unwrap().len() + 2;
    let lines = after.lines().take_while(|line| line.is_empty() || line.starts_with(&" ".repeat(indent)));
    lines.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
}

/// The value in the first line that begins with a key.
fn value<'a>(manifest: &'a str, key: &str) -> &'a str {
    let mut values = manifest.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    values.next().unwrap_or_else(|| panic!("no {key}")).trim().trim_matches('"')
}

fn completions() -> usize {
    value(LEARN, "completions:").parse().unwrap()
}

/// Starts the pod of an index, as Kubernetes does.
fn start(tiny: &Tiny, index: usize, options: &str) -> Child {
    let count = LEARN.split_once("name: JOB_COMPLETIONS\n").unwrap().1;
    assert_eq!(value(LEARN, "command:"), "[bash, -uc]");
    tiny.bash()
        .args(["-uc", &script(LEARN)])
        .env("JOB_COMPLETION_INDEX", index.to_string())
        .env("JOB_COMPLETIONS", value(count, "value:"))
        .env("OPTIONS", options)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the pod to end with this code, and gives what it wrote to its log.
#[track_caller]
fn end(pod: Child, code: i32) -> String {
    let output = pod.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{log}");
    log
}

#[test]
fn the_pods_of_both_jobs_learn_what_one_run_does() {
    let completions = completions();
    let tiny = Tiny::new(2 * completions as u64 + 3);
    tiny.place.write("images/3.png", b"no picture");
    let mut failures = 0;
    for index in 0..completions {
        failures += usize::from(end(start(&tiny, index, ""), 0).contains("3.png"));
    }
    assert_eq!(failures, 1);
    std::fs::remove_file(tiny.place.file("patterns.safetensors")).unwrap();
    tiny.run(&script(SOLVE));
    // That run has a failed picture as well.
    tiny.run("vggx learn images --output whole || [ $? = 3 ]");
    let merged = tiny.place.read("patterns.safetensors");
    let difference = crate::pattern_file::largest_difference(&tiny.place.read("whole"), &merged);
    assert!(difference <= 1e-8, "{difference}");
}

#[test]
fn a_pod_that_is_evicted_leaves_a_checkpoint_for_the_next_one() {
    let tiny = Tiny::new(completions() as u64);
    let options = "--crops 2001 --batch 7 --checkpoint 0";
    let pod = start(&tiny, 2, options);
    let checkpoint = tiny.place.file("moments/2.safetensors.checkpoint");
    let began = Instant::now();
    while !checkpoint.exists() {
        assert!(began.elapsed() < Duration::from_secs(50), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Only the first process of a container is told.
    let sent = std::process::Command::new("kill").args(["-TERM", &pod.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let log = end(pod, 130);
    assert!(log.contains("the same call goes on"), "{log}");
    let log = end(start(&tiny, 2, options), 0);
    assert!(log.contains("going on after"), "{log}");
    assert!(tiny.place.file("moments/2.safetensors").exists());
}
