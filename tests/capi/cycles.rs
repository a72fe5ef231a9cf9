//! Opening and closing, again and again.

use crate::calls::{Engine, Images, Request, ok, picture};
use crate::run::Place;
use vggx::capi::explain::{VGGX_DETAIL_PLANES, VGGX_TYPE_F32};

/// Kibibytes that the process has in memory, and its threads.
#[cfg(target_os = "linux")]
fn process() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        line.trim().trim_end_matches(" kB").parse().expect(key)
    };
    (number("VmRSS:"), number("Threads:"))
}

/// Run alone: other tests take memory and threads meanwhile.
#[test]
#[cfg(target_os = "linux")]
fn engines_leave_nothing_behind() {
    const ALONE: &str = "VGGX_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let own = std::env::current_exe().expect("a test program");
        let output = std::process::Command::new(own)
            .args(["--exact", "cycles::engines_leave_nothing_behind", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let place = Place::new();
    let picture = picture(&place, "a.png");
    let images = Images::rgb8(&[&picture]);
    let cycle = || {
        let engine = Engine::of(&place);
        let methods = ["gradient", "pattern-attribution"];
        let mut request = Request::new(&images.batch, &methods, &[], VGGX_DETAIL_PLANES, VGGX_TYPE_F32);
        ok(request.run(&engine, &images.batch));
    };
    (0..200).for_each(|_| cycle());
    let (before, threads) = process();
    (0..2000).for_each(|_| cycle());
    let (after, threads_after) = process();
    println!("{before} KiB before 2000 cycles, {after} KiB after");
    assert_eq!(threads, threads_after);
    // A leak of 524 bytes a cycle shows: a thread, a map, the laid-out weights. What the allocator keeps varies by some pages.
    assert!(after < before + 1024, "{before} KiB, then {after} KiB");
}
