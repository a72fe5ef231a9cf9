//! Loading ahead of the consumer, on threads, in order.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::{ImageError, ImageProblem, InputImage, LoadOptions, Rgb8, Sample, load};
use crate::quiet_panic;

/// Loads images on `threads` worker threads and yields them in the order of `inputs`, whatever the threads do.
///
/// At most `lookahead` images are loaded or being loaded before the consumer takes the next, so memory stays flat: that
/// many cropped images, and one decoded image a thread. Dropping the iterator stops and joins the threads. 0 counts as 1.
pub fn prefetch(
    inputs: Vec<InputImage>,
    options: LoadOptions,
    threads: usize,
    lookahead: usize,
) -> Prefetch<Rgb8> {
    Prefetch::new(inputs, threads, lookahead, move |input: &mut InputImage| load::load(&input.path, &options))
}

/// Something that is loaded, and that an error can be told of.
pub trait Named {
    /// Where it is.
    fn path(&self) -> &Path;
}

impl Named for InputImage {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Named for Sample {
    fn path(&self) -> &Path {
        &self.image.path
    }
}

/// An iterator over inputs and what was made of each, see [`prefetch`].
pub struct Prefetch<Item, Input = InputImage> {
    shared: Arc<Shared<Item, Input>>,
    workers: Vec<JoinHandle<()>>,
}

type Work<Item, Input> = dyn Fn(&mut Input) -> Result<Item, ImageError> + Send + Sync;
type Finished<Item, Input> = (Input, Result<Item, ImageError>);

struct Shared<Item, Input> {
    /// Held by the worker that fetches the next input, so that inputs are numbered in their order, and reading one holds up
    /// nobody who takes a finished one.
    inputs: Mutex<Box<dyn Iterator<Item = Input> + Send>>,
    state: Mutex<State<Item, Input>>,
    /// Signalled when a worker may have something to start, or to stop.
    room: Condvar,
    /// Signalled when a worker has finished something, or found that there is no more.
    finished: Condvar,
    lookahead: usize,
    work: Box<Work<Item, Input>>,
}

struct State<Item, Input> {
    /// One slot for each image started and not yet taken, in input order; empty while it is being loaded.
    slots: VecDeque<Option<Finished<Item, Input>>>,
    /// Number of images taken from the front of `slots` so far.
    taken: usize,
    /// There are no more inputs.
    ended: bool,
    stopped: bool,
}

/// How many images wait for the consumer, seen from elsewhere.
#[derive(Clone)]
pub struct Fill(Arc<dyn Fn() -> (usize, usize) + Send + Sync>);

impl Fill {
    /// Images that are loaded and wait, and how many may.
    pub fn now(&self) -> (usize, usize) {
        (self.0)()
    }
}

impl<Item: Send + 'static, Input: Named + Send + 'static> Prefetch<Item, Input> {
    /// Runs any `work` on the inputs as [`prefetch`] runs [`load`](super::load()); a panic in it becomes that image's error.
    ///
    /// Inputs are begun in their order, and fetched when they are.
    pub fn new(
        inputs: impl IntoIterator<Item = Input, IntoIter: Send + 'static>,
        threads: usize,
        lookahead: usize,
        work: impl Fn(&mut Input) -> Result<Item, ImageError> + Send + Sync + 'static,
    ) -> Self {
        let inputs = inputs.into_iter();
        let most = inputs.size_hint().1.unwrap_or(usize::MAX);
        let threads = threads.clamp(1, most.max(1));
        let shared = Arc::new(Shared {
            inputs: Mutex::new(Box::new(inputs)),
            state: Mutex::new(State { slots: VecDeque::new(), taken: 0, ended: false, stopped: false }),
            room: Condvar::new(),
            finished: Condvar::new(),
            lookahead: lookahead.max(1),
            work: Box::new(work),
        });
        let workers = (0..threads)
            .filter_map(|number| {
                let shared = Arc::clone(&shared);
                // A refused thread is one helper fewer; without any, the consumer loads by itself.
                let run = move || while shared.step() {};
                thread::Builder::new().name(format!("image {number}")).spawn(run).ok()
            })
            .collect();
        Self { shared, workers }
    }

    /// How many images wait for the consumer.
    pub fn fill(&self) -> Fill {
        let shared = Arc::clone(&self.shared);
        Fill(Arc::new(move || {
            let waiting = shared.lock().slots.iter().filter(|slot| slot.is_some()).count();
            (waiting, shared.lookahead)
        }))
    }
}

impl<Item, Input> Shared<Item, Input> {
    fn lock(&self) -> MutexGuard<'_, State<Item, Input>> {
        // No code that could panic runs under the lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Item, Input: Named> Shared<Item, Input> {
    /// Loads the next input when there is room; false when there is none, or none is wanted.
    fn step(&self) -> bool {
        let Some((number, mut input)) = self.begin() else { return false };
        let result = self.attempt(&mut input);
        let mut state = self.lock();
        let position = number - state.taken;
        if let Some(slot) = state.slots.get_mut(position) {
            *slot = Some((input, result));
        }
        drop(state);
        self.finished.notify_one();
        true
    }

