//! What the driver says of things that are not ours: contexts, streams and memory of callers.

use super::context::Device;
use super::error::{DeviceError, check};
use super::stream::{Event, Stream};
use cudarc::driver::sys::{
    self, CUcontext, CUmemorytype_enum, CUpointer_attribute, CUstream, CUstreamCaptureStatus,
};
use std::ffi::{c_int, c_uint, c_void};
use std::ptr::NonNull;

/// A CUDA context that a caller made or retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallersContext(NonNull<c_void>);

// SAFETY: a handle; contexts may be current on any number of threads.
unsafe impl Send for CallersContext {}
// SAFETY: as above.
unsafe impl Sync for CallersContext {}

impl CallersContext {
    /// A `CUcontext`, as `cuCtxCreate`, `cuCtxGetCurrent` and `cuDevicePrimaryCtxRetain` give it.
    ///
    /// # Safety
    /// It is one, and it is not destroyed before everything is dropped that is opened in it.
    pub unsafe fn new(context: NonNull<c_void>) -> Self {
        CallersContext(context)
    }

    pub(super) fn handle(self) -> CUcontext {
        self.0.as_ptr().cast()
    }
}

/// A CUDA stream that a caller works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallersStream(*mut c_void);

// SAFETY: a handle; the driver's functions on a stream are thread-safe.
unsafe impl Send for CallersStream {}
// SAFETY: as above.
unsafe impl Sync for CallersStream {}

impl CallersStream {
    /// The legacy default stream, which a caller works on that names none.
    pub const DEFAULT: CallersStream = CallersStream(std::ptr::null_mut());

    /// A `CUstream`, which is the same as a `cudaStream_t`: null and the other special values are default streams.
    ///
    /// # Safety
    /// It is one, and it is not destroyed before the calls return that it is given to.
    pub unsafe fn new(stream: *mut c_void) -> Self {
        CallersStream(stream)
    }

    fn handle(self) -> CUstream {
        self.0.cast()
    }
}

/// Whether work can be ordered after a caller's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum StreamState {
    Usable,
    /// Of another context.
    Foreign,
    /// What it is given is recorded, not run.
    Captured,
}

/// Whose memory an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Place {
    /// That the device's kernels may use.
    Device,
    /// Of another device.
    OtherDevice,
    /// Of another context on this device.
    OtherContext,
    /// The host's, or no one's.
    Elsewhere,
}

impl Device {
    /// What a caller's stream is doing.
    pub(in super::super) fn stream_state(&self, stream: CallersStream) -> Result<StreamState, DeviceError> {
        let _current = self.enter()?;
        let mut context: CUcontext = std::ptr::null_mut();
        // SAFETY: the caller promised that it is a stream; writes the handle.
        check("cuStreamGetCtx", unsafe { sys::cuStreamGetCtx(stream.handle(), &mut context) })?;
        if context != self.context() {
            return Ok(StreamState::Foreign);
        }
        let mut status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: as above; writes the status.
        check("cuStreamIsCapturing", unsafe { sys::cuStreamIsCapturing(stream.handle(), &mut status) })?;
        let is_captured = status != CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        Ok(if is_captured { StreamState::Captured } else { StreamState::Usable })
    }

    /// Where an address lies.
    pub(in super::super) fn place(&self, address: u64) -> Result<Place, DeviceError> {
        let _current = self.enter()?;
        use CUpointer_attribute::{
            CU_POINTER_ATTRIBUTE_CONTEXT, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
        };
        let mut attributes = [
            CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
            CU_POINTER_ATTRIBUTE_IS_MANAGED,
            CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            CU_POINTER_ATTRIBUTE_CONTEXT,
        ];
        let (mut kind, mut is_managed, mut ordinal): (c_uint, c_uint, c_int) = (0, 0, 0);
        let mut context: CUcontext = std::ptr::null_mut();
        let mut values = [
            (&raw mut kind).cast::<c_void>(),
            (&raw mut is_managed).cast(),
            (&raw mut ordinal).cast(),
            (&raw mut context).cast(),
        ];
        // SAFETY: as many addresses as attributes, each of a variable of the attribute's type. Any address may be asked for:
        // of one that the driver does not know, everything is zero.
        let code = unsafe {
            sys::cuPointerGetAttributes(
                attributes.len() as c_uint,
                attributes.as_mut_ptr(),
                values.as_mut_ptr(),
                address,
            )
        };
        check("cuPointerGetAttributes", code)?;
        let of_device = CUmemorytype_enum::CU_MEMORYTYPE_DEVICE as c_uint;
        Ok(if is_managed != 0 {
            Place::Device
        } else if kind != of_device {
            Place::Elsewhere
        } else if usize::try_from(ordinal) != Ok(self.description().index) {
            Place::OtherDevice
        } else if !context.is_null() && context != self.context() {
            // Memory from pools and mappings is of no context.
            Place::OtherContext
        } else {
            Place::Device
        })
    }
}

impl Stream {
    /// This stream, as a caller that works on it would give it.
    pub(in super::super) fn as_callers(&self) -> CallersStream {
        CallersStream(self.handle().cast())
    }

    /// Makes later work wait for everything that a caller's stream holds now. `event` is used for it.
    ///
    /// # Errors
    /// When the driver fails, for instance because the stream is being captured.
    pub fn follow(&self, stream: CallersStream, event: &Event) -> Result<(), DeviceError> {
        event.record_callers(stream.handle())?;
        event.delay(self)
    }
}
