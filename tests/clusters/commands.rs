//! The commands of `docs/clusters.md` for machines without a batch system.

use crate::tiny::Tiny;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/clusters.md");

/// The commands under a heading.
fn commands(heading: &str) -> String {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty(), "{heading} has no commands");
    blocks.concat()
}

/// In the folder of another one are patterns that solve would not replace.
fn run(tiny: &Tiny, heading: &str) {
    std::fs::remove_file(tiny.place.file("patterns.safetensors")).unwrap();
    tiny.run(&commands(heading));
    tiny.expect_patterns_of_one_run();
}

#[test]
fn ssh() {
    let tiny = Tiny::new(5);
    // The other machine is this one.
    tiny.program("ssh", "echo \"$1\" >> hosts\nshift\nexec sh -c \"$1\"");
    run(&tiny, "ssh");
    let hosts = String::from_utf8(tiny.place.read("hosts")).unwrap();
    assert_eq!(hosts.lines().count(), 3);
}

#[test]
fn several_gpus_of_one_machine() {
    run(&Tiny::new(9), "Several GPUs of one machine");
}

#[test]
fn gnu_parallel() {
    // Debian's moreutils has another program of this name.
    let version = Command::new("parallel").arg("--version").output();
    if !version.is_ok_and(|version| version.stdout.starts_with(b"GNU parallel")) {
        println!("skipped: no GNU parallel, so nobody ran its command (Debian: apt install parallel)");
        return;
    }
    run(&Tiny::new(20), "GNU parallel");
}
