//! A function on several items at a time, results in the order of the items.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Calls `work` on the items, `workers` of them at a time, each on a thread of its own, and `take` on the calling thread
/// with what came of each, in the order of the items. `work` is told which worker it runs on, counted from 0.
///
/// While one result is being taken, `workers` items are worked on or wait to be taken, and no more: memory is bounded,
/// and a slow `take` holds the work up. With one worker the work on an item overlaps the taking of the one before. 0
/// workers count as 1; where the system gives no thread, all happens on the calling one.
///
/// A panic of `work` or of `items` comes out of this call, in its turn.
///
/// # Errors
/// The first error of `take`. No item is begun after it; what is being worked on is finished and dropped.
pub fn in_order<Item, Done: Send, Failure>(
    items: impl Iterator<Item = Item> + Send,
    workers: usize,
    work: impl Fn(usize, Item) -> Done + Sync,
    mut take: impl FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let workers = workers.max(1);
    let shared = Shared {
        items: Mutex::new(items),
        state: Mutex::new(State { slots: VecDeque::new(), taken: 0, ended: false, stopped: false }),
        room: Condvar::new(),
        finished: Condvar::new(),
        limit: workers,
    };
    thread::scope(|scope| {
        // Also when taking panics: the scope waits for the workers.
        let _stop = Stop(&shared);
        let helpers = (0..workers)
            .filter(|&number| {
                let (shared, work) = (&shared, &work);
                let worker = move || while shared.step(number, work) {};
                thread::Builder::new().name(format!("batch {number}")).spawn_scoped(scope, worker).is_ok()
            })
            .count();
        while let Some(done) = shared.next(|| helpers == 0 && shared.step(0, &work)) {
            take(done.unwrap_or_else(|panic| resume_unwind(panic)))?;
        }
        Ok(())
    })
}

struct Shared<Items, Done> {
    /// Held by the worker that fetches the next item, so that items are numbered in their order.
    items: Mutex<Items>,
    state: Mutex<State<Done>>,
    /// Signalled when a worker may have something to begin, or to stop.
    room: Condvar,
    /// Signalled when the taker may have something to take, or to stop.
    finished: Condvar,
    limit: usize,
}

struct State<Done> {
    /// One for each item that was begun and not yet taken, in order; empty while it is worked on.
    slots: VecDeque<Option<thread::Result<Done>>>,
    /// Number of results taken from the front of `slots` so far.
    taken: usize,
    /// There are no more items.
    ended: bool,
    /// Nobody wants more results.
    stopped: bool,
}

impl<Done> State<Done> {
    /// Whether the next result is there, or none will come.
    fn settled(&self) -> bool {
        match self.slots.front() {
            Some(first) => first.is_some(),
            None => self.ended,
        }
    }
}

impl<Items: Iterator, Done> Shared<Items, Done> {
    fn lock(&self) -> MutexGuard<'_, State<Done>> {
        // No code that could panic runs under this lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the next item; false when there is none, or none is wanted.
    fn step(&self, worker: usize, work: &impl Fn(usize, Items::Item) -> Done) -> bool {
        let Some((number, item)) = self.begin() else { return false };
        let done = item.and_then(|item| catch_unwind(AssertUnwindSafe(|| work(worker, item))));
        let mut state = self.lock();
        let position = number - state.taken;
        if let Some(slot) = state.slots.get_mut(position) {
            *slot = Some(done);
        }
        drop(state);
        self.finished.notify_one();
        true
    }

    /// Waits until there is room and fetches the next item, with its number.
    fn begin(&self) -> Option<(usize, thread::Result<Items::Item>)> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while !state.stopped && state.slots.len() >= self.limit {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped || state.ended {
            return None;
        }
        drop(state);
        let item = catch_unwind(AssertUnwindSafe(|| items.next())).transpose();
        let mut state = self.lock();
        state.ended = !matches!(item, Some(Ok(_)));
        let Some(item) = item else {
            drop(state);
            self.finished.notify_one();
            return None;
        };
        state.slots.push_back(None);
        Some((state.taken + state.slots.len() - 1, item))
    }

    /// Waits for the next result; none after the last one. `help` may work on an item meanwhile and says whether it did.
    fn next(&self, help: impl Fn() -> bool) -> Option<thread::Result<Done>> {
        while !self.lock().settled() && help() {}
        let waiting = |state: &mut State<Done>| !state.settled();
        let mut state =
            self.finished.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        // All was taken when nothing is in front.
        let done = state.slots.pop_front()??;
        state.taken += 1;
        drop(state);
        self.room.notify_one();
        Some(done)
    }
}

