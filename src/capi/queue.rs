//! The jobs of an engine, and the threads that run them.

use super::core::Core;
use super::error::{catch, say};
use super::failure::Failure;
use super::job::{vggx_job, vggx_job_callback};
use super::status::{VGGX_ERROR_CANCELLED, VGGX_ERROR_MEMORY, VGGX_OK, VGGX_PENDING, vggx_status};
use super::task::Task;
use crate::quiet_panic;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

thread_local! {
    /// The queue whose thread this is.
    static QUEUE: Cell<*const Queue> = const { Cell::new(ptr::null()) };
    /// The job whose callback runs on this thread.
    static CALLED: Cell<*const Job> = const { Cell::new(ptr::null()) };
}

/// Whom to tell that a job has ended.
#[derive(Clone, Copy)]
pub struct Callback {
    pub function: vggx_job_callback,
    pub user: *mut c_void,
    pub handle: *mut vggx_job,
}

// SAFETY: the pointers are the caller's, who is told that the function is called from any thread; nothing here follows them.
unsafe impl Send for Callback {}

/// A call of `vggx_explain` that somebody asked for.
pub struct Job {
    state: Mutex<State>,
    /// Signalled when it has ended, and when its callback has returned.
    changed: Condvar,
    /// The queue that it was added to; compared, never followed.
    queue: AtomicPtr<Queue>,
}

struct State {
    progress: Progress,
    callback: Option<Callback>,
    /// Whether the callback has returned.
    told: bool,
}

enum Progress {
    Waiting(Box<Task>),
    Running,
    Ended(Result<vggx_status, Failure>),
}

