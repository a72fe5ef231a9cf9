//! What the compiled kernels run on, and how.

use super::compiled::ARCHITECTURES;
use super::device::DeviceDescription;
use super::options::is_set;

/// What this build was compiled for: machine code of `sm_..`, PTX of `compute_..`, which drivers compile for later chips.
/// Empty: the build is for the CPU only.
pub fn architectures() -> &'static [&'static str] {
    ARCHITECTURES
}

/// The instructions that multiply on a device that the kernels run on, by precision.
pub fn path(device: &DeviceDescription) -> &'static str {
    if warpgroups(device) { "wgmma f16/bf16/f8, FMA f32" } else { "mma.sync f16/bf16, FMA f32" }
}

/// Whether the kernels for compute capability 9.0 run on a device.
pub(super) fn warpgroups(device: &DeviceDescription) -> bool {
    device.capability == (9, 0) && ARCHITECTURES.contains(&"sm_90a") && !is_set("VGGX_PORTABLE_KERNELS")
}
