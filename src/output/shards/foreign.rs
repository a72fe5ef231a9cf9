//! Files that lay in an output folder before vggx came: they are never replaced.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::super::OutputError;
use super::super::atomic::{self, Durability};
use super::super::names::path_text;
use super::files_below::files_below;

/// Keeps their names.
const FILE_NAME: &str = ".vggx-foreign.json";

/// Extensions of files that shards have.
const EXTENSIONS: [&str; 6] = ["tar", "npz", "safetensors", "jsonl", "parquet", "json"];

/// Notes what is in a folder that no run has written into yet.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn note(folder: &Path) -> Result<(), OutputError> {
    let mut names = Vec::new();
    files_below(folder, &mut |path| {
        let shards =
            path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|&known| extension == known));
        if let (true, Ok(name)) = (shards, path.strip_prefix(folder)) {
            names.push(path_text(name));
        }
    });
    // The run's own record has a name of its own.
    if names.iter().any(|name| name == "run.json") {
        return Err(OutputError::Foreign { path: folder.join("run.json") });
    }
    if names.is_empty() {
        return Ok(());
    }
    let path = folder.join(FILE_NAME);
    let text = serde_json::to_vec(&names).map_err(|error| OutputError::writing(&path, error.into()))?;
    atomic::write(&path, &text, Durability::Power)
}

/// Their names, relative to the folder.
///
/// # Errors
/// [`OutputError::Read`], [`OutputError::Damaged`].
pub(super) fn read(folder: &Path) -> Result<HashSet<String>, OutputError> {
    let path = folder.join(FILE_NAME);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| OutputError::Damaged { path, reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashSet::new()),
        Err(error) => Err(OutputError::reading(&path, error)),
    }
}
