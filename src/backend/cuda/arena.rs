//! Device memory that is allocated once for many buffers.

use super::buffers::align;
use super::device::{Device, DeviceError, DeviceMemory};

/// Memory that grows when a plan needs more, and stays.
pub(super) struct Arena {
    device: Device,
    /// One allocation a buffer, so that sanitizers see where each ends.
    separate: bool,
    memory: Vec<DeviceMemory>,
}

impl Arena {
    pub fn new(device: Device, separate: bool) -> Self {
        Arena { device, separate, memory: Vec::new() }
    }

    /// Gives memory for buffers of these sizes, in place of what was given before. Nothing on the device uses that any
    /// more.
    pub fn reserve(&mut self, sizes: &[usize]) -> Result<Vec<u64>, DeviceError> {
        if self.separate {
            self.memory.clear();
            for &bytes in sizes {
                self.memory.push(self.device.allocate(bytes)?);
            }
            return Ok(self.memory.iter().map(DeviceMemory::address).collect());
        }
        let needed = sizes.iter().fold(0usize, |sum, &bytes| sum.saturating_add(align(bytes)));
        if self.bytes() < needed {
            // Both at a time might not fit.
            self.memory.clear();
            self.memory.push(self.device.allocate(needed)?);
        }
        let mut next = self.memory.first().map_or(0, DeviceMemory::address);
        let place = |&bytes: &usize| {
            let address = next;
            next += align(bytes) as u64;
            address
        };
        Ok(sizes.iter().map(place).collect())
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.memory.iter().map(DeviceMemory::bytes).sum()
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.memory.clear();
    }
}
