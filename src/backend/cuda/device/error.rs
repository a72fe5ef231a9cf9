//! What can go wrong with a device, in words.

use super::library;
use cudarc::driver::sys::{self, CUresult};
use std::ffi::{CStr, c_char};
use std::fmt;

/// A version of CUDA as drivers and toolkits count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub(super) i32);

impl fmt::Display for CudaVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// The call that starts a kernel.
pub(super) const LAUNCH: &str = "cuLaunchKernel";

/// The driver's name of an error and its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverStatus {
    code: CUresult,
    text: String,
}

impl fmt::Display for DriverStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl DriverStatus {
    fn new(code: CUresult) -> Self {
        let (mut name, mut description): (*const c_char, *const c_char) =
            (std::ptr::null(), std::ptr::null());
        // SAFETY: the library is there, since a call of it gave the code; the driver's strings are static.
        unsafe {
            let _ = sys::cuGetErrorName(code, &mut name);
            let _ = sys::cuGetErrorString(code, &mut description);
        }
        // SAFETY: null where the driver does not know the code, else a string that lives as long as the library.
        let text = |string: *const c_char| {
            (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned())
        };
        let name = text(name).unwrap_or_else(|| format!("CUDA error {}", code as u32));
        let text =
            text(description).map_or_else(|| name.clone(), |description| format!("{name}, {description}"));
        DriverStatus { code, text }
    }

    /// Whether the context is unusable from here on: every later call would report the same.
    fn is_sticky(&self) -> bool {
        use CUresult::*;
        matches!(
            self.code,
            CUDA_ERROR_ECC_UNCORRECTABLE
                | CUDA_ERROR_NVLINK_UNCORRECTABLE
                | CUDA_ERROR_DEVICE_UNAVAILABLE
                | CUDA_ERROR_CONTAINED
                | CUDA_ERROR_CONTEXT_IS_DESTROYED
                | CUDA_ERROR_MPS_CLIENT_TERMINATED
                | CUDA_ERROR_EXTERNAL_DEVICE
                | CUDA_ERROR_UNKNOWN
                | CUDA_ERROR_DEINITIALIZED
        ) || self.is_kernel_failure()
    }

    /// Whether a kernel did something that it must not.
    fn is_kernel_failure(&self) -> bool {
        use CUresult::*;
        matches!(
            self.code,
            CUDA_ERROR_ILLEGAL_ADDRESS
                | CUDA_ERROR_LAUNCH_TIMEOUT
                | CUDA_ERROR_ASSERT
                | CUDA_ERROR_HARDWARE_STACK_ERROR
                | CUDA_ERROR_ILLEGAL_INSTRUCTION
                | CUDA_ERROR_MISALIGNED_ADDRESS
                | CUDA_ERROR_INVALID_ADDRESS_SPACE
                | CUDA_ERROR_INVALID_PC
                | CUDA_ERROR_LAUNCH_FAILED
        )
    }
}

