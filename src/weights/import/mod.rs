//! Files of other programs: each importer turns its format into the same description, [`Imported`], a list of steps that is
//! checked and folded in one place.

mod archive;
mod array;
mod format;
mod hdf5;
mod imported;
mod keras;
mod names;
mod npz;
mod onnx;
mod pixels;
mod pth;
mod safetensors;
mod state_dict;
mod step;
mod strided;

use std::path::Path;

use super::error::{WeightError, WeightProblem};
use super::mapped::map;
use super::tensor_file::TensorFile;

pub(crate) use array::{Array, Bytes};
pub use format::Format;
pub(crate) use imported::{Imported, InputConvention};
pub(crate) use names::{EXTENT, LABELS, LAST_MAX_POOL, timm_name};

pub(crate) use step::{DenseAxes, FlattenOrder, KernelAxes, Operation, Step};

/// Recognises the format of a file and reads its description; with the file's length.
///
/// # Errors
/// When the file cannot be read, is damaged, or holds no VGG.
pub(super) fn read(path: &Path) -> Result<(Format, usize, Imported), WeightError> {
    let refuse = |problem| WeightError::new(path, problem);
    let map = map(path).map_err(refuse)?;
    refuse_stand_ins(&map).map_err(refuse)?;
    let (format, bytes) = (Format::recognise(&map, path), map.len());
    let imported = match format {
        Format::Safetensors => {
            let dict = safetensors::read(&TensorFile::of_map(path, map)?)?;
            names::recognise(dict)
        }
        Format::Torch | Format::TorchLegacy => pth::read(map).and_then(names::recognise),
        Format::Npz => npz::read(map),
        Format::Onnx => onnx::read(path, map),
        Format::Hdf5 | Format::Keras => keras::read(path, map),
    };
    imported.map(|imported| (format, bytes, imported)).map_err(refuse)
}

/// What downloads leave where a file should be.
fn refuse_stand_ins(file: &[u8]) -> Result<(), WeightProblem> {
    let start = file.get(..200).unwrap_or(file).trim_ascii_start().to_ascii_lowercase();
    let (found, remedy) = if start.starts_with(b"version https://git-lfs") {
        ("a pointer of Git LFS", "get it with `git lfs pull`")
    } else if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        ("a web page", "download the file that the page offers")
    } else {
        return Ok(());
    };
    Err(WeightProblem::StandIn { found, remedy })
}

/// The patterns of a file of NumPy's, one array a layer in the order of the layers; `None` for files of other formats.
///
/// # Errors
/// When the file cannot be read, is damaged, or holds other arrays.
pub(crate) fn read_patterns(path: &Path) -> Result<Option<Vec<Array>>, WeightError> {
    let refuse = |problem| WeightError::new(path, problem);
    let map = map(path).map_err(refuse)?;
    match Format::recognise(&map, path) {
        Format::Npz => npz::read_patterns(map).map(Some).map_err(refuse),
        _ => Ok(None),
    }
}
