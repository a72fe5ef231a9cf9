//! Streams of work, and the events that time them.

use super::context::Device;
use super::error::{DeviceError, LAUNCH, check};
use super::memory::{DeviceMemory, Plain, bytes_of, bytes_of_mut};
use super::module::Kernel;
use cudarc::driver::sys::{self, CUevent, CUevent_flags, CUstream, CUstream_flags};
use std::ffi::c_void;

/// Work that runs on a device one after another, and beside that of other streams.
pub struct Stream {
    device: Device,
    handle: CUstream,
}

// SAFETY: the driver's functions on a stream are thread-safe.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Device {
    /// Makes a stream.
    ///
    /// # Errors
    /// When the driver has no resources left.
    pub fn stream(&self) -> Result<Stream, DeviceError> {
        let _current = self.enter()?;
        let mut handle: CUstream = std::ptr::null_mut();
        let flags = CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes the handle.
        check("cuStreamCreate", unsafe { sys::cuStreamCreate(&mut handle, flags) })?;
        Ok(Stream { device: self.clone(), handle })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.enter() {
            // SAFETY: made by `Device::stream`; work that is under way goes on.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.handle) };
        }
    }
}

/// How many blocks run, of how many threads, with how much shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchSize {
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
}

impl Stream {
    pub(super) fn handle(&self) -> CUstream {
        self.handle
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Starts a kernel.
    ///
    /// # Safety
    /// `parameters` is the structure that the kernel takes, and every address in it is of memory that holds what the
    /// kernel reads and writes, and stays until the kernel is done.
    ///
    /// # Errors
    /// When it cannot start. What it does wrong later is reported by [`Stream::synchronise`].
    pub unsafe fn launch<P: Copy>(
        &self,
        kernel: &Kernel,
        size: LaunchSize,
        parameters: &P,
    ) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        let [x, y, z] = size.grid;
        let mut arguments = [std::ptr::from_ref(parameters).cast_mut().cast::<c_void>()];
        // SAFETY: the driver copies the parameters before it returns; the rest is the caller's.
        let code = unsafe {
            sys::cuLaunchKernel(
                kernel.function(),
                x,
                y,
                z,
                size.threads,
                1,
                1,
                size.shared,
                self.handle,
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        check(LAUNCH, code).map_err(|error| {
            error.in_kernel(&kernel.name, || {
                format!("grid {x}×{y}×{z}, {} threads, {} bytes of shared memory", size.threads, size.shared)
            })
        })
    }

    /// Starts copying to the device.
    ///
    /// # Safety
    /// `address` is of so much device memory, and both sides stay untouched until the copy is done.
    ///
    /// # Errors
    /// When it cannot start.
    pub unsafe fn start_upload(&self, address: u64, from: &[u8]) -> Result<(), DeviceError> {
        if from.is_empty() {
            return Ok(());
        }
        let _current = self.device.enter()?;
        // SAFETY: the caller's.
        let code =
            unsafe { sys::cuMemcpyHtoDAsync_v2(address, from.as_ptr().cast(), from.len(), self.handle) };
        check("cuMemcpyHtoDAsync", code)
    }

    /// Starts copying from the device.
    ///
    /// # Safety
    /// As [`Stream::start_upload`].
    ///
    /// # Errors
    /// When it cannot start.
    pub unsafe fn start_download(&self, to: &mut [u8], address: u64) -> Result<(), DeviceError> {
        if to.is_empty() {
            return Ok(());
        }
        let _current = self.device.enter()?;
        // SAFETY: the caller's.
        let code =
            unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), address, to.len(), self.handle) };
        check("cuMemcpyDtoHAsync", code)
    }

    /// Starts copying within the device.
    ///
    /// # Safety
    /// As [`Stream::start_upload`].
    ///
    /// # Errors
    /// When it cannot start.
    pub unsafe fn start_copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), DeviceError> {
        if bytes == 0 {
            return Ok(());
        }
        let _current = self.device.enter()?;
        // SAFETY: the caller's.
        check("cuMemcpyDtoDAsync", unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, self.handle) })
    }

    /// Starts setting bytes on the device.
    ///
    /// # Safety
    /// As [`Stream::start_upload`].
    ///
    /// # Errors
    /// When it cannot start.
    pub unsafe fn start_fill(&self, address: u64, byte: u8, bytes: usize) -> Result<(), DeviceError> {
        if bytes == 0 {
            return Ok(());
        }
        let _current = self.device.enter()?;
        // SAFETY: the caller's.
        check("cuMemsetD8Async", unsafe { sys::cuMemsetD8Async(address, byte, bytes, self.handle) })
    }

    /// Waits until everything on this stream is done.
    ///
    /// # Errors
    /// When some of it failed.
    pub fn synchronise(&self) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        // SAFETY: the stream is this one's.
        check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.handle) })
    }

    /// Copies numbers to the device, from byte `offset` of `memory` on, and waits for it.
    ///
    /// # Errors
    /// When the driver fails.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn upload<T: Plain>(
        &self,
        memory: &DeviceMemory,
        offset: usize,
        from: &[T],
    ) -> Result<(), DeviceError> {
        let from = bytes_of(from);
        check_range(memory, offset, from.len());
        // SAFETY: within the memory, and waited for.
        unsafe { self.start_upload(memory.address() + offset as u64, from) }?;
        self.synchronise()
    }

    /// Copies numbers from the device, from byte `offset` of `memory` on, and waits for it.
    ///
    /// # Errors
    /// When the driver fails, or a kernel before it.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn download<T: Plain>(
        &self,
        to: &mut [T],
        memory: &DeviceMemory,
        offset: usize,
    ) -> Result<(), DeviceError> {
        let to = bytes_of_mut(to);
        check_range(memory, offset, to.len());
        // SAFETY: within the memory, and waited for.
        unsafe { self.start_download(to, memory.address() + offset as u64) }?;
        self.synchronise()
    }

    /// Sets every byte of the memory, and waits for it.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn fill(&self, memory: &DeviceMemory, byte: u8) -> Result<(), DeviceError> {
        // SAFETY: all of the memory, and waited for.
        unsafe { self.start_fill(memory.address(), byte, memory.bytes()) }?;
        self.synchronise()
    }
}

