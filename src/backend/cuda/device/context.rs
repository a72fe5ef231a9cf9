//! An open device: its primary context and the compiled kernels.

use super::description::{DeviceDescription, describe};
use super::error::{DeviceError, check};
use super::module::Modules;
use cudarc::driver::sys::{self, CUcontext, CUdevice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An open device. Clones are the same device; it closes with the last of them and of what was made from it.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped before the context.
    modules: Option<Modules>,
    context: Context,
    description: DeviceDescription,
}

struct Context {
    device: CUdevice,
    handle: CUcontext,
}

// SAFETY: a context may be current on any number of threads, and the driver's functions are thread-safe.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: was retained in `Device::open`, and nothing made in it is left.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

impl Device {
    /// Opens the device of this number, and loads the compiled kernels onto it.
    ///
    /// # Errors
    /// When there is no such device, or the build has no kernels that run on it.
    pub fn open(index: usize) -> Result<Self, DeviceError> {
        let (device, description) = describe(index)?;
        let mut handle: CUcontext = std::ptr::null_mut();
        // SAFETY: writes the handle.
        check("cuDevicePrimaryCtxRetain", unsafe { sys::cuDevicePrimaryCtxRetain(&mut handle, device) })?;
        let context = Context { device, handle };
        let mut inner = Inner { modules: None, context, description };
        inner.make_current()?;
        inner.modules = Some(Modules::load(&inner.description)?);
        Ok(Device { inner: Arc::new(inner) })
    }

    /// What the driver says about it.
    pub fn description(&self) -> &DeviceDescription {
        &self.inner.description
    }

    /// Makes the device's context the calling thread's; every call of this wrapper does it first.
    pub(super) fn make_current(&self) -> Result<(), DeviceError> {
        self.inner.make_current()
    }

    pub(super) fn modules(&self) -> Option<&Modules> {
        self.inner.modules.as_ref()
    }

    /// Bytes of device memory that are free.
    ///
    /// # Errors
    /// When the driver cannot tell.
    pub fn free_memory(&self) -> Result<u64, DeviceError> {
        self.make_current()?;
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: writes two integers.
        check("cuMemGetInfo", unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) })?;
        Ok(free as u64)
    }

    /// Waits until everything on the device is done.
    ///
    /// # Errors
    /// When a kernel failed.
    pub fn synchronise(&self) -> Result<(), DeviceError> {
        self.alone(|| Ok(()))
    }

    /// Waits until everything on the device is done, then calls `free`, while nothing is captured: either would end a
    /// capture, of whichever thread.
    ///
    /// # Errors
    /// When a kernel failed, or what `free` returns.
    pub(super) fn alone<T>(&self, free: impl FnOnce() -> Result<T, DeviceError>) -> Result<T, DeviceError> {
        self.make_current()?;
        let _alone = whole_context();
        // SAFETY: the context is current.
        check("cuCtxSynchronize", unsafe { sys::cuCtxSynchronize() })?;
        free()
    }
}

/// Keeps captures and what concerns a whole context apart. One for the process: devices that are opened twice share their
/// context.
pub(super) fn whole_context() -> MutexGuard<'static, ()> {
    static WHOLE_CONTEXT: Mutex<()> = Mutex::new(());
    WHOLE_CONTEXT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn make_current(&self) -> Result<(), DeviceError> {
        // SAFETY: the context lives as long as `self`.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.context.handle) })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Modules can only be unloaded from within their context.
        let _ = self.make_current();
    }
}
