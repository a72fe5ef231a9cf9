//! A call's outcome: a status code, and a message for the thread that made it.

use super::failure::Failure;
use super::status::{VGGX_ERROR_INTERNAL, vggx_status};
use crate::quiet_panic;
use std::cell::RefCell;
use std::ffi::{CString, c_char};

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// Why this thread's last call of a function that returns a `vggx_status` failed: what, where and what to do, in one line of
/// UTF-8. Empty when it did not fail. Never null. Valid until this thread's next such call.
///
/// After `VGGX_ERROR_IMAGE` it is the reason of the first image that failed. Jobs: `vggx_job_poll` and `vggx_job_wait` bring
/// the job's message to the thread that calls them.
#[unsafe(no_mangle)]
pub extern "C" fn vggx_last_error() -> *const c_char {
    // A thread that ends has none any more.
    MESSAGE.try_with(|message| message.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs a call: its outcome becomes the status, and the reason this thread's message. A panic is an internal error, and says
/// nothing on standard error.
pub fn call(work: impl FnOnce() -> Result<vggx_status, Failure>) -> vggx_status {
    let outcome = catch(work);
    let (status, message) = match outcome {
        Ok(status) => (status, String::new()),
        Err(Failure { status, message }) => (status, message),
    };
    say(&message);
    status
}

/// Makes an error of a panic.
pub fn catch<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    quiet_panic::catch(work).unwrap_or_else(|reason| {
        let message = format!("a defect of vggx, please report it: {reason}");
        Err(Failure::new(VGGX_ERROR_INTERNAL, message))
    })
}

/// Makes a text this thread's message.
pub fn say(message: &str) {
    let text = CString::new(in_terms_of_fields(message)).unwrap_or_default();
    // A thread that ends hears nothing more.
    let _ = MESSAGE.try_with(|slot| slot.replace(text));
}

/// The library names options as the command line has them, and the structs' fields have the same names: `--pixel-scale` is
/// `pixel_scale`. One line, without zero bytes.
fn in_terms_of_fields(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(place) = rest.find("--") {
        let (before, option) = rest.split_at(place);
        text.push_str(before);
        let name = &option[2..];
        let starts = text.is_empty() || text.ends_with([' ', '(', '\'']);
        let length = name.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(name.len());
        if starts && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            text.push_str(&name[..length].replace('-', "_"));
            rest = &name[length..];
        } else {
            text.push_str("--");
            rest = name;
        }
    }
    text.push_str(rest);
    text.replace(['\n', '\0'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::status::{VGGX_ERROR_ARGUMENT, VGGX_OK};
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: the message of this thread, which makes no other call.
        unsafe { CStr::from_ptr(vggx_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn outcomes_and_panics_become_statuses_and_messages() {
        assert_eq!(call(|| Err(Failure::argument("no\0 good"))), VGGX_ERROR_ARGUMENT);
        assert_eq!(last(), "no  good");
        assert_eq!(call(|| Ok(VGGX_OK)), VGGX_OK);
        assert_eq!(last(), "");
        assert_eq!(call(|| panic!("oh {}", 1)), VGGX_ERROR_INTERNAL);
        assert!(last().contains("oh 1") && last().contains("report"), "{}", last());
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }

    #[test]
    fn options_are_named_as_fields() {
        for (command_line, field) in [
            ("use a smaller --crop or --batch", "use a smaller crop or batch"),
            ("(--channel-order, --pixel-scale)", "(channel_order, pixel_scale)"),
            ("--device cuda:0: no", "device cuda:0: no"),
            ("a -- b --, 1--2, --", "a -- b --, 1--2, --"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(in_terms_of_fields(command_line), field);
        }
    }
}
