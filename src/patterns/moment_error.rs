//! Why a moment file was refused or could not be written.

use std::io;
use std::path::{Path, PathBuf};

use crate::weights::{FingerprintError, WeightError, printable, shape_text};

/// A moment file that cannot be used, or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MomentError {
    /// The file cannot be read, is truncated, or has a damaged header.
    #[error("moments {0}")]
    File(#[from] WeightError),
    /// The file holds something else.
    #[error("{}: this is a file of {found}, not of moments; {remedy}", path.display())]
    NotMoments {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A version that this program does not know.
    #[error(
        "moments {}: the file has version {}, and this vggx reads version {known}; use the vggx that wrote it, or learn \
         again", path.display(), printable(found)
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version stated.
        found: String,
        /// The version of this program.
        known: u32,
    },
    /// The fingerprint in the file is not that of the weights.
    #[error(
        "moments {}: they were summed with other weights than {} ({difference}); give the weights they were learnt with",
        path.display(), weights.display()
    )]
    OtherWeights {
        /// The moment file.
        path: PathBuf,
        /// The file of weights.
        weights: PathBuf,
        /// The first layer that differs, and in what.
        difference: String,
    },
    /// The fingerprint in the file is damaged.
    #[error("moments {}: the metadata key fingerprint is damaged: {}; copy the file again, or learn again",
        path.display(), printable(&problem.to_string()))]
    Fingerprint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FingerprintError,
    },
    /// A key of the metadata that is missing or cannot be read.
    #[error("moments {}: the metadata key {key} {problem}; copy the file again, or learn again", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A sum that is not there.
    #[error("moments {}: tensor {} is missing; copy the file again, or learn again", path.display(), printable(tensor))]
    MissingField {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
    },
    /// A tensor that belongs to no sum of the network.
    #[error(
        "moments {}: tensor {} is no sum of this network; the file was edited, or another program wrote it",
        path.display(), printable(tensor)
    )]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
    },
    /// A tensor of another shape or type of element.
    #[error(
        "moments {}: tensor {} is {found}, expected F64 {}; copy the file again, or learn again",
        path.display(), printable(tensor), shape_text(expected)
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Its type of element and shape.
        found: String,
        /// The shape that is needed.
        expected: Vec<usize>,
    },
    /// The contents are not those that were written.
    #[error(
        "moments {}: the contents do not match their checksum ({found:08x}, stated is {stated:08x}): the file was edited \
         or damaged after it was written; copy it again, or learn again", path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// CRC-32 of the contents.
        found: u32,
        /// CRC-32 in the metadata.
        stated: u32,
    },
    /// A value that no sum can have.
    #[error("moments {}: tensor {}, element {index}: {value} {problem}; these moments cannot be used, learn again",
        path.display(), printable(tensor))]
    Value {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Index into the tensor, row-major.
        index: usize,
        /// The value.
        value: f64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Moments of a layer that the network has not, or has elsewhere.
    #[error("the moments have layer {found} where {} has {expected}; give the weights that they were summed with",
        weights.display())]
    OtherNetwork {
        /// Name of the layer in the moments, and shape of its weight.
        found: String,
        /// The file of weights.
        weights: PathBuf,
        /// Name of the layer in its place, and shape of its weight.
        expected: String,
    },
    /// Moments of more or fewer layers than the network has.
    #[error(
        "the moments have {found} layers and {} has {expected}; give the weights that they were summed with",
        weights.display()
    )]
    LayerCount {
        /// Layers of the moments.
        found: usize,
        /// The file of weights.
        weights: PathBuf,
        /// Its layers with weights.
        expected: usize,
    },
    /// The disk or the user's share of it is full.
    #[error("no space left to write {}: free some and run again; what was there before is kept", path.display())]
    NoSpace {
        /// The file that did not fit.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}; what was there before is kept", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl MomentError {
    /// The error of writing `path`, with a full disk told apart from everything else.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Write { path, source },
        }
    }
}