/// Ends the workers.
struct Stop<'a, Items, Done>(&'a Shared<Items, Done>);

impl<Items, Done> Drop for Stop<'_, Items, Done> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Runs 0..`count` through `work` and gives what was taken.
    fn taken<Done: Send>(count: usize, workers: usize, work: impl Fn(usize) -> Done + Sync) -> Vec<Done> {
        let mut taken = Vec::new();
        let result = in_order(
            0..count,
            workers,
            |_, item| work(item),
            |done| {
                taken.push(done);
                Ok::<(), ()>(())
            },
        );
        assert_eq!(result, Ok(()));
        taken
    }

    #[test]
    fn order_is_kept_whatever_the_workers() {
        for workers in [0, 1, 2, 3, 8, 60] {
            let slowest_first = |item: usize| {
                thread::sleep(Duration::from_micros(300 * (4 - item as u64 % 5)));
                item
            };
            assert_eq!(taken(43, workers, slowest_first), (0..43).collect::<Vec<_>>(), "{workers}");
            assert_eq!(taken(0, workers, |item| item), [0; 0]);
        }
    }

    #[test]
    fn so_many_are_worked_on_at_a_time_and_no_more_wait() {
        for workers in 1..5 {
            let (working, most, begun) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            let mut taken = 0;
            in_order(
                0..24,
                workers,
                |worker, _| {
                    assert!(worker < workers);
                    begun.fetch_add(1, Ordering::SeqCst);
                    let now = 1 + working.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(now, Ordering::SeqCst);
                    // On a busy machine the others come late.
                    for _ in 0..1000 {
                        thread::sleep(Duration::from_millis(5));
                        if most.load(Ordering::SeqCst) == workers {
                            break;
                        }
                    }
                    working.fetch_sub(1, Ordering::SeqCst);
                },
                |()| {
                    // With time to run ahead, the workers use it, up to the limit; on a busy machine they come late.
                    thread::sleep(Duration::from_millis(20));
                    taken += 1;
                    for _ in 0..1000 {
                        if taken > 1 || begun.load(Ordering::SeqCst) > 1 {
                            break;
                        }
                        thread::sleep(Duration::from_millis(5));
                    }
                    let begun = begun.load(Ordering::SeqCst);
                    assert!(begun <= taken + workers, "{begun} begun, {taken} taken, {workers} workers");
                    assert!(taken > 1 || begun > 1, "nothing is worked on while the first result is taken");
                    Ok::<(), ()>(())
                },
            )
            .unwrap();
            assert_eq!((taken, most.load(Ordering::SeqCst)), (24, workers));
        }
    }

    #[test]
    fn an_error_of_taking_ends_all() {
        for workers in [1, 3] {
            let (begun, seen) = (AtomicUsize::new(0), RefCell::new(Vec::new()));
            let result = in_order(
                0..1_000_000,
                workers,
                |_, item| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    item
                },
                |item| {
                    seen.borrow_mut().push(item);
                    if item == 5 { Err("five") } else { Ok(()) }
                },
            );
            assert_eq!(result, Err("five"));
            assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4, 5]);
            let begun = begun.load(Ordering::SeqCst);
            assert!((6..=6 + workers).contains(&begun), "{begun} begun with {workers} workers");
        }
    }

    #[test]
    fn panics_come_out_in_their_turn_and_end_all() {
        let cases: [(usize, usize); 4] = [(1, usize::MAX), (3, usize::MAX), (1, 7), (3, 7)];
        for (workers, broken_iterator) in cases {
            let seen = AtomicUsize::new(0);
            let items = (0..40).inspect(|&item| assert!(item != broken_iterator, "iterator"));
            let work = |_, item| {
                assert!(item != 9, "work");
                item
            };
            let all = || {
                in_order(items, workers, work, |_| {
                    seen.fetch_add(1, Ordering::SeqCst);
                    Ok::<(), ()>(())
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(all)).is_err());
            assert_eq!(seen.load(Ordering::SeqCst), broken_iterator.min(9));
        }
        let all = || {
            in_order(
                0..40,
                3,
                |_, item| item,
                |item| -> Result<(), ()> {
                    assert!(item != 4, "take");
                    Ok(())
                },
            )
        };
        assert!(catch_unwind(AssertUnwindSafe(all)).is_err());
    }
}