/// Why a CUDA device cannot be used, or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The NVIDIA driver's library is not installed.
    #[error(
        "no NVIDIA driver: the library libcuda.so.1 (nvcuda.dll) is not there; install the driver, or use --device cpu"
    )]
    NoDriver,
    /// The build had no CUDA compiler.
    #[error(
        "this build of vggx has no CUDA kernels; build it where nvcc is found (scripts/install-nvcc fetches it), or use --device cpu"
    )]
    NoKernels,
    /// The driver does not know what this build needs of it.
    #[error(
        "the NVIDIA driver is too old: it supports CUDA {driver}, and this build of vggx needs {needed} ({reason}); \
         update the driver, or use --device cpu"
    )]
    DriverTooOld {
        /// What the driver supports.
        driver: CudaVersion,
        /// What the kernels were compiled with.
        needed: CudaVersion,
        /// What showed it.
        reason: String,
    },
    /// The driver finds no device.
    #[error(
        "the NVIDIA driver finds no device; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"
    )]
    NoDevice,
    /// There are fewer devices.
    #[error("there is no CUDA device {index}: this machine has {count}, counted from 0")]
    NoSuchDevice {
        /// The device asked for.
        index: usize,
        /// Devices that the driver shows.
        count: usize,
    },
    /// None of the kernels in this build run on the device.
    #[error(
        "{name} has compute capability {major}.{minor}, and this build of vggx holds kernels for {compiled}; \
         build it for that capability too, or use --device cpu"
    )]
    NoCode {
        /// The device.
        name: String,
        /// Its compute capability.
        major: u32,
        /// Second part of the capability.
        minor: u32,
        /// What was compiled.
        compiled: String,
    },
    /// The device's memory is full.
    #[error("the CUDA device is out of memory: {bytes} bytes more were needed, and {free} are free")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes that the driver says are free.
        free: u64,
    },
    /// A kernel is missing in the compiled modules.
    #[error("kernel {kernel} is in none of the compiled modules; the build is damaged, build it again")]
    NoKernel {
        /// Its name.
        kernel: String,
    },
    /// A kernel could not start, or did something that it must not.
    #[error("a CUDA kernel failed, {kernel} ({shape}): {status}; this is a defect of vggx, please report it")]
    Kernel {
        /// The kernel, or the pass whose kernels ran together.
        kernel: String,
        /// What it ran on.
        shape: String,
        /// What the driver says.
        status: DriverStatus,
    },
    /// The device is gone for this process.
    #[error(
        "the CUDA device was lost during {during}: {status}; start again, and check dmesg and nvidia-smi if it returns"
    )]
    Lost {
        /// The driver call that reported it.
        during: String,
        /// What the driver says.
        status: DriverStatus,
    },
    /// Another call of the driver failed.
    #[error("the CUDA driver call {call} failed: {status}")]
    Call {
        /// The call.
        call: &'static str,
        /// What the driver says.
        status: DriverStatus,
    },
}

impl DeviceError {
    /// The error of a driver call.
    pub(super) fn of(call: &'static str, code: CUresult) -> Self {
        let status = DriverStatus::new(code);
        match code {
            CUresult::CUDA_ERROR_NO_DEVICE => DeviceError::NoDevice,
            CUresult::CUDA_ERROR_STUB_LIBRARY => DeviceError::NoDriver,
            CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
            | CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => DeviceError::DriverTooOld {
                driver: library::version().unwrap_or(CudaVersion(0)),
                needed: library::TOOLKIT,
                reason: status.text,
            },
            _ if status.is_sticky() => DeviceError::Lost { during: call.to_owned(), status },
            _ => DeviceError::Call { call, status },
        }
    }

    /// The same error, with the kernel and its shape named if it is a kernel's.
    #[must_use]
    pub fn in_kernel(self, kernel: &str, shape: impl FnOnce() -> String) -> Self {
        match self {
            DeviceError::Lost { status, .. } if status.is_kernel_failure() => {
                DeviceError::Kernel { kernel: kernel.to_owned(), shape: shape(), status }
            }
            DeviceError::Lost { during, status } => {
                DeviceError::Lost { during: format!("{during} after {kernel}"), status }
            }
            DeviceError::Call { call: LAUNCH, status } => {
                DeviceError::Kernel { kernel: kernel.to_owned(), shape: shape(), status }
            }
            // Named when it was launched: by whom and on what is said here.
            DeviceError::Kernel { kernel, shape: launched, status } => {
                DeviceError::Kernel { kernel, shape: format!("{}; {launched}", shape()), status }
            }
            other => other,
        }
    }

    /// Whether a smaller batch may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            DeviceError::OutOfMemory { .. } => true,
            // Of pinned memory, or of what the driver takes for itself.
            DeviceError::Call { status, .. } => status.code == CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            _ => false,
        }
    }
}

/// Turns the code of a driver call into a result.
pub(super) fn check(call: &'static str, code: CUresult) -> Result<(), DeviceError> {
    if code == CUresult::CUDA_SUCCESS { Ok(()) } else { Err(DeviceError::of(call, code)) }
}
