//! What callers own that hold their images on the device already, or want explanations to stay there: memory, on a stream, in a
//! context.
//!
//! | file | is about |
//! |---|---|
//! | `pixels` | images that are read where they lie |
//! | `destination` | memory that explanations are written to |
//! | `copies` | copies of both from and to the host |
//! | `address` | whether an address is what it is said to be |
//! | `error` | what can be wrong with all of them |
//!
//! Work begins when what the caller's stream held at the call is done. Calls return when all of theirs is done, so whatever the caller
//! does next, on any stream, comes after it.

mod address;
mod copies;
mod destination;
mod error;
mod pixels;

pub(super) use copies::{fetch, store};
pub use destination::{DeviceDestination, Stored};
pub use error::CallersError;
pub use pixels::{DevicePixels, PixelFormat};

use super::device::{CallersStream, Device, StreamState};
use crate::backend::BackendError;

/// Refuses a stream that our work cannot wait for.
pub(super) fn check_stream(device: &Device, stream: CallersStream) -> Result<(), BackendError> {
    match device.stream_state(stream)? {
        StreamState::Usable => Ok(()),
        StreamState::Foreign => Err(CallersError::ForeignStream.into()),
        StreamState::Captured => Err(CallersError::CapturedStream.into()),
    }
}
