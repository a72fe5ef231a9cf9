//! An open device: a context on it and the compiled kernels.

use super::callers::CallersContext;
use super::description::{DeviceDescription, describe, index_of};
use super::error::{DeviceError, check};
use super::library;
use super::module::Modules;
use cudarc::driver::sys::{self, CUcontext, CUdevice};
use std::marker::PhantomData;
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
    handle: CUcontext,
    /// The device whose primary context it is, which is to be released; none of a caller's context.
    primary: Option<CUdevice>,
}

// SAFETY: a context may be current on any number of threads, and the driver's functions are thread-safe.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    fn enter(&self) -> Result<Current<'_>, DeviceError> {
        // SAFETY: the context lives as long as `self`.
        check("cuCtxPushCurrent", unsafe { sys::cuCtxPushCurrent_v2(self.handle) })?;
        Ok(Current { context: PhantomData })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(device) = self.primary {
            // SAFETY: was retained in `Device::open`, and nothing made in it is left.
            let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(device) };
        }
    }
}

/// While it lives, a device's context is the calling thread's; then the one that was before is again. Pointers keep it on
/// its thread.
#[must_use]
pub(super) struct Current<'a> {
    context: PhantomData<(&'a Context, *mut ())>,
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let mut popped: CUcontext = std::ptr::null_mut();
        // SAFETY: writes the handle of the context that `Context::enter` pushed: what was pushed later was popped before.
        let _ = unsafe { sys::cuCtxPopCurrent_v2(&mut popped) };
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
        Self::new(Context { handle, primary: Some(device) }, description)
    }

    /// Works in a caller's context, on its device, instead of the device's primary one, and loads the compiled kernels into
    /// it. The context is never destroyed or reset.
    ///
    /// # Errors
    /// When the context is none, or the build has no kernels that run on its device.
    pub fn in_context(context: CallersContext) -> Result<Self, DeviceError> {
        library::initialise()?;
        let context = Context { handle: context.handle(), primary: None };
        let mut device: CUdevice = 0;
        let entered = context.enter()?;
        // SAFETY: writes the handle.
        check("cuCtxGetDevice", unsafe { sys::cuCtxGetDevice(&mut device) })?;
        drop(entered);
        let (_, description) = describe(index_of(device)?)?;
        Self::new(context, description)
    }

    fn new(context: Context, description: DeviceDescription) -> Result<Self, DeviceError> {
        let entered = context.enter()?;
        let modules = Modules::load(&description)?;
        drop(entered);
        Ok(Device { inner: Arc::new(Inner { modules: Some(modules), context, description }) })
    }

    /// What the driver says about it.
    pub fn description(&self) -> &DeviceDescription {
        &self.inner.description
    }

    /// Makes the device's context the calling thread's for a while; every call of this wrapper does it first, and leaves the
    /// thread as it was.
    pub(super) fn enter(&self) -> Result<Current<'_>, DeviceError> {
        self.inner.context.enter()
    }

    /// The context that it works in.
    pub(super) fn context(&self) -> CUcontext {
        self.inner.context.handle
    }

    pub(super) fn modules(&self) -> Option<&Modules> {
        self.inner.modules.as_ref()
    }

    /// Bytes of device memory that are free.
    ///
    /// # Errors
    /// When the driver cannot tell.
    pub fn free_memory(&self) -> Result<u64, DeviceError> {
        let _current = self.enter()?;
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
        let _current = self.enter()?;
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

impl Drop for Inner {
    fn drop(&mut self) {
        // Modules can only be unloaded from within their context.
        let entered = self.context.enter();
        self.modules = None;
        drop(entered);
    }
}
