//! Why patterns could not be solved or written.

use std::io;
use std::path::{Path, PathBuf};

use super::{Component, MomentError};
use crate::weights::ElementType;

/// Patterns that could not be solved or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The moments are not of these weights.
    #[error(transparent)]
    Moments(#[from] MomentError),
    /// A value of a pattern is beyond what the elements of the file hold.
    #[error(
        "layer {layer}: the {component} pattern of neuron {neuron} reaches {value:e}, beyond the range of {element}; \
         {}", if *element == ElementType::F16 { "store the patterns in float32 or bfloat16" }
         else { "the weights or the moments of this neuron are hardly above zero" }
    )]
    Range {
        /// Name of the layer.
        layer: String,
        /// Which of its patterns.
        component: Component,
        /// Number of the neuron.
        neuron: usize,
        /// The value.
        value: f64,
        /// Type of the file's elements.
        element: ElementType,
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

impl SolveError {
    /// The error of writing `path`, with a full disk told apart from everything else.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Write { path, source },
        }
    }
}
