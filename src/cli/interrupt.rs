//! Stopping when asked to: by Ctrl-C, by a batch system that warns before it kills, by a terminal that is closed.

use std::ffi::c_int;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::{consts, flag};

/// Exit code of a process that was asked twice to stop: 128 + SIGINT, as shells have it.
const STOPPED: c_int = 130;

/// What asks a process to stop.
const SIGNALS: &[c_int] = &[
    consts::SIGINT,
    consts::SIGTERM,
    #[cfg(unix)]
    consts::SIGHUP,
];

/// Tells whether this process has been asked to stop.
#[derive(Clone, Debug)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on a first SIGINT, SIGTERM or SIGHUP only makes [`Interrupt::requested`] true, and the next one ends the
    /// process at once with exit code 130. A signal that the process was started to ignore, as `nohup` does with SIGHUP
    /// and shells with SIGINT in the background, stays ignored (on Linux, where the system tells).
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let ignored = ignored_signals();
        for &signal in SIGNALS {
            if ignored >> (signal - 1) & 1 == 1 {
                continue;
            }
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, STOPPED, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
        }
        Ok(Self { requested })
    }

    /// Whether a signal has arrived.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}

/// The signals this process ignores, bit n - 1 for signal n.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
