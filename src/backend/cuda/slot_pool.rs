//! The slots of a backend, each lent to one batch at a time.

use super::slot::Slot;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Slots that are free; who needs one waits.
pub(super) struct SlotPool {
    free: Mutex<Vec<Slot>>,
    given_back: Condvar,
    count: usize,
}

impl SlotPool {
    pub fn new(slots: Vec<Slot>) -> Self {
        SlotPool { count: slots.len(), free: Mutex::new(slots), given_back: Condvar::new() }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot.
    pub fn take(&self) -> Lease<'_> {
        let mut free = self.free();
        loop {
            // The one given back last: its plan is the likeliest to fit.
            if let Some(slot) = free.pop() {
                return Lease { pool: self, slot: Some(slot) };
            }
            free = self.given_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives back the memory that free slots hold, and says whether that was any. When none was, waits until another batch is
    /// done, at most for `limit`.
    pub fn reclaim(&self, limit: Duration) -> bool {
        let release = |free: &mut Vec<Slot>| {
            let held = free.iter().any(|slot| slot.bytes() > 0);
            free.iter_mut().for_each(Slot::release);
            held
        };
        let mut free = self.free();
        if release(&mut free) {
            return true;
        }
        // One is the caller's.
        if free.len() + 1 >= self.count {
            return false;
        }
        let (mut free, _) = self.given_back.wait_timeout(free, limit).unwrap_or_else(PoisonError::into_inner);
        release(&mut free)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of device memory that free slots hold.
    pub fn bytes(&self) -> usize {
        self.free().iter().map(Slot::bytes).sum()
    }
}

/// A slot that goes back when dropped, also when a panic unwinds: who waits for it must not wait for ever.
pub(super) struct Lease<'a> {
    pool: &'a SlotPool,
    slot: Option<Slot>,
}

/// Only dropping takes it out.
const LENT: &str = "a slot is lent until its lease is dropped";

impl Deref for Lease<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        self.slot.as_ref().expect(LENT)
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Slot {
        self.slot.as_mut().expect(LENT)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.free().extend(self.slot.take());
        self.pool.given_back.notify_all();
    }
}
