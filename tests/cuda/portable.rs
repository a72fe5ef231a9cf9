//! The portable kernels on a device that has others: the same judges as for those.

use std::process::Command;

/// Files of this program, run again.
const JUDGES: [&str; 2] = ["agreement::", "precision::"];

#[test]
fn portable_kernels_are_judged_as_those_of_the_device() {
    let mut command = Command::new(std::env::current_exe().expect("this program has a name"));
    command.args(JUDGES).env("VGGX_PORTABLE_KERNELS", "1");
    let output = command.output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let passed = |judge| text.lines().any(|line| line.contains(judge) && line.ends_with("... ok"));
    assert!(JUDGES.into_iter().all(passed), "{text}");
}
