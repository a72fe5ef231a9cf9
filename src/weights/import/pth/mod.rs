//! PyTorch's files (`.pth`, `.pt`): what `torch.save` writes, as a zip archive or, before version 1.6, as pickles and raw
//! numbers one after the other.
//!
//! A pickle is a program; here only the instructions and names that dictionaries of tensors need are known, nothing of a
//! file is run, and all else is refused by its name (see [`pickle`]).

mod checkpoint;
mod legacy;
mod number;
mod pickle;
mod storages;
mod tensors;
#[cfg(test)]
mod tests;
mod zipped;

use std::sync::Arc;

use memmap2::Mmap;

use super::super::error::WeightProblem;
use super::state_dict::StateDict;

/// The longest pickle that is read: one of a network has some kilobytes, one of a training's state some hundred.
const LONGEST_PICKLE: usize = 1 << 26;

const BIG_ENDIAN: &str =
    "this is a PyTorch file of a big-endian machine; load and save it with PyTorch on a little-endian one";

/// Reads the tensors of a file.
///
/// # Errors
/// When it is none of PyTorch's, is damaged, holds more than tensors in dictionaries, or could do harm.
pub(in super::super) fn read(map: Arc<Mmap>) -> Result<StateDict, WeightProblem> {
    if map.starts_with(b"PK") {
        zipped::read(map)
    } else if is_legacy(&map) {
        legacy::read(map)
    } else if map.get(257..262) == Some(b"ustar") {
        Err(WeightProblem::Harmful(
            "this is a PyTorch file of before 2017 (a tar archive); load it with PyTorch and save it again: \
             torch.save(torch.load(FROM), TO)"
                .to_owned(),
        ))
    } else {
        Err(WeightProblem::Harmful("it begins neither as a zip archive nor as a pickle".to_owned()))
    }
}

/// Whether a file begins as PyTorch's before version 1.6: a pickle of protocol 2 or later.
fn is_legacy(file: &[u8]) -> bool {
    matches!(file, [0x80, 2..=5, ..])
}
