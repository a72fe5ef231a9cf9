//! Compiled kernels, by name.

use super::context::{Device, whole_context};
use super::description::DeviceDescription;
use super::error::{DeviceError, DriverStatus, check};
use super::library;
use crate::backend::cuda::compiled::{ARCHITECTURES, FATBINS};
use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUmodule, CUresult};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

/// The modules of this build, loaded into a context.
pub(super) struct Modules {
    handles: Vec<CUmodule>,
    kernels: Mutex<HashMap<String, Function>>,
    shared_memory: u32,
}

#[derive(Clone, Copy)]
struct Function(CUfunction);

// SAFETY: handles of a context that may be used from any thread.
unsafe impl Send for Modules {}
// SAFETY: as above; the map is behind a mutex.
unsafe impl Sync for Modules {}
// SAFETY: as above.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Modules {
    /// Loads all modules; the context is current.
    pub(super) fn load(device: &DeviceDescription) -> Result<Self, DeviceError> {
        if FATBINS.is_empty() {
            return Err(DeviceError::NoKernels);
        }
        let kernels = Mutex::new(HashMap::new());
        let mut modules = Modules { handles: Vec::new(), kernels, shared_memory: device.shared_memory };
        // Modules of Hopper hold its machine code alone, which no other device loads.
        let loads = |stem: &str| !stem.starts_with("hopper_") || device.capability == (9, 0);
        for (_, image) in FATBINS.iter().filter(|(stem, _)| loads(stem)) {
            let mut handle: CUmodule = std::ptr::null_mut();
            // SAFETY: a fatbin made by nvcc, which says in its header how long it is.
            let code = unsafe { sys::cuModuleLoadData(&mut handle, image.as_ptr().cast()) };
            check("cuModuleLoadData", code).map_err(|error| load_error(error, code, device))?;
            modules.handles.push(handle);
        }
        Ok(modules)
    }

    fn find(&self, name: &str) -> Result<Function, DeviceError> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = kernels.get(name) {
            return Ok(function);
        }
        let missing = || DeviceError::NoKernel { kernel: name.to_owned() };
        let symbol = CString::new(name).map_err(|_| missing())?;
        for &module in &self.handles {
            let mut function: CUfunction = std::ptr::null_mut();
            // SAFETY: the module is loaded; the name ends with a zero.
            match unsafe { sys::cuModuleGetFunction(&mut function, module, symbol.as_ptr()) } {
                CUresult::CUDA_ERROR_NOT_FOUND => continue,
                code => check("cuModuleGetFunction", code)?,
            }
            // Kernels have no static shared memory, so a block may have all of it as dynamic.
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let limit = i32::try_from(self.shared_memory).unwrap_or(0);
            // SAFETY: the function was just found.
            check("cuFuncSetAttribute", unsafe { sys::cuFuncSetAttribute(function, attribute, limit) })?;
            kernels.insert(name.to_owned(), Function(function));
            return Ok(Function(function));
        }
        Err(missing())
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        for &handle in &self.handles {
            // SAFETY: loaded by `load`; its context is current and no kernel of it is left.
            let _ = unsafe { sys::cuModuleUnload(handle) };
        }
    }
}

fn load_error(error: DeviceError, code: CUresult, device: &DeviceDescription) -> DeviceError {
    use CUresult::{
        CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_PTX, CUDA_ERROR_JIT_COMPILER_NOT_FOUND,
        CUDA_ERROR_NO_BINARY_FOR_GPU,
    };
    let unusable = matches!(
        code,
        CUDA_ERROR_NO_BINARY_FOR_GPU
            | CUDA_ERROR_INVALID_IMAGE
            | CUDA_ERROR_INVALID_PTX
            | CUDA_ERROR_JIT_COMPILER_NOT_FOUND
    );
    if unusable && device.driver < library::TOOLKIT {
        let reason = match error {
            DeviceError::Call { status, .. } => DriverStatus::to_string(&status),
            other => other.to_string(),
        };
        return DeviceError::DriverTooOld { driver: device.driver, needed: library::TOOLKIT, reason };
    }
    if unusable {
        let (major, minor) = device.capability;
        let compiled = ARCHITECTURES.join(", ");
        return DeviceError::NoCode { name: device.name.clone(), major, minor, compiled };
    }
    error
}

/// A kernel of this build on a device.
#[derive(Clone)]
pub struct Kernel {
    pub(super) name: String,
    function: Function,
    // Keeps the module loaded.
    _device: Device,
}

impl Kernel {
    pub(super) fn function(&self) -> CUfunction {
        self.function.0
    }

    /// As declared with `VGGX_KERNEL`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Device {
    /// Looks a kernel up by the name it was declared with.
    ///
    /// # Errors
    /// When no module has it.
    pub fn kernel(&self, name: &str) -> Result<Kernel, DeviceError> {
        let _current = self.enter()?;
        // The driver may load the kernel, and wait for everything first.
        let _alone = whole_context();
        let modules = self.modules().ok_or(DeviceError::NoKernels)?;
        Ok(Kernel { name: name.to_owned(), function: modules.find(name)?, _device: self.clone() })
    }
}
