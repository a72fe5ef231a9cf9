//! What lies in an output folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::super::resume::IDENTITY_FILE_NAME;

/// Gives the files in a folder and the folders below it. Links are not followed, and folders that are output folders of other
/// runs are not entered.
pub(super) fn files_below(folder: &Path, take: &mut dyn FnMut(PathBuf)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !path.join(IDENTITY_FILE_NAME).exists() => files_below(&path, take),
            Ok(kind) if kind.is_file() => take(path),
            _ => {}
        }
    }
}

/// Removes a temporary file that no process has locked. One that stays does no harm.
pub(super) fn remove_unlocked(path: &Path) {
    if File::open(path).is_ok_and(|file| file.try_lock().is_ok()) {
        let _ = fs::remove_file(path);
    }
}
