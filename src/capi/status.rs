//! Status codes.

use std::ffi::c_char;

/// What became of a call: `VGGX_OK`, or why not. See `vggx_last_error` for the reason in words.
pub type vggx_status = i32;

/// Done.
pub const VGGX_OK: i32 = 0;
/// An argument is wrong: null, misaligned, too short, out of range, not a known name. Nothing was done.
pub const VGGX_ERROR_ARGUMENT: i32 = 1;
/// A file is missing, cannot be read or cannot be written.
pub const VGGX_ERROR_FILE: i32 = 2;
/// A file was read and is refused: damaged, not of this format, or of another network.
pub const VGGX_ERROR_FORMAT: i32 = 3;
/// This network, device or build cannot do it, for instance a method whose patterns are not there.
pub const VGGX_ERROR_UNSUPPORTED: i32 = 4;
/// The CUDA device cannot be used, or failed.
pub const VGGX_ERROR_DEVICE: i32 = 5;
/// There is not enough memory, on the host or on the device.
pub const VGGX_ERROR_MEMORY: i32 = 6;
/// Some images of the batch failed; the others are done. Each image's own status says which; the message is that of the
/// first.
pub const VGGX_ERROR_IMAGE: i32 = 7;
/// A defect of vggx: please report it with the message. Handles that took part should be closed.
pub const VGGX_ERROR_INTERNAL: i32 = 8;
/// No error: a job is not done yet.
pub const VGGX_PENDING: i32 = 9;
/// A job was cancelled before it began, or not started because its engine is being closed.
pub const VGGX_ERROR_CANCELLED: i32 = 10;

/// The name of a status, such as `"VGGX_ERROR_FILE"`; `"unknown status"` for other numbers. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_status_name(status: vggx_status) -> *const c_char {
    let name = match status {
        VGGX_OK => c"VGGX_OK",
        VGGX_ERROR_ARGUMENT => c"VGGX_ERROR_ARGUMENT",
        VGGX_ERROR_FILE => c"VGGX_ERROR_FILE",
        VGGX_ERROR_FORMAT => c"VGGX_ERROR_FORMAT",
        VGGX_ERROR_UNSUPPORTED => c"VGGX_ERROR_UNSUPPORTED",
        VGGX_ERROR_DEVICE => c"VGGX_ERROR_DEVICE",
        VGGX_ERROR_MEMORY => c"VGGX_ERROR_MEMORY",
        VGGX_ERROR_IMAGE => c"VGGX_ERROR_IMAGE",
        VGGX_ERROR_INTERNAL => c"VGGX_ERROR_INTERNAL",
        VGGX_PENDING => c"VGGX_PENDING",
        VGGX_ERROR_CANCELLED => c"VGGX_ERROR_CANCELLED",
        _ => c"unknown status",
    };
    name.as_ptr()
}
