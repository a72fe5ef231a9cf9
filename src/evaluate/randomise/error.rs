//! What can go wrong when layers are randomised.

use crate::backend::BackendError;
use crate::explain::{ExplainError, PrepareError};
use crate::weights::WeightError;
use std::io;

/// Why the test could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RandomiseError {
    /// The randomised weights cannot be written.
    #[error(
        "cannot write randomised weights beside the output: {0}; free some space, or choose another place"
    )]
    Write(#[from] io::Error),
    /// The randomised weights cannot be read.
    #[error("randomised weights: {0}")]
    Weights(#[from] WeightError),
    /// No device runs the network.
    #[error("{0}")]
    Device(String),
    /// The methods cannot be prepared.
    #[error(transparent)]
    Prepare(Box<PrepareError>),
    /// The images cannot be explained.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// Somebody wanted it to stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl From<PrepareError> for RandomiseError {
    fn from(error: PrepareError) -> Self {
        RandomiseError::Prepare(Box::new(error))
    }
}

impl From<BackendError> for RandomiseError {
    fn from(error: BackendError) -> Self {
        RandomiseError::Explain(error.into())
    }
}
