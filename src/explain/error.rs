//! What can go wrong when methods are prepared or run.

use super::method::Method;
use super::operators::OperatorError;
use super::target::TargetError;
use crate::backend::BackendError;

/// Why an image could not be explained.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExplainError {
    /// It has no target, or one that does not exist.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The network could not run on it, or on its batch.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A method failed on it.
    #[error("{method}: {source}")]
    Method {
        /// The method.
        method: Method,
        /// What the device said.
        source: BackendError,
    },
    /// A method was asked for that was not prepared.
    #[error("{method} was not prepared; prepare it first")]
    NotPrepared {
        /// The method.
        method: Method,
    },
    /// An input is not of the batch's size.
    #[error(
        "image {image} of the batch has {got} bytes of pixels, but {height}×{width} red, green and blue values are to \
         be given for each"
    )]
    PixelCount {
        /// Place in the batch, from 0.
        image: usize,
        /// Length of its pixels.
        got: usize,
        /// Rows of the batch's images.
        height: usize,
        /// Columns of the batch's images.
        width: usize,
    },
}

/// Why methods could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The operators of a method cannot be had, for instance without its patterns.
    #[error("{method}: {source}")]
    Operators {
        /// The method.
        method: Method,
        /// What is missing.
        source: OperatorError,
    },
    /// The device cannot run a method.
    #[error("{method}: {source}")]
    Backend {
        /// The method.
        method: Method,
        /// What the device said.
        source: BackendError,
    },
}
