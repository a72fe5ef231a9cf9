//! Finds the driver's library, and makes sure that it has every function that is called later.

use super::error::{CudaVersion, DeviceError, check};
use cudarc::driver::sys;
use std::sync::OnceLock;

/// The toolkit that kernels are compiled with.
pub(super) const TOOLKIT: CudaVersion = CudaVersion(13_000);

/// Every function of the driver that this wrapper calls. cudarc looks each up at its first call and panics when it is
/// missing, so all are looked up here before.
const FUNCTIONS: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxPushCurrent_v2",
    "cuCtxPopCurrent_v2",
    "cuCtxGetDevice",
    "cuCtxSynchronize",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuPointerGetAttributes",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuStreamGetCtx",
    "cuStreamIsCapturing",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventElapsedTime_v2",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
];

/// Loads and initialises the driver once; every later call gives the first one's result.
pub(super) fn initialise() -> Result<(), DeviceError> {
    static RESULT: OnceLock<Result<(), DeviceError>> = OnceLock::new();
    RESULT.get_or_init(load).clone()
}

fn load() -> Result<(), DeviceError> {
    // SAFETY: loading the driver runs its initialisers, which are NVIDIA's to get right.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    // SAFETY: the library is there; the symbols are only looked up.
    let library = unsafe { sys::culib() };
    let has = |name: &str| unsafe { library.get::<*const ()>(name) }.is_ok();
    if let Some(missing) = FUNCTIONS.iter().find(|name| !has(name)) {
        let driver =
            if has("cuDriverGetVersion") { version().unwrap_or(CudaVersion(0)) } else { CudaVersion(0) };
        let reason = format!("the driver lacks {missing}");
        return Err(DeviceError::DriverTooOld { driver, needed: TOOLKIT, reason });
    }
    // SAFETY: no arguments to get wrong.
    check("cuInit", unsafe { sys::cuInit(0) })
}

/// The version of CUDA that the driver supports.
pub(super) fn version() -> Result<CudaVersion, DeviceError> {
    let mut version = 0;
    // SAFETY: writes one integer; works before cuInit.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut version) })?;
    Ok(CudaVersion(version))
}
