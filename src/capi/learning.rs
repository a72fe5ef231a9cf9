//! A learner on a thread of its own: it borrows the device that it runs on, and a handle can live longer than any borrow.

use super::core::Core;
use super::error::catch;
use super::failure::Failure;
use super::gather::Gathered;
use super::status::VGGX_ERROR_INTERNAL;
use crate::backend::{BackendError, Learner, Moments};
use crate::patterns::MomentRecord;
use crate::quiet_panic;
use crc32fast::Hasher;
use serde_json::{Map, json};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Something to do with the sums.
type Errand = Box<dyn FnOnce(&mut Sums) + Send>;

/// A learner that does errands, one after another.
pub struct Learning {
    core: Arc<Core>,
    /// There until the thread is told to end.
    errands: Mutex<Option<Sender<Errand>>>,
    thread: Option<JoinHandle<()>>,
}

/// What is added up.
pub struct Sums<'a> {
    core: &'a Core,
    learner: Box<dyn Learner + 'a>,
    /// Images that were added.
    images: u64,
    /// Of all pixels: tells these images from others.
    pixels: Hasher,
    /// Why the sums are of no more use.
    spoilt: Option<Failure>,
}

impl Learning {
    /// Begins with no images.
    pub fn begin(core: &Arc<Core>, second: bool) -> Result<Self, Failure> {
        let (errands, todo) = channel();
        let (begun, answer) = channel();
        let own = core.clone();
        let thread = thread::Builder::new()
            .name("vggx-learner".to_owned())
            .spawn(move || {
                quiet_panic::hush();
                run(&own, second, &begun, &todo);
            })
            .map_err(|error| {
                let reason = error.to_string();
                Failure::from(BackendError::Threads { threads: 1, reason })
            })?;
        let learning =
            Learning { core: core.clone(), errands: Mutex::new(Some(errands)), thread: Some(thread) };
        answer.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(learning)
    }

    /// The network.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Does something with the sums, after what others have asked for.
    pub fn ask<R: Send>(
        &self,
        errand: impl FnOnce(&mut Sums) -> Result<R, Failure> + Send,
    ) -> Result<R, Failure> {
        let (reply, answer) = channel();
        let errand: Box<dyn FnOnce(&mut Sums) + Send + '_> = Box::new(move |sums| {
            // Nobody who has asked goes away before the answer.
            let _ = reply.send(catch(|| sums.unless_spoilt(errand)));
        });
        // SAFETY: only the lifetime changes. What the errand borrows is there until it has run or was dropped: the sender
        // of the answer is in it, and this waits for the answer or for the sender to be dropped.
        let errand: Errand = unsafe { std::mem::transmute(errand) };
        if let Some(errands) = &*self.errands.lock().unwrap_or_else(PoisonError::into_inner) {
            // If the thread is gone, the errand is dropped, and there will be no answer.
            let _ = errands.send(errand);
        }
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Learning {
    fn drop(&mut self) {
        drop(self.errands.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            // Its panics were caught with the errands.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn run(core: &Core, second: bool, begun: &Sender<Result<(), Failure>>, todo: &Receiver<Errand>) {
    let begin = || {
        let moments = Moments::allocate(core.weights.network(), second)?;
        Ok(core.explainer.backend().learn(moments)?)
    };
    let learner = match catch(begin) {
        Ok(learner) => learner,
        Err(failure) => {
            // Whoever opens the learner waits for this.
            let _ = begun.send(Err(failure));
            return;
        }
    };
    let _ = begun.send(Ok(()));
    let mut sums = Sums { core, learner, images: 0, pixels: Hasher::new(), spoilt: None };
    for errand in todo {
        errand(&mut sums);
    }
}

const SPOILT: &str = "the sums may hold a part of a batch that failed; close the learner";

/// Whether a batch is refused for this before anything of it is added.
fn is_found_out_before(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::Network(_)
            | BackendError::BatchSize { .. }
            | BackendError::Callers(_)
            | BackendError::Memory { .. }
    )
}

fn gone() -> Failure {
    Failure::new(VGGX_ERROR_INTERNAL, "the thread of the learner has ended; please report it")
}

impl<'a> Sums<'a> {
    fn unless_spoilt<R>(
        &mut self,
        errand: impl FnOnce(&mut Sums<'a>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        match &self.spoilt {
            Some(failure) => Err(failure.clone()),
            None => errand(self),
        }
    }

    /// Adds images. Tells of each why it was left out, if it was.
    pub fn add(&mut self, images: &Gathered) -> Result<Vec<Option<BackendError>>, Failure> {
        let mut pixels = self.pixels.clone();
        images.with_bytes(self.core.explainer.backend(), |bytes| pixels.update(bytes))?;
        // Until it is known that they are not: a panic is an error, too.
        self.spoilt = Some(Failure::new(VGGX_ERROR_INTERNAL, SPOILT));
        match self.learner.add(&images.batch()) {
            Ok(failures) => {
                self.spoilt = None;
                self.images += failures.iter().filter(|failure| failure.is_none()).count() as u64;
                self.pixels = pixels;
                Ok(failures)
            }
            Err(error) => {
                let failure = Failure::from(error.clone());
                let message = format!("{SPOILT}: {}", failure.message);
                let spoilt = Failure { message, ..failure.clone() };
                self.spoilt = (!is_found_out_before(&error)).then_some(spoilt);
                Err(failure)
            }
        }
    }

    /// All sums so far, and what is known of them.
    pub fn moments(&mut self) -> Result<(&Moments, MomentRecord), Failure> {
        if self.images == 0 {
            return Err(Failure::argument("learner has no image yet; add some first"));
        }
        // Reads all weights, on all cores: the engine's threads, not the process's.
        let digest = self.core.threads.install(|| self.core.weights.digest());
        let preprocessing = self.core.weights.network().preprocessing.to_json();
        let mut run: Map<_, _> =
            preprocessing.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
        let more = [
            ("images", json!(self.images)),
            ("pixels", json!(format!("{:08x}", self.pixels.clone().finalize()))),
            ("weights", json!(digest)),
            ("device", json!(self.core.device)),
            ("precision", json!(self.core.precision)),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
        ];
        run.extend(more.map(|(key, value)| (key.to_owned(), value)));
        let record = MomentRecord { images: self.images, run, progress: None };
        Ok((self.learner.moments()?, record))
    }
}
