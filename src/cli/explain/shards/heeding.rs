//! Waiting for a list that may be silent for long, without being deaf to signals.

use crate::cli::interrupt::Interrupt;
use crate::images::{FindError, Found};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// What is read ahead.
const AHEAD: usize = 1024;

/// How long a signal may wait.
const MOMENT: Duration = Duration::from_millis(100);

/// The same items, found on a thread of its own; none after the run was asked to stop.
pub fn heeding(
    found: impl Iterator<Item = Result<Found, FindError>> + Send + 'static,
    interrupt: Interrupt,
) -> impl Iterator<Item = Result<Found, FindError>> + Send {
    let (sender, receiver) = sync_channel(AHEAD);
    let find = move || {
        for found in found {
            if sender.send(found).is_err() {
                return;
            }
        }
    };
    // Where there is no thread the sender is dropped, and a list that cannot be read has no images.
    let _ = thread::Builder::new().name("find".to_owned()).spawn(find);
    std::iter::from_fn(move || {
        loop {
            match receiver.recv_timeout(MOMENT) {
                Ok(found) => return Some(found),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if interrupt.requested() => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    })
}
