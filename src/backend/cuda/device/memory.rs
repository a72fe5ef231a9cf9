//! Memory on the device, and memory of the host that the device copies from and to by itself.

use super::context::Device;
use super::error::{DeviceError, check};
use cudarc::driver::sys::{self, CUresult};
use std::ffi::c_void;

/// Numbers that may be copied as bytes: any bit pattern is one, and there are no gaps.
///
/// # Safety
/// Only for such types.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($number:ty),*) => {
        $(
            // SAFETY: a number without gaps, of which every bit pattern is valid.
            unsafe impl Plain for $number {}
        )*
    };
}

plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// The bytes of numbers.
pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: plain numbers are bytes; the length is theirs.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of numbers, to be written.
pub fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and whatever is written is a number.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// Memory on a device; freed when dropped, after everything on the device is done. Its contents are undefined at first.
pub struct DeviceMemory {
    device: Device,
    address: u64,
    bytes: usize,
}

impl DeviceMemory {
    /// Device address of the first byte, a multiple of 256; 0 where there are no bytes.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // A lost device has no memory to give back.
            let _ = self.device.alone(|| {
                // SAFETY: allocated by `allocate`, and nothing on the device uses it any more.
                check("cuMemFree", unsafe { sys::cuMemFree_v2(self.address) })
            });
        }
    }
}

/// Page-locked memory of the host; freed when dropped, after everything on the device is done. Zero at first.
pub struct PinnedMemory {
    device: Device,
    pointer: *mut u8,
    bytes: usize,
}

// SAFETY: memory that is owned alone, reached through `&self` and `&mut self` only.
unsafe impl Send for PinnedMemory {}
// SAFETY: as above.
unsafe impl Sync for PinnedMemory {}

impl PinnedMemory {
    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `count` numbers from byte `offset` on.
    ///
    /// # Panics
    /// When they are not within the memory, or not aligned.
    pub fn slice<T: Plain>(&self, offset: usize, count: usize) -> &[T] {
        self.check::<T>(offset, count);
        // SAFETY: within the memory and aligned, as just checked; initialised by `allocate_pinned`.
        unsafe { std::slice::from_raw_parts(self.pointer.add(offset).cast(), count) }
    }

    /// `count` numbers from byte `offset` on, to be written.
    ///
    /// # Panics
    /// As [`PinnedMemory::slice`].
    pub fn slice_mut<T: Plain>(&mut self, offset: usize, count: usize) -> &mut [T] {
        self.check::<T>(offset, count);
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(offset).cast(), count) }
    }

    fn check<T>(&self, offset: usize, count: usize) {
        let end = count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        assert!(
            end.is_some_and(|end| end <= self.bytes),
            "{count} values at {offset} of {} bytes",
            self.bytes
        );
        assert!(offset.is_multiple_of(align_of::<T>()), "values at {offset} are not aligned");
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: allocated by `allocate_pinned`.
            let free =
                || check("cuMemFreeHost", unsafe { sys::cuMemFreeHost(self.pointer.cast::<c_void>()) });
            // Copies that are under way end with the device's work.
            if self.device.alone(free).is_err() {
                // A lost device makes none.
                let _current = self.device.enter();
                let _ = free();
            }
        }
    }
}

impl Device {
    /// Allocates memory on the device; none of it is initialised.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] when there is not as much.
    pub fn allocate(&self, bytes: usize) -> Result<DeviceMemory, DeviceError> {
        let _current = self.enter()?;
        let mut address = 0;
        if bytes > 0 {
            // SAFETY: writes the address.
            match unsafe { sys::cuMemAlloc_v2(&mut address, bytes) } {
                CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                    return Err(DeviceError::OutOfMemory { bytes, free: self.free_memory().unwrap_or(0) });
                }
                code => check("cuMemAlloc", code)?,
            }
        }
        Ok(DeviceMemory { device: self.clone(), address, bytes })
    }

    /// Allocates memory of the host that copies run from and to without the processor. It is cached, so reading it is
    /// as quick as reading any memory.
    ///
    /// # Errors
    /// When the system gives no more.
    pub fn allocate_pinned(&self, bytes: usize) -> Result<PinnedMemory, DeviceError> {
        let _current = self.enter()?;
        // Aligned for every number, also where there are none.
        let mut pointer: *mut c_void = std::ptr::without_provenance_mut(align_of::<u64>());
        if bytes > 0 {
            // SAFETY: writes the pointer. Without the flag for write-combined memory.
            let code = unsafe { sys::cuMemHostAlloc(&mut pointer, bytes, sys::CU_MEMHOSTALLOC_PORTABLE) };
            check("cuMemHostAlloc", code)?;
            // SAFETY: `bytes` bytes were allocated.
            unsafe { pointer.cast::<u8>().write_bytes(0, bytes) };
        }
        Ok(PinnedMemory { device: self.clone(), pointer: pointer.cast(), bytes })
    }
}
