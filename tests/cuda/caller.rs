//! A program that has a context, streams and memory of its own on the device.

use cudarc::driver::sys::{self, CUcontext, CUresult, CUstream};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use vggx::backend::cuda::{CallersContext, CallersStream, devices};

use crate::host_driver;

/// Panics unless a call of the driver succeeded.
#[track_caller]
pub fn check(result: CUresult) {
    assert_eq!(result, CUresult::CUDA_SUCCESS);
}

/// The calling thread's current context.
pub fn current() -> CUcontext {
    let mut context = null_mut();
    // SAFETY: writes the handle.
    check(unsafe { sys::cuCtxGetCurrent(&mut context) });
    context
}

/// A context, current on the calling thread while this lives.
pub struct Caller {
    context: CUcontext,
    is_own: bool,
}

impl Caller {
    fn initialise() {
        host_driver::load();
        devices().expect("a device");
    }

    /// Works in the device's primary context.
    pub fn in_primary_context() -> Self {
        Self::initialise();
        let mut context = null_mut();
        // SAFETY: writes the handle, which is then retained.
        unsafe {
            check(sys::cuDevicePrimaryCtxRetain(&mut context, 0));
            check(sys::cuCtxPushCurrent_v2(context));
        }
        Caller { context, is_own: false }
    }

    /// Works in a context that it makes.
    pub fn in_own_context() -> Self {
        Self::initialise();
        let mut context = null_mut();
        // SAFETY: writes the handle, and makes it current.
        check(unsafe { sys::cuCtxCreate_v4(&mut context, null_mut(), 0, 0) });
        Caller { context, is_own: true }
    }

    pub fn context(&self) -> CUcontext {
        self.context
    }

    /// For a backend that is dropped before this.
    pub fn for_options(&self) -> CallersContext {
        let context = NonNull::new(self.context.cast()).expect("a context");
        // SAFETY: it is one.
        unsafe { CallersContext::new(context) }
    }

    pub fn allocate(&self, bytes: usize) -> Memory {
        let mut address = 0;
        // SAFETY: writes the address.
        check(unsafe { sys::cuMemAlloc_v2(&mut address, bytes) });
        Memory { context: self.context, address, bytes }
    }

    /// Memory that holds these bytes.
    pub fn upload(&self, bytes: &[u8]) -> Memory {
        let memory = self.allocate(bytes.len());
        // SAFETY: as large.
        check(unsafe { sys::cuMemcpyHtoD_v2(memory.address, bytes.as_ptr().cast(), bytes.len()) });
        memory
    }

    /// A stream that does not wait for the default one.
    pub fn stream(&self) -> Stream {
        let mut handle = null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes the handle.
        check(unsafe { sys::cuStreamCreate(&mut handle, flags) });
        Stream { context: self.context, handle }
    }

    /// Page-locked memory of the host.
    pub fn pinned(&self, bytes: usize) -> Pinned {
        let mut pointer = null_mut();
        // SAFETY: writes the pointer; the memory is then initialised.
        unsafe {
            check(sys::cuMemHostAlloc(&mut pointer, bytes, 0));
            pointer.cast::<u8>().write_bytes(0, bytes);
        }
        Pinned { context: self.context, pointer, bytes }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut popped = null_mut();
        // SAFETY: what was made in it is gone.
        unsafe {
            check(sys::cuCtxPopCurrent_v2(&mut popped));
            if self.is_own {
                check(sys::cuCtxDestroy_v2(self.context));
            } else {
                check(sys::cuDevicePrimaryCtxRelease_v2(0));
            }
        }
    }
}

/// Runs with a context that lives.
fn within(context: CUcontext, run: impl FnOnce()) {
    let mut popped = null_mut();
    // SAFETY: the caller's that made it; pushed and popped.
    unsafe {
        check(sys::cuCtxPushCurrent_v2(context));
        run();
        check(sys::cuCtxPopCurrent_v2(&mut popped));
    }
}

pub struct Memory {
    context: CUcontext,
    pub address: u64,
    pub bytes: usize,
}

impl Memory {
    pub fn download(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes];
        // SAFETY: as large.
        check(unsafe { sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), self.address, self.bytes) });
        bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate`.
        within(self.context, || check(unsafe { sys::cuMemFree_v2(self.address) }));
    }
}

pub struct Stream {
    context: CUcontext,
    pub handle: CUstream,
}

impl Stream {
    /// For calls that return before this is dropped.
    pub fn for_calls(&self) -> CallersStream {
        // SAFETY: it is one.
        unsafe { CallersStream::new(self.handle.cast()) }
    }

    /// Starts copying to the device.
    pub fn start_upload(&self, to: &Memory, from: &Pinned) {
        // SAFETY: as large; both stay until the stream is waited for.
        check(unsafe { sys::cuMemcpyHtoDAsync_v2(to.address, from.pointer, from.bytes, self.handle) });
    }

    /// Starts copying from the device.
    pub fn start_download(&self, to: &Pinned, from: &Memory) {
        // SAFETY: as above.
        check(unsafe { sys::cuMemcpyDtoHAsync_v2(to.pointer, from.address, to.bytes, self.handle) });
    }

    pub fn synchronise(&self) {
        // SAFETY: it is a stream.
        check(unsafe { sys::cuStreamSynchronize(self.handle) });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `stream`.
        within(self.context, || check(unsafe { sys::cuStreamDestroy_v2(self.handle) }));
    }
}

pub struct Pinned {
    context: CUcontext,
    pub pointer: *mut c_void,
    bytes: usize,
}

impl Pinned {
    /// While nothing is copied.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many, initialised.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.cast(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated by `pinned`.
        within(self.context, || check(unsafe { sys::cuMemFreeHost(self.pointer) }));
    }
}
