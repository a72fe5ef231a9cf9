//! From outcomes to status codes and messages.

use std::ffi::c_char;

/// Why this thread's last call of a function that returns a `vggx_status` failed: what, where and what to do, in one line of
/// UTF-8. Empty when it did not fail. Never null. Valid until this thread's next such call.
///
/// After `VGGX_ERROR_IMAGE` it is the reason of the first image that failed. Jobs: `vggx_job_poll` and `vggx_job_wait` bring
/// the job's message to the thread that calls them.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_last_error() -> *const c_char {
    c"".as_ptr()
}
