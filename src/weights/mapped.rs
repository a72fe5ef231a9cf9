//! Mapping files of weights into memory.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::error::WeightProblem;

/// Maps a regular file that holds something.
///
/// As with every mapped file, a process ends with a bus error if somebody truncates the file while it is open. Replace
/// such a file by renaming a new one over it.
///
/// # Errors
/// When it is missing, empty, not a regular file, or cannot be read.
pub(super) fn map(path: &Path) -> Result<Arc<Mmap>, WeightProblem> {
    // Opening a pipe would wait for its other end, so the kind comes first.
    let kind = fs::metadata(path).map_err(io_problem)?.file_type();
    if kind.is_dir() {
        return Err(WeightProblem::Folder);
    }
    if !kind.is_file() {
        return Err(WeightProblem::NotRegular);
    }
    let file = File::open(path).map_err(io_problem)?;
    if file.metadata().map_err(io_problem)?.len() == 0 {
        return Err(WeightProblem::Empty);
    }
    // SAFETY: a map is sound as long as nobody changes the file. Weights are written once and then only read; writers
    // replace files by renaming. A file changed against this rule changes numbers (any bit pattern is a valid u8) or
    // ends the process with SIGBUS; every range is checked against the map's length, which does not change.
    unsafe { Mmap::map(&file) }.map(Arc::new).map_err(io_problem)
}

fn io_problem(error: io::Error) -> WeightProblem {
    match error.kind() {
        io::ErrorKind::NotFound => WeightProblem::Missing,
        io::ErrorKind::PermissionDenied => WeightProblem::PermissionDenied,
        _ => WeightProblem::Io(error),
    }
}