    /// Waits until there is room and fetches the next input, with its number.
    fn begin(&self) -> Option<(usize, Input)> {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while !state.stopped && state.slots.len() >= self.lookahead {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped || state.ended {
            return None;
        }
        drop(state);
        // An iterator that panics has no more inputs; none of this crate's does.
        let input = quiet_panic::catch(|| inputs.next()).unwrap_or(None);
        let mut state = self.lock();
        let Some(input) = input else {
            state.ended = true;
            drop(state);
            self.finished.notify_one();
            return None;
        };
        state.slots.push_back(None);
        Some((state.taken + state.slots.len() - 1, input))
    }

    fn attempt(&self, input: &mut Input) -> Result<Item, ImageError> {
        quiet_panic::catch(|| (self.work)(input)).unwrap_or_else(|reason| {
            Err(ImageError::new(input.path(), ImageProblem::DecoderFailed { reason }))
        })
    }
}

impl<Item, Input: Named> Iterator for Prefetch<Item, Input> {
    type Item = (Input, Result<Item, ImageError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.workers.is_empty() {
            self.shared.step();
        }
        let mut state = self.shared.lock();
        loop {
            if let Some(finished) = state.slots.front_mut().and_then(Option::take) {
                state.slots.pop_front();
                state.taken += 1;
                drop(state);
                self.shared.room.notify_one();
                return Some(finished);
            }
            if state.slots.is_empty() && state.ended {
                return None;
            }
            state = self.shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<Item, Input> Drop for Prefetch<Item, Input> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A worker cannot panic outside its guarded work; there is nothing to report.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn inputs(count: usize) -> Vec<InputImage> {
        (0..count)
            .map(|number| InputImage {
                path: PathBuf::from(format!("{number}.png")),
                name: PathBuf::from(format!("{number}.png")),
                target: None,
            })
            .collect()
    }

    fn number(input: &InputImage) -> usize {
        let stem = input.path.file_stem().unwrap().to_str().unwrap();
        stem.parse().unwrap()
    }

    #[test]
    fn order_is_kept_whatever_the_threads() {
        for threads in [0, 1, 2, 7, 100] {
            for lookahead in [0, 1, 3, 64] {
                let results: Vec<usize> = Prefetch::new(inputs(40), threads, lookahead, |input| {
                    // Later images of each group of five finish first.
                    thread::sleep(Duration::from_micros(200 * (5 - number(input) as u64 % 5)));
                    Ok(number(input))
                })
                .map(|(input, result)| {
                    assert_eq!(result.as_ref().ok(), Some(&number(&input)));
                    result.unwrap()
                })
                .collect();
                assert_eq!(results, (0..40).collect::<Vec<_>>());
            }
        }
        assert_eq!(Prefetch::new(inputs(0), 4, 4, |_| Ok(())).count(), 0);
    }

    #[test]
    fn never_more_than_the_lookahead_is_started() {
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let mut images = Prefetch::new(inputs(100), 4, 6, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        for taken in 1..=30 {
            images.next();
            thread::sleep(Duration::from_millis(2));
            assert!(started.load(Ordering::SeqCst) <= taken + 6);
        }
        // With time to fill up, the look-ahead is used in full.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(images.fill().now(), (6, 6));
        assert_eq!(started.load(Ordering::SeqCst), 36);
    }

    #[test]
    fn dropping_early_joins_the_threads() {
        let alive = Arc::new(());
        let witness = Arc::clone(&alive);
        let mut images = Prefetch::new(inputs(1000), 3, 4, move |_| {
            let _ = &witness;
            Ok(())
        });
        images.next();
        drop(images);
        // Only the last thread to end drops the work and what it holds.
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn a_panic_is_that_images_error() {
        let results: Vec<_> = Prefetch::new(inputs(5), 2, 2, |input| {
            assert!(number(input) != 3, "three");
            Ok(())
        })
        .collect();
        assert_eq!(results.len(), 5);
        for (input, result) in results {
            match result {
                Ok(()) => assert_ne!(number(&input), 3),
                Err(error) => {
                    assert_eq!(number(&input), 3);
                    assert_eq!(error.path, input.path);
                    assert!(error.to_string().contains("three"), "{error}");
                }
            }
        }
    }
}
