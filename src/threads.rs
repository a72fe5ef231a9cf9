//! A pool of threads that is gone when it is dropped.

use crate::{parallel, quiet_panic};
use std::ops::Deref;
use std::thread::{self, JoinHandle};

/// Threads for parallel loops.
///
/// They are as quiet about panics as the thread that makes the pool; panics come back to whoever waits for the loop. Dropping
/// the pool waits until its threads have ended: rayon's own pools let them go, and a program that counts its threads or
/// looks for leaks would still see some.
pub struct Threads {
    /// There until the threads are told to end.
    pool: Option<rayon::ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts `count` threads (0: one a core), called `name` and a number.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(count: usize, name: &'static str) -> Result<Self, rayon::ThreadPoolBuildError> {
        let quiet = quiet_panic::is_quiet();
        let mut handles = Vec::new();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .spawn_handler(|thread| {
                let run = move || {
                    if quiet {
                        quiet_panic::hush();
                    }
                    thread.run();
                };
                let named = thread::Builder::new().name(format!("{name}-{}", handles.len()));
                handles.push(named.spawn(run)?);
                Ok(())
            })
            .build();
        match pool {
            Ok(pool) => Ok(Threads { pool: Some(pool), handles }),
            Err(error) => {
                // Those that were started have been told to end.
                join(handles);
                Err(error)
            }
        }
    }

    /// Runs `work` on one of the threads, and its parallel loops on all of them.
    ///
    /// # Panics
    /// When `work` panics.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        parallel::install(self, work)
    }
}

impl Deref for Threads {
    type Target = rayon::ThreadPool;

    fn deref(&self) -> &rayon::ThreadPool {
        match &self.pool {
            Some(pool) => pool,
            None => unreachable!("the pool is taken in drop alone"),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        drop(self.pool.take());
        join(std::mem::take(&mut self.handles));
    }
}

/// Waits for threads to end, but for the one that this runs on, if it is one of them.
fn join(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        if handle.thread().id() != thread::current().id() {
            // A panic of a pool's thread ends the process before it could arrive here.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_thread_outlives_the_pool() {
        struct Alive(Arc<AtomicUsize>);
        impl Drop for Alive {
            fn drop(&mut self) {
                thread::sleep(std::time::Duration::from_millis(20));
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        thread_local!(static ALIVE: std::cell::RefCell<Option<Alive>> = const { std::cell::RefCell::new(None) });
        let alive = Arc::new(AtomicUsize::new(0));
        let threads = Threads::new(3, "test").unwrap();
        threads.broadcast(|_| {
            alive.fetch_add(1, Ordering::SeqCst);
            ALIVE.set(Some(Alive(alive.clone())));
        });
        assert_eq!(alive.load(Ordering::SeqCst), 3);
        drop(threads);
        // Thread-local values are dropped last of all.
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn threads_are_as_quiet_as_their_maker() {
        let quiet = |threads: &Threads| threads.broadcast(|_| quiet_panic::is_quiet());
        assert_eq!(quiet(&Threads::new(2, "test").unwrap()), [false, false]);
        let made = quiet_panic::catch(|| Threads::new(2, "test").unwrap()).unwrap();
        assert_eq!(quiet(&made), [true, true]);
    }
}
