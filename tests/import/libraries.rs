//! The libraries that write files for the tests, in Python.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a script of this folder with the libraries that `scripts/install-import-libraries` installs, and returns what it prints.
/// `None`, said aloud, where they are not installed.
pub fn run(script: &str, arguments: &[&Path]) -> Option<String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(target).join("import/bin/python");
    if !python.exists() {
        let required = std::env::var_os("VGGX_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "no {}: scripts/install-import-libraries makes it", python.display());
        println!("skipped: no libraries that write {script}'s files (scripts/install-import-libraries)");
        return None;
    }
    let output = Command::new(python)
        .arg(root.join("tests/import").join(script))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}
