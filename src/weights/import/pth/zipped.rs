//! Files of PyTorch 1.6 and later: a zip archive of `NAME/data.pkl` and `NAME/data/KEY` for every storage
//! (PyTorch, torch/serialization.py, `_save`).

use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::super::archive::Archive;
use super::super::state_dict::StateDict;
use super::checkpoint;
use super::pickle::unpickle;
use super::storages::Storages;
use super::{BIG_ENDIAN, LONGEST_PICKLE};

const PICKLE: &str = "data.pkl";

pub(super) fn read(map: Arc<Mmap>) -> Result<StateDict, WeightProblem> {
    let archive = Archive::open(map)?;
    let folder = folder(&archive)?;
    if archive.entry(&format!("{folder}constants.pkl")).is_some()
        || archive
            .names()
            .any(|name| name.strip_prefix(folder.as_str()).is_some_and(|name| name.starts_with("code/")))
    {
        return Err(WeightProblem::Harmful(
            "this is a TorchScript archive, which holds a program, and no code of a file is run; save the tensors alone: \
             torch.save(torch.jit.load(FROM).state_dict(), TO)"
                .to_owned(),
        ));
    }
    if let Some(entry) = archive.entry(&format!("{folder}byteorder"))
        && archive.start(entry, 16)? != b"little"
    {
        return Err(WeightProblem::Harmful(BIG_ENDIAN.to_owned()));
    }
    let pickle = archive
        .entry(&format!("{folder}{PICKLE}"))
        .ok_or_else(|| WeightProblem::Damaged(format!("the zip archive has no {folder}{PICKLE}")))?;
    if pickle.size > LONGEST_PICKLE {
        return Err(WeightProblem::Harmful(format!(
            "its {PICKLE} has {} bytes, and {LONGEST_PICKLE} are read at most; save the state_dict alone",
            pickle.size
        )));
    }
    let bytes = archive.read(pickle)?;
    let unpickled = unpickle(&bytes, 0)?;
    checkpoint::state_dict(&unpickled, &Storages::Archive { archive, folder })
}

/// The folder of the one pickle, with a slash; empty where there is no folder.
fn folder(archive: &Archive) -> Result<String, WeightProblem> {
    let mut pickles = archive.names().filter_map(|name| {
        let folder = name.strip_suffix(PICKLE)?;
        (folder.is_empty() || folder.ends_with('/')).then(|| folder.to_owned())
    });
    match (pickles.next(), pickles.next()) {
        (Some(folder), None) => Ok(folder),
        (None, _) => Err(WeightProblem::Harmful(format!(
            "the zip archive has no {PICKLE}, so it was not written by torch.save"
        ))),
        (Some(first), Some(second)) => Err(WeightProblem::Harmful(format!(
            "the zip archive has two pickles, {first}{PICKLE} and {second}{PICKLE}"
        ))),
    }
}
