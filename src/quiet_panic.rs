//! Turns a panic into an error, without the panic message on standard error.
//!
//! Decoders parse hostile bytes; one bad file must neither end the run nor print a backtrace. Nor must a defect of the
//! library, when a program in C calls it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic inside comes back as its message.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    quieten_once();
    let outer = QUIET.replace(true);
    // Whatever `work` borrowed is dropped or owned by the caller, who only sees an error: nothing half-changed is used again.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.map_err(|payload| message(payload.as_ref()))
}

/// Whether panics of this thread say nothing now: it is inside [`catch`], or a thread that [`hush`] was called on.
pub fn is_quiet() -> bool {
    QUIET.get()
}

/// Panics of this thread say nothing from now on: whoever waits for what it does gets them.
pub fn hush() {
    QUIET.set(true);
}

/// Puts a filter before the process's panic hook: silent where [`is_quiet`], unchanged everywhere else.
fn quieten_once() {
    static INSTALLED: Once = Once::new();
    // The hook cannot be changed while this very thread unwinds; then the message is printed, no harm done.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            if !QUIET.get() {
                previous(information);
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| panic!("plain")), Err::<(), _>("plain".to_string()));
        let number = 3;
        assert_eq!(catch(|| panic!("with {number}")), Err::<(), _>("with 3".to_string()));
    }

    #[test]
    fn quiet_ends_with_the_call_also_when_nested() {
        let _ = catch(|| {
            let _ = catch(|| panic!("inner"));
            assert!(QUIET.get());
        });
        assert!(!QUIET.get());
    }
}
