//! Where the bundled default network and its patterns are.

use std::env;
use std::path::{Path, PathBuf};

/// File name of the bundled weights: the features of VGG16, float16.
pub const WEIGHTS: &str = "vgg16-features.safetensors";

/// File name of the bundled patterns of those weights.
pub const PATTERNS: &str = "vgg16-features-patterns.safetensors";

/// The bundled weights, or `None` if no folder of [`searched`] has them.
pub fn weights() -> Option<PathBuf> {
    find(WEIGHTS)
}

/// The bundled patterns, or `None` if no folder of [`searched`] has them.
pub fn patterns() -> Option<PathBuf> {
    find(PATTERNS)
}

/// The folders that are searched, in order: `VGGX_DATA` from the environment, `weights` in the working folder, and
/// relative to the executable `../share/vggx` (an installation) and `../weights` and `../../weights` (a build folder
/// in a clone); last `share/vggx` under the prefix given at compile time as `VGGX_PREFIX`, or without one `weights` in the
/// folder this was compiled from.
pub fn searched() -> Vec<PathBuf> {
    let executable = env::current_exe()
        .ok()
        // An executable is often reached through a link in a folder of PATH.
        .map(|path| path.canonicalize().unwrap_or(path));
    folders(
        env::var_os("VGGX_DATA").map(PathBuf::from),
        env::current_dir().ok(),
        executable.as_deref().and_then(Path::parent),
    )
}

fn find(name: &str) -> Option<PathBuf> {
    searched().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn folders(data: Option<PathBuf>, working: Option<PathBuf>, executable: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut add = |folder: PathBuf| {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    };
    if let Some(data) = data.filter(|data| !data.as_os_str().is_empty()) {
        add(data);
    }
    add(working.unwrap_or_default().join("weights"));
    // By name rather than with `..`, which reads badly in messages. In a clone, target/release is two levels down.
    let mut above = executable.into_iter().flat_map(Path::ancestors).skip(1);
    if let Some(prefix) = above.next() {
        add(prefix.join("share/vggx"));
        add(prefix.join("weights"));
    }
    if let Some(clone) = above.next() {
        add(clone.join("weights"));
    }
    // What is installed must not depend on the clone that it was built from.
    add(match option_env!("VGGX_PREFIX") {
        Some(prefix) => Path::new(prefix).join("share/vggx"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("weights"),
    });
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_in_the_documented_order() {
        let found =
            folders(Some("/data".into()), Some("/current".into()), Some(Path::new("/clone/target/release")));
        let expected = [
            "/data",
            "/current/weights",
            "/clone/target/share/vggx",
            "/clone/target/weights",
            "/clone/weights",
        ];
        assert_eq!(found[..expected.len()], expected.map(PathBuf::from));
        assert_eq!(found.last(), Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("weights")));
    }

    #[test]
    fn folders_are_named_once_and_an_empty_variable_is_none() {
        let clone = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found =
            folders(Some(PathBuf::new()), Some(clone.to_owned()), Some(&clone.join("target/release")));
        assert_eq!(found[0], clone.join("weights"));
        assert_eq!(found.iter().filter(|folder| **folder == found[0]).count(), 1);
    }
}