fn check_range(memory: &DeviceMemory, offset: usize, bytes: usize) {
    let end = offset.checked_add(bytes);
    assert!(end.is_some_and(|end| end <= memory.bytes()), "{bytes} bytes at {offset} of {}", memory.bytes());
}

/// A point of a stream in time.
pub struct Event {
    device: Device,
    handle: CUevent,
}

// SAFETY: the driver's functions on an event are thread-safe.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Device {
    /// Makes an event.
    ///
    /// # Errors
    /// When the driver has no resources left.
    pub fn event(&self) -> Result<Event, DeviceError> {
        let _current = self.enter()?;
        let mut handle: CUevent = std::ptr::null_mut();
        let flags = CUevent_flags::CU_EVENT_DEFAULT as u32;
        // SAFETY: writes the handle.
        check("cuEventCreate", unsafe { sys::cuEventCreate(&mut handle, flags) })?;
        Ok(Event { device: self.clone(), handle })
    }
}

impl Event {
    /// Marks the point after everything on the stream so far.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn record(&self, stream: &Stream) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        // SAFETY: both are of this device.
        check("cuEventRecord", unsafe { sys::cuEventRecord(self.handle, stream.handle) })
    }

    /// As [`Event::record`], on a stream of this device's context that is not ours.
    pub(super) fn record_callers(&self, stream: CUstream) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        // SAFETY: whoever gave the stream promised that it is one.
        check("cuEventRecord", unsafe { sys::cuEventRecord(self.handle, stream) })
    }

    /// Waits on the host until the point is reached.
    ///
    /// # Errors
    /// When work before it failed.
    pub fn synchronise(&self) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        // SAFETY: the event is this one's.
        check("cuEventSynchronize", unsafe { sys::cuEventSynchronize(self.handle) })
    }

    /// Makes later work of a stream wait until the point is reached.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn delay(&self, stream: &Stream) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        // SAFETY: both are of this device.
        check("cuStreamWaitEvent", unsafe { sys::cuStreamWaitEvent(stream.handle, self.handle, 0) })
    }

    /// Milliseconds from an earlier point to this one; both have been reached.
    ///
    /// # Errors
    /// When one of them has not been recorded or reached.
    pub fn milliseconds_since(&self, earlier: &Event) -> Result<f32, DeviceError> {
        let _current = self.device.enter()?;
        let mut milliseconds = 0.0;
        // SAFETY: writes one number.
        let code = unsafe { sys::cuEventElapsedTime_v2(&mut milliseconds, earlier.handle, self.handle) };
        check("cuEventElapsedTime", code)?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.enter() {
            // SAFETY: made by `Device::event`.
            let _ = unsafe { sys::cuEventDestroy_v2(self.handle) };
        }
    }
}
