//! What the compiled kernels run on, and how.

use super::compiled::ARCHITECTURES;
use super::device::DeviceDescription;

/// What this build was compiled for: machine code of `sm_..`, PTX of `compute_..`, which drivers compile for later chips.
/// Empty: the build is for the CPU only.
pub fn architectures() -> &'static [&'static str] {
    ARCHITECTURES
}

/// The instructions that multiply on a device that the kernels run on, by precision.
pub fn path(_device: &DeviceDescription) -> &'static str {
    "mma.sync f16/bf16, FMA f32"
}
