//! From the library's errors to status codes.

use super::status::{
    VGGX_ERROR_ARGUMENT, VGGX_ERROR_DEVICE, VGGX_ERROR_FILE, VGGX_ERROR_FORMAT, VGGX_ERROR_IMAGE,
    VGGX_ERROR_INTERNAL, VGGX_ERROR_MEMORY, VGGX_ERROR_UNSUPPORTED, vggx_status,
};
use crate::backend::BackendError;
use crate::backend::cuda::CallersError;
use crate::backend::cuda::device::DeviceError;
use crate::explain::{ExplainError, OperatorError, PrepareError, TargetError};
use crate::images::{ImageError, ImageProblem};
use crate::patterns::{MergeError, MomentError, PatternError, SolveError};
use crate::setup::{LabelError, NotBundled, OpenDeviceError};
use crate::weights::{WeightError, WeightProblem};

/// Why a call failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub status: vggx_status,
    pub message: String,
}

impl Failure {
    pub fn new(status: vggx_status, message: impl Into<String>) -> Self {
        Failure { status, message: message.into() }
    }

    /// An argument is wrong.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(VGGX_ERROR_ARGUMENT, message)
    }

    /// As a reason why one image of a batch failed.
    pub fn of_image(self, image: usize) -> Self {
        Failure { status: VGGX_ERROR_IMAGE, message: format!("image {image}: {}", self.message) }
    }
}

impl From<WeightError> for Failure {
    fn from(error: WeightError) -> Self {
        Failure::new(status_of_file(&error), error.to_string())
    }
}

fn status_of_file(error: &WeightError) -> vggx_status {
    match error.problem {
        WeightProblem::Missing
        | WeightProblem::PermissionDenied
        | WeightProblem::Folder
        | WeightProblem::NotRegular
        | WeightProblem::Io(_) => VGGX_ERROR_FILE,
        _ => VGGX_ERROR_FORMAT,
    }
}

impl From<PatternError> for Failure {
    fn from(error: PatternError) -> Self {
        let status = match &error {
            PatternError::File(file) => status_of_file(file),
            PatternError::MissingComponent { .. } => VGGX_ERROR_UNSUPPORTED,
            _ => VGGX_ERROR_FORMAT,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<NotBundled> for Failure {
    fn from(error: NotBundled) -> Self {
        Failure::new(VGGX_ERROR_FILE, error.to_string())
    }
}

impl From<LabelError> for Failure {
    fn from(error: LabelError) -> Self {
        let status = match error {
            LabelError::Unreadable { .. } => VGGX_ERROR_FILE,
            LabelError::Count { .. } => VGGX_ERROR_FORMAT,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        let status = match error.problem {
            ImageProblem::NotFound
            | ImageProblem::Directory
            | ImageProblem::NotAFile
            | ImageProblem::Unreadable(_) => VGGX_ERROR_FILE,
            ImageProblem::Resize(_) => VGGX_ERROR_ARGUMENT,
            _ => VGGX_ERROR_FORMAT,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<OpenDeviceError> for Failure {
    fn from(error: OpenDeviceError) -> Self {
        let status = match &error {
            OpenDeviceError::Cuda { source, .. } => match status_of_backend(source) {
                // The network is what is wrong then, or the memory.
                status @ (VGGX_ERROR_UNSUPPORTED | VGGX_ERROR_MEMORY) => status,
                _ => VGGX_ERROR_DEVICE,
            },
            OpenDeviceError::Precision { .. } => VGGX_ERROR_UNSUPPORTED,
            OpenDeviceError::OtherContext { .. } | OpenDeviceError::ContextWithoutDevice => {
                VGGX_ERROR_ARGUMENT
            }
            OpenDeviceError::Cpu(error) | OpenDeviceError::Variable(error) => status_of_backend(error),
        };
        Failure::new(status, error.to_string())
    }
}

fn status_of_backend(error: &BackendError) -> vggx_status {
    match error {
        BackendError::Network(_) | BackendError::BatchSize { .. } | BackendError::Target { .. } => {
            VGGX_ERROR_ARGUMENT
        }
        BackendError::Unsupported { .. }
        | BackendError::Precision { .. }
        | BackendError::Callers(CallersError::NoDevice) => VGGX_ERROR_UNSUPPORTED,
        BackendError::Variable { .. } | BackendError::Callers(_) => VGGX_ERROR_ARGUMENT,
        BackendError::ActivationOverflow { .. } | BackendError::SignalOverflow { .. } => VGGX_ERROR_IMAGE,
        BackendError::Threads { .. }
        | BackendError::Memory { .. }
        | BackendError::MomentMemory { .. }
        | BackendError::Device(DeviceError::OutOfMemory { .. }) => VGGX_ERROR_MEMORY,
        BackendError::Device(_) => VGGX_ERROR_DEVICE,
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Failure::new(status_of_backend(&error), error.to_string())
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        let message = error.to_string();
        let status = match error {
            PrepareError::Operators { source: OperatorError::PatternsNeeded { .. }, .. } => {
                VGGX_ERROR_UNSUPPORTED
            }
            PrepareError::Operators { source: OperatorError::Patterns(error), .. } => {
                Failure::from(error).status
            }
            PrepareError::Backend { source, .. } => status_of_backend(&source),
        };
        Failure::new(status, message)
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Failure::argument(error.to_string())
    }
}

impl From<ExplainError> for Failure {
    fn from(error: ExplainError) -> Self {
        let status = match &error {
            ExplainError::Target(_) | ExplainError::PixelCount { .. } => VGGX_ERROR_ARGUMENT,
            ExplainError::Backend(source) | ExplainError::Method { source, .. } => status_of_backend(source),
            ExplainError::NotPrepared { .. } => VGGX_ERROR_INTERNAL,
        };
        Failure::new(status, error.to_string())
    }
}

fn status_of_moments(error: &MomentError) -> vggx_status {
    match error {
        MomentError::File(file) => status_of_file(file),
        MomentError::NoSpace { .. } | MomentError::Write { .. } => VGGX_ERROR_FILE,
        _ => VGGX_ERROR_FORMAT,
    }
}

impl From<MomentError> for Failure {
    fn from(error: MomentError) -> Self {
        Failure::new(status_of_moments(&error), error.to_string())
    }
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        let status = match error {
            MergeError::Empty => VGGX_ERROR_ARGUMENT,
            _ => VGGX_ERROR_FORMAT,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<SolveError> for Failure {
    fn from(error: SolveError) -> Self {
        let status = match &error {
            SolveError::Moments(error) => status_of_moments(error),
            SolveError::Range { .. } => VGGX_ERROR_ARGUMENT,
            SolveError::NoSpace { .. } | SolveError::Write { .. } => VGGX_ERROR_FILE,
        };
        Failure::new(status, error.to_string())
    }
}
