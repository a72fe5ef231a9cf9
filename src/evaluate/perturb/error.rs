//! What can go wrong when images are perturbed.

use crate::backend::BackendError;
use crate::explain::ExplainError;

/// Why a batch of images could not be perturbed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PerturbError {
    /// They cannot be explained.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// Somebody wanted it to stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl From<BackendError> for PerturbError {
    fn from(error: BackendError) -> Self {
        PerturbError::Explain(error.into())
    }
}

/// Why one image has no curves.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageFailure {
    /// It cannot be explained.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A copy of it cannot be run.
    #[error("with patches replaced: {0}")]
    Copy(#[from] BackendError),
    /// In a headless network values are relative to the response of the image as it is.
    #[error(
        "channel {target} does not respond to it, so that there is nothing to be relative to; choose another --target"
    )]
    NoResponse {
        /// The channel.
        target: usize,
    },
}
