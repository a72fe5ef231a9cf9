//! Whether an address is of as much of the device's memory as it is said to be. A kernel that found out by itself would break the
//! context that it shares with its caller.

use super::error::CallersError;
use crate::backend::BackendError;
use crate::backend::cuda::device::{Device, Place};

/// Memory that an image lies in, or goes to.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    /// What it is, for messages.
    pub what: &'static str,
    /// Bytes from the address on.
    pub bytes: u64,
    /// Bytes of a number.
    pub alignment: usize,
}

/// Refuses addresses, one an image, that are not of such memory of the device. Its first and its last byte are looked at: an
/// allocation that is too short is mostly found, but not where another one begins right behind it.
pub(super) fn check(
    device: &Device,
    addresses: &[u64],
    images: usize,
    extent: Extent,
) -> Result<(), BackendError> {
    let Extent { what, bytes, alignment } = extent;
    if addresses.len() != images {
        return Err(CallersError::Count { what, got: addresses.len(), images }.into());
    }
    for (image, &address) in addresses.iter().enumerate() {
        if address == 0 {
            return Err(CallersError::Null { what, image }.into());
        }
        if !address.is_multiple_of(alignment as u64) {
            return Err(CallersError::Misaligned { what, image, address, alignment }.into());
        }
        let refused = |place| CallersError::Place { what, image, address, bytes, place };
        let Some(last) = address.checked_add(bytes.saturating_sub(1)) else {
            return Err(refused("within any address space").into());
        };
        for byte in [address, last] {
            let place = match device.place(byte)? {
                Place::Device => continue,
                Place::OtherDevice => "memory of the CUDA device that the network was opened on",
                Place::OtherContext => "memory of the CUDA context that the network was opened in",
                Place::Elsewhere if byte == address => "memory of a CUDA device",
                Place::Elsewhere => "all memory of a CUDA device",
            };
            return Err(refused(place).into());
        }
    }
    Ok(())
}
