//! What is worth knowing and is no error.

use std::ffi::{CString, c_char, c_void};

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

/// A caller's function with what belongs to it.
#[derive(Clone, Copy)]
pub struct Log {
    pub callback: vggx_log_callback,
    pub user: *mut c_void,
}

// SAFETY: the pointer is the caller's, who is told that the function is called from any thread; nothing here follows it.
unsafe impl Send for Log {}
// SAFETY: as above.
unsafe impl Sync for Log {}

impl Log {
    /// Tells something, if anybody wants to know.
    pub fn say(&self, level: i32, message: &str) {
        let Some(callback) = self.callback else { return };
        let text = CString::new(message.replace(['\n', '\0'], " ")).unwrap_or_default();
        // SAFETY: the caller gave a function that may be called so; the text lives as long as the call.
        unsafe { callback(self.user, level, text.as_ptr()) };
    }
}
