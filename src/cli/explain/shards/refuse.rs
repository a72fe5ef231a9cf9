//! What is refused before any work: shards that would replace each other, or their inputs.

use crate::cli::exit::Failure;
use crate::images::search::names_archives;
use crate::images::{Found, search};
use crate::output::{OutputError, path_text};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

/// Looks at tar shards: at all of them where several inputs are named, since one folder alone holds no two of a name. In lists
/// that can be read only once they are looked at when their turn comes.
pub fn same_shards(given: &[OsString], reads_once: bool, output: &Path) -> Result<(), Failure> {
    let all = given.len() > 1 && !reads_once;
    let looked_at = given.iter().filter(|input| all || names_archives(input)).cloned();
    let mut stems = HashMap::new();
    for found in search(looked_at) {
        let Found::Archive(archive) = found? else { continue };
        beside_input(&archive.path, output)?;
        let stem = path_text(&archive.stem());
        if let Some(other) = stems.insert(stem.clone(), path_text(&archive.path)) {
            return Err(OutputError::SameShard { input: path_text(&archive.path), other, stem }.into());
        }
    }
    Ok(())
}

/// Refuses outputs in the folder of their input: `00042.tar` would replace `00042.tar`.
pub fn beside_input(archive: &Path, output: &Path) -> Result<(), OutputError> {
    let folder = archive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), output.canonicalize()) {
        (Ok(folder), Ok(output)) if folder == output => {
            Err(OutputError::BesideInput { path: archive.to_path_buf() })
        }
        _ => Ok(()),
    }
}
