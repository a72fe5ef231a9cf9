//! What devices there are.

use super::error::{CudaVersion, DeviceError, check};
use super::library;
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute};
use std::ffi::{CStr, c_char};
use std::fmt;

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDescription {
    /// Its number, as in `--device cuda:0`.
    pub index: usize,
    /// The product's name.
    pub name: String,
    /// Compute capability, for instance (9, 0).
    pub capability: (u32, u32),
    /// Bytes of its memory.
    pub memory: u64,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory that one block may have.
    pub shared_memory: u32,
    /// Bytes of the L2 cache.
    pub l2_cache: u32,
    /// The highest clock of its multiprocessors, in kHz.
    pub clock: u32,
    /// Bytes a second between the device and its memory, by the memory's clock; 0 where the driver does not say.
    pub memory_bandwidth: u64,
    /// The version of CUDA that the driver supports.
    pub driver: CudaVersion,
}

impl fmt::Display for DeviceDescription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        let memory = self.memory as f64 / f64::from(1 << 30);
        write!(
            formatter,
            "{}, compute capability {major}.{minor}, {memory:.1} GiB, {} multiprocessors",
            self.name, self.multiprocessors
        )
    }
}

/// The devices that the driver shows, in its order.
///
/// # Errors
/// When there is no driver, it is too old, or it finds no device.
pub fn devices() -> Result<Vec<DeviceDescription>, DeviceError> {
    let count = count()?;
    (0..count).map(|index| describe(index).map(|(_, description)| description)).collect()
}

fn count() -> Result<usize, DeviceError> {
    library::initialise()?;
    let mut count = 0;
    // SAFETY: writes one integer.
    check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&mut count) })?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(DeviceError::NoDevice),
    }
}

/// Bytes a second of memory with this clock in kHz and a bus of so many bits, which moves data twice a clock.
fn memory_bandwidth(clock: u32, bus: u32) -> u64 {
    2 * u64::from(clock) * 1000 * u64::from(bus / 8)
}

/// The number of the device with this handle.
pub(super) fn index_of(device: CUdevice) -> Result<usize, DeviceError> {
    let count = count()?;
    for index in 0..count {
        let mut handle: CUdevice = 0;
        // SAFETY: writes the handle.
        check("cuDeviceGet", unsafe { sys::cuDeviceGet(&mut handle, index as i32) })?;
        if handle == device {
            return Ok(index);
        }
    }
    Err(DeviceError::NoDevice)
}

/// The driver's handle of a device, and what it says about it.
pub(super) fn describe(index: usize) -> Result<(CUdevice, DeviceDescription), DeviceError> {
    let count = count()?;
    let ordinal = match i32::try_from(index) {
        Ok(ordinal) if index < count => ordinal,
        _ => return Err(DeviceError::NoSuchDevice { index, count }),
    };
    let mut device: CUdevice = 0;
    let mut name: [c_char; 256] = [0; 256];
    let mut memory = 0usize;
    // SAFETY: each call writes what it is given the address of; the name is cut to the length given, with its zero.
    unsafe {
        check("cuDeviceGet", sys::cuDeviceGet(&mut device, ordinal))?;
        check("cuDeviceGetName", sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32 - 1, device))?;
        check("cuDeviceTotalMem", sys::cuDeviceTotalMem_v2(&mut memory, device))?;
    }
    let attribute = |attribute| {
        let mut value = 0;
        // SAFETY: writes one integer.
        let code = unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) };
        check("cuDeviceGetAttribute", code).map(|()| u32::try_from(value).unwrap_or(0))
    };
    use CUdevice_attribute::*;
    // SAFETY: the last byte was never written.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let description = DeviceDescription {
        index,
        name,
        capability: (
            attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        memory: memory as u64,
        multiprocessors: attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_memory: attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        l2_cache: attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE).unwrap_or(0),
        clock: attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE).unwrap_or(0),
        memory_bandwidth: memory_bandwidth(
            attribute(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE).unwrap_or(0),
            attribute(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH).unwrap_or(0),
        ),
        driver: library::version()?,
    };
    Ok((device, description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_moves_data_twice_a_clock() {
        // An H200: 3201 MHz, 6144 bits.
        assert_eq!(memory_bandwidth(3_201_000, 6144), 4_916_736_000_000);
        assert_eq!(memory_bandwidth(0, 0), 0);
    }
}
