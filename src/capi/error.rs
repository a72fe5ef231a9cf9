//! From outcomes to status codes and messages.

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
use crate::quiet_panic;
use crate::setup::{LabelError, NotBundled, OpenDeviceError};
use crate::weights::{WeightError, WeightProblem};
use std::cell::RefCell;
use std::ffi::{CString, c_char};

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// Why this thread's last call of a function that returns a `vggx_status` failed: what, where and what to do, in one line of
/// UTF-8. Empty when it did not fail. Never null. Valid until this thread's next such call.
///
/// After `VGGX_ERROR_IMAGE` it is the reason of the first image that failed. Jobs: `vggx_job_poll` and `vggx_job_wait` bring
/// the job's message to the thread that calls them.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_last_error() -> *const c_char {
    // A thread that ends has none any more.
    MESSAGE.try_with(|message| message.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

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

/// Runs a call: its outcome becomes the status, and the reason this thread's message. A panic is an internal error, and says
/// nothing on standard error.
pub fn call(work: impl FnOnce() -> Result<vggx_status, Failure>) -> vggx_status {
    let outcome = catch(work);
    let (status, message) = match outcome {
        Ok(status) => (status, String::new()),
        Err(Failure { status, message }) => (status, message),
    };
    say(&message);
    status
}

/// Makes an error of a panic.
pub fn catch<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    quiet_panic::catch(work).unwrap_or_else(|reason| {
        let message = format!("a defect of vggx, please report it: {reason}");
        Err(Failure::new(VGGX_ERROR_INTERNAL, message))
    })
}

/// Makes a text this thread's message.
pub fn say(message: &str) {
    let text = CString::new(in_terms_of_fields(message)).unwrap_or_default();
    // A thread that ends hears nothing more.
    let _ = MESSAGE.try_with(|slot| slot.replace(text));
}

/// The library names options as the command line has them, and the structs' fields have the same names: `--pixel-scale` is
/// `pixel_scale`. One line, without zero bytes.
fn in_terms_of_fields(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(place) = rest.find("--") {
        let (before, option) = rest.split_at(place);
        text.push_str(before);
        let name = &option[2..];
        let starts = text.is_empty() || text.ends_with([' ', '(', '\'']);
        let length = name.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(name.len());
        if starts && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            text.push_str(&name[..length].replace('-', "_"));
            rest = &name[length..];
        } else {
            text.push_str("--");
            rest = name;
        }
    }
    text.push_str(rest);
    text.replace(['\n', '\0'], " ")
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
            OpenDeviceError::Cpu(error) => status_of_backend(error),
        };
        Failure::new(status, error.to_string())
    }
}

fn status_of_backend(error: &BackendError) -> vggx_status {
    match error {
        BackendError::Network(_) | BackendError::BatchSize { .. } | BackendError::Target { .. } => {
            VGGX_ERROR_ARGUMENT
        }
        BackendError::Unsupported { .. } | BackendError::Callers(CallersError::NoDevice) => {
            VGGX_ERROR_UNSUPPORTED
        }
        BackendError::Callers(_) => VGGX_ERROR_ARGUMENT,
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

#[cfg(test)]
mod tests {
    use super::super::status::VGGX_OK;
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: the message of this thread, which makes no other call.
        unsafe { CStr::from_ptr(vggx_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn outcomes_and_panics_become_statuses_and_messages() {
        assert_eq!(call(|| Err(Failure::argument("no\0 good"))), VGGX_ERROR_ARGUMENT);
        assert_eq!(last(), "no  good");
        assert_eq!(call(|| Ok(VGGX_OK)), VGGX_OK);
        assert_eq!(last(), "");
        assert_eq!(call(|| panic!("oh {}", 1)), VGGX_ERROR_INTERNAL);
        assert!(last().contains("oh 1") && last().contains("report"), "{}", last());
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }

    #[test]
    fn options_are_named_as_fields() {
        for (command_line, field) in [
            ("use a smaller --crop or --batch", "use a smaller crop or batch"),
            ("(--channel-order, --pixel-scale)", "(channel_order, pixel_scale)"),
            ("--device cuda:0: no", "device cuda:0: no"),
            ("a -- b --, 1--2, --", "a -- b --, 1--2, --"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(in_terms_of_fields(command_line), field);
        }
    }
}