impl Job {
    pub fn new(task: Task) -> Self {
        let state = State { progress: Progress::Waiting(Box::new(task)), callback: None, told: false };
        Job { state: Mutex::new(state), changed: Condvar::new(), queue: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Names whom to tell when it has ended; before it is added to a queue.
    pub fn tell(&self, callback: Callback) {
        self.state().callback = Some(callback);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of it; pending while it has not ended.
    pub fn outcome(&self) -> Result<vggx_status, Failure> {
        match &self.state().progress {
            Progress::Ended(outcome) => outcome.clone(),
            _ => Ok(VGGX_PENDING),
        }
    }

    /// Whether this thread is one of those that run the jobs of its queue.
    fn is_own_thread(&self) -> bool {
        let queue = QUEUE.get();
        !queue.is_null() && queue == self.queue.load(Ordering::Relaxed).cast_const()
    }

    /// Waits until it has ended, at most so long.
    pub fn wait(&self, limit: Option<Duration>) -> Result<vggx_status, Failure> {
        let running = |state: &mut State| !matches!(state.progress, Progress::Ended(_));
        let mut state = self.state();
        match limit {
            None if running(&mut state) && self.is_own_thread() => return Err(waits_for_itself()),
            None => drop(self.changed.wait_while(state, running)),
            Some(limit) => drop(self.changed.wait_timeout_while(state, limit, running)),
        }
        self.outcome()
    }

    /// Ends it if it has not begun.
    pub fn cancel(&self) {
        let mut state = self.state();
        if matches!(state.progress, Progress::Waiting(_)) {
            let failure = Failure::new(VGGX_ERROR_CANCELLED, "the job was cancelled before it began");
            state.progress = Progress::Ended(Err(failure));
            // Without anybody to tell, nothing is left to be done.
            state.told = !matches!(state.callback, Some(Callback { function: Some(_), .. }));
            self.changed.notify_all();
        }
    }

    /// Waits until nothing of it is left to be done. In its own callback that is so.
    pub fn finish(&self) -> Result<vggx_status, Failure> {
        if CALLED.get() == ptr::from_ref(self) {
            return Ok(VGGX_OK);
        }
        let state = self.state();
        if !state.told && self.is_own_thread() {
            return Err(waits_for_itself());
        }
        drop(self.changed.wait_while(state, |state| !state.told));
        Ok(VGGX_OK)
    }

    /// Runs it, unless it was cancelled, and tells.
    fn run(&self, core: &Core) {
        let mut state = self.state();
        if let Progress::Waiting(_) = &state.progress
            && let Progress::Waiting(task) = std::mem::replace(&mut state.progress, Progress::Running)
        {
            drop(state);
            // SAFETY: whoever started the job keeps pixels and buffers until it has ended.
            let outcome = catch(|| unsafe { task.run(core) });
            state = self.state();
            state.progress = Progress::Ended(outcome);
            self.changed.notify_all();
        }
        let callback = state.callback;
        drop(state);
        if let Some(Callback { function: Some(function), user, handle }) = callback {
            let (status, message) = match self.outcome() {
                Ok(status) => (status, String::new()),
                Err(failure) => (failure.status, failure.message),
            };
            say(&message);
            CALLED.set(self);
            // SAFETY: the caller gave a function that may be called so.
            unsafe { function(user, handle, status) };
            CALLED.set(ptr::null());
        }
        self.state().told = true;
        self.changed.notify_all();
    }
}

fn waits_for_itself() -> Failure {
    Failure::argument(
        "job is one that may only end when this callback has returned, so it cannot be waited for here; do it elsewhere",
    )
}

/// Jobs that have not begun, and the threads that run them in their order.
pub struct Jobs {
    queue: Arc<Queue>,
    core: Arc<Core>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

struct Queue {
    state: Mutex<QueueState>,
    /// Signalled when there is a job, or the end.
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Arc<Job>>,
    /// Threads that wait for a job.
    idle: usize,
    /// No more jobs will come.
    closed: bool,
}

impl Jobs {
    /// No jobs and no threads yet.
    pub fn new(core: Arc<Core>) -> Self {
        let queue = Queue { state: Mutex::default(), changed: Condvar::new() };
        Jobs { queue: Arc::new(queue), core, workers: Mutex::default() }
    }

    /// Whether this thread is one of those that run the jobs.
    pub fn is_own_thread(&self) -> bool {
        QUEUE.get() == Arc::as_ptr(&self.queue)
    }

    /// Adds a job, and a thread if all have something to do and there may be more.
    pub fn add(&self, job: Arc<Job>) -> Result<(), Failure> {
        job.queue.store(Arc::as_ptr(&self.queue).cast_mut(), Ordering::Relaxed);
        let mut workers = self.workers();
        let mut state = self.queue.state();
        if state.closed {
            let message = "engine is being closed; start the job on another one";
            return Err(Failure::new(VGGX_ERROR_CANCELLED, message));
        }
        let most = self.core.explainer.backend().concurrent_batches().max(1);
        if state.idle <= state.waiting.len() && workers.len() < most {
            match self.start(workers.len()) {
                Ok(worker) => workers.push(worker),
                // Those that are there will come to it.
                Err(_) if !workers.is_empty() => {}
                Err(error) => {
                    let message = format!("cannot start a thread for the job: {error}; end some others");
                    return Err(Failure::new(VGGX_ERROR_MEMORY, message));
                }
            }
        }
        state.waiting.push_back(job);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }

    fn start(&self, number: usize) -> std::io::Result<JoinHandle<()>> {
        let (queue, core) = (self.queue.clone(), self.core.clone());
        thread::Builder::new().name(format!("vggx-job-{number}")).spawn(move || {
            quiet_panic::hush();
            QUEUE.set(Arc::as_ptr(&queue));
            while let Some(job) = queue.next() {
                job.run(&core);
            }
        })
    }

    fn workers(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        // Nothing panics under the lock.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all jobs have ended and their callbacks have returned, and ends the threads. More jobs are refused.
    pub fn finish(&self) {
        self.queue.state().closed = true;
        self.queue.changed.notify_all();
        // Not under the lock, which callbacks take that try to start a job.
        let workers = std::mem::take(&mut *self.workers());
        for worker in workers {
            // Its panics were caught with its jobs.
            let _ = worker.join();
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job that is next, when there is one; none when there will be no more.
    fn next(&self) -> Option<Arc<Job>> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}
