//! What can be chosen about the CUDA engine.

use super::device::CallersContext;

/// The types that activations, signals and operators are stored in. Sums are always in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats, without tensor cores.
    F32,
    /// float16.
    F16,
    /// bfloat16: three digits less than float16.
    Bf16,
    /// float16; signals and operators of wide layers on the way back in float8 (e4m3), which only explanations have. Compute
    /// capability 9.0 alone.
    F8,
}

impl Precision {
    /// As it is asked for: `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
            Precision::F8 => "f8",
        }
    }

    /// What the names of kernels end with, but for those that take float8.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Precision::F8 => Precision::F16.name(),
            other => other.name(),
        }
    }

    /// Bytes of one stored element that is not float8.
    pub(super) fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 | Precision::F8 => 2,
        }
    }

    /// A number rounded as a kernel stores it.
    pub(super) fn round(self, value: f32) -> f32 {
        match self {
            Precision::F32 => value,
            Precision::F16 | Precision::F8 => half::f16::from_f32(value).to_f32(),
            Precision::Bf16 => half::bf16::from_f32(value).to_f32(),
        }
    }
}

/// Options of [`Cuda::new`](super::Cuda::new).
///
/// Environment variables help to find defects: `VGGX_PORTABLE_KERNELS=1` leaves the kernels for compute capability 9.0 alone, so that
/// both paths can be compared on one device, `VGGX_NO_CLUSTERS=1` leaves those of them alone that clusters of blocks run,
/// `VGGX_NO_GRAPHS=1` launches kernels one by one and waits for each, not only the first time, so that a failing one is named, and
/// `VGGX_SEPARATE_ALLOCATIONS=1` allocates every buffer apart, so that sanitizers see where one ends. `VGGX_NO_SUBBATCHES=1` runs every
/// layer for the whole batch, also where running some for parts of it, whose maps stay in the L2 cache, is expected to be faster;
/// `VGGX_SUBBATCHES=4x2` takes four images at a time through two convolutions, then through the next two, whatever is expected; what
/// is no such pair is refused. Neither changes a bit of any result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaOptions {
    /// Number of the device; not looked at with a `context`.
    pub device: usize,
    /// A context to work in, on its device; without it the device's primary one, in which programs work that use CUDA's runtime
    /// library.
    pub context: Option<CallersContext>,
    /// How numbers are stored.
    pub precision: Precision,
    /// Images a batch should hold; chosen from the device's memory without it.
    pub batch: Option<usize>,
}

impl Default for CudaOptions {
    fn default() -> Self {
        CudaOptions { device: 0, context: None, precision: Precision::F16, batch: None }
    }
}

/// Whether an environment variable is set to 1.
pub(super) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}
