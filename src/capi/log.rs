//! What is worth knowing and is no error.

use std::ffi::{c_char, c_void};

/// Something that was decided and that one may want to know, such as which device computes.
pub const VGGX_LOG_NOTICE: i32 = 0;
/// Something that may not be as wished, such as moment files whose images overlap.
pub const VGGX_LOG_WARNING: i32 = 1;

/// Is told what is worth knowing and is no error: `level` is `VGGX_LOG_NOTICE` or `VGGX_LOG_WARNING`, `message` one line of
/// UTF-8 that is valid during the call, `user` what came with the function.
///
/// It runs on the thread of the call that the message is about, or on one of the engine's own, and perhaps on several at a
/// time. It must return normally (no exception, no longjmp) and must not close the engine.
pub type vggx_log_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, level: i32, message: *const c_char)>;
