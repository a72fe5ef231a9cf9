//! Why a pattern file was refused.

use std::path::PathBuf;

use super::Component;
use crate::weights::{FingerprintError, WeightError, printable, shape_text};

/// A pattern file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The file cannot be read, or a tensor in it cannot.
    #[error("patterns {0}")]
    File(#[from] WeightError),
    /// The fingerprint in the file is not that of the weights.
    #[error(
        "patterns {}: they were learnt for other weights than {} ({difference}); use the patterns of these weights",
        path.display(), weights.display()
    )]
    OtherWeights {
        /// The pattern file.
        path: PathBuf,
        /// The file of weights.
        weights: PathBuf,
        /// The first layer that differs, and in what.
        difference: String,
    },
    /// The fingerprint in the file is damaged.
    #[error("patterns {}: the metadata key fingerprint is damaged: {}; download or learn them again",
        path.display(), printable(&problem.to_string()))]
    Fingerprint {
        /// The pattern file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FingerprintError,
    },
    /// A tensor that belongs to no layer of the network.
    #[error(
        "patterns {}: tensor {} belongs to no layer of {}; expected are LAYER.positive, LAYER.negative and \
         LAYER.linear with layers such as {example}: these may be the patterns of another network",
        path.display(), printable(tensor), weights.display()
    )]
    UnknownTensor {
        /// The pattern file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// The file of weights.
        weights: PathBuf,
        /// A layer of the network.
        example: String,
    },
    /// A tensor of another shape than its layer's weight.
    #[error(
        "patterns {}: tensor {} has shape {} and the layer's weight in {} has {}; use the patterns of these weights",
        path.display(), printable(tensor), shape_text(found), weights.display(), shape_text(expected)
    )]
    Shape {
        /// The pattern file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The file of weights.
        weights: PathBuf,
        /// Shape of the layer's weight.
        expected: Vec<usize>,
    },
    /// An archive without names has more or fewer patterns than the network has layers.
    #[error(
        "patterns {}: the file has {found} patterns A_0, A_1, … and {} has {expected} layers; use the patterns of these weights",
        path.display(), weights.display()
    )]
    Count {
        /// The pattern file.
        path: PathBuf,
        /// Number of its patterns.
        found: usize,
        /// The file of weights.
        weights: PathBuf,
        /// Number of layers with weights.
        expected: usize,
    },
    /// The file has no patterns at all.
    #[error("patterns {}: the file has no tensors; use a file with LAYER.positive, LAYER.negative or LAYER.linear",
        path.display())]
    Empty {
        /// The pattern file.
        path: PathBuf,
    },
    /// A layer lacks the component asked for.
    #[error(
        "patterns {}: layer {layer} has no {component} pattern; {held}: choose a method that needs no {component} \
         patterns, or a file that has them for every layer",
        path.display()
    )]
    MissingComponent {
        /// The pattern file.
        path: PathBuf,
        /// Name of the layer.
        layer: String,
        /// What was asked for.
        component: Component,
        /// What the file has.
        held: String,
    },
}
