//! Loops on all threads of the pool that they are called on.
//!
//! Every type of closure that rayon's own iterators are given makes some 2000 lines of LLVM code, and they made a tenth of this
//! crate's. Here closures become trait objects first, so that rayon is compiled for one type only; what is left for each loop is small.

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a loop still has to do, or has done.
struct Task<Item, R> {
    item: Option<Item>,
    result: Option<R>,
}

/// Calls `work` with every item. Each should be worth a microsecond or more.
///
/// # Panics
/// When `work` panics.
pub fn each<Item: Send>(items: impl IntoIterator<Item = Item>, work: impl Fn(Item) + Sync) {
    let mut tasks = Vec::new();
    for item in items {
        tasks.push(Mutex::new(Some(item)));
    }
    each_index(tasks.len(), &|index| {
        if let Some(item) = lock(&tasks[index]).take() {
            work(item);
        }
    });
}

/// What `work` makes of every item, in their order. Each should be worth a microsecond or more.
///
/// # Panics
/// When `work` panics.
pub fn map<Item: Send, R: Send>(
    items: impl IntoIterator<Item = Item>,
    work: impl Fn(Item) -> R + Sync,
) -> Vec<R> {
    let mut tasks = Vec::new();
    for item in items {
        tasks.push(Mutex::new(Task { item: Some(item), result: None }));
    }
    each_index(tasks.len(), &|index| {
        let mut task = lock(&tasks[index]);
        task.result = task.item.take().map(&work);
    });
    let mut results = Vec::with_capacity(tasks.len());
    for task in &tasks {
        // All have one.
        if let Some(result) = lock(task).result.take() {
            results.push(result);
        }
    }
    results
}

/// As [`map`], with memory that one call after the other uses: as many are made as are used at once.
///
/// # Panics
/// When `work` panics.
pub fn map_with<Item: Send, Scratch: Send, R: Send>(
    items: impl IntoIterator<Item = Item>,
    scratch: impl Fn() -> Scratch + Sync,
    work: impl Fn(&mut Scratch, Item) -> R + Sync,
) -> Vec<R> {
    let free = Mutex::new(Vec::new());
    map(items, |item| {
        let left = lock(&free).pop();
        let mut own = left.unwrap_or_else(&scratch);
        let result = work(&mut own, item);
        lock(&free).push(own);
        result
    })
}

/// What `work` finds in the first item, in their order, in which it finds something. Later ones are hardly looked at.
///
/// # Panics
/// When `work` panics.
pub fn find_first<Item: Send, R: Send>(
    items: impl IntoIterator<Item = Item>,
    work: impl Fn(Item) -> Option<R> + Sync,
) -> Option<R> {
    let first = AtomicUsize::new(usize::MAX);
    let found = map(items.into_iter().enumerate(), |(place, item)| {
        if place > first.load(Ordering::Relaxed) {
            return None;
        }
        let found = work(item);
        if found.is_some() {
            first.fetch_min(place, Ordering::Relaxed);
        }
        found
    });
    found.into_iter().find(Option::is_some).flatten()
}

/// Runs `work` on a thread of the pool, whose threads its loops run on.
///
/// # Panics
/// When `work` panics.
pub fn install<R: Send>(pool: &rayon::ThreadPool, work: impl FnOnce() -> R + Send) -> R {
    let (mut work, mut result) = (Some(work), None);
    run_on(pool, &mut || result = work.take().map(|work| work()));
    match result {
        Some(result) => result,
        None => unreachable!("the pool runs what it is given"),
    }
}

/// Not generic: compiled once.
fn each_index(count: usize, work: &(dyn Fn(usize) + Sync)) {
    (0..count).into_par_iter().for_each(work);
}

/// Not generic: compiled once.
fn run_on(pool: &rayon::ThreadPool, work: &mut (dyn FnMut() + Send)) {
    pool.install(work);
}

/// For a moment, or for the one thread that works on a task: nobody waits for it. After a panic, which comes back to the caller
/// of the loop, none is locked again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet_panic;
    use crate::threads::Threads;
    use std::collections::HashSet;
    use std::sync::{Arc, Barrier};
    use std::thread;

    #[test]
    fn every_item_is_worked_on_once() {
        for length in [0, 1, 2, 7, 64, 1001] {
            for chunk in [1, 3, 64] {
                let mut values = vec![1; length];
                let more: Vec<usize> = (0..length).collect();
                each(
                    values.chunks_mut(chunk).zip(more.chunks(chunk)).enumerate(),
                    |(place, (values, more))| {
                        assert_eq!(values.len(), chunk.min(length - place * chunk));
                        values.iter_mut().zip(more).for_each(|(value, more)| *value += more);
                    },
                );
                assert!(
                    values.iter().enumerate().all(|(index, value)| *value == index + 1),
                    "{length}, {chunk}"
                );
            }
        }
    }

    #[test]
    fn results_are_in_order() {
        for length in [0, 1, 2, 7, 1001] {
            let words: Vec<String> = (0..length).map(|index| format!("{index}")).collect();
            let joined = map(words.clone(), |word| word + "!");
            assert_eq!(joined, words.iter().map(|word| format!("{word}!")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_comes_back() {
        let threads = Threads::new(4, "test").unwrap();
        let fail = |index: usize| if index % 300 == 299 { Err(index) } else { Ok(index) };
        for _ in 0..20 {
            let results = threads.install(|| map(0..1000, fail));
            assert_eq!(results.into_iter().collect::<Result<Vec<_>, _>>(), Err(299));
        }
    }

    #[test]
    fn what_is_found_is_the_first() {
        let threads = Threads::new(4, "test").unwrap();
        for _ in 0..20 {
            let found = |from: usize| {
                threads.install(|| {
                    find_first(0..1000, |index| (index >= from && index % 2 == 1).then_some(index * 10))
                })
            };
            assert_eq!(found(0), Some(10));
            assert_eq!(found(500), Some(5010));
            assert_eq!(found(999), Some(9990));
            assert_eq!(found(1000), None);
        }
        assert_eq!(find_first(0..0, Some), None);
    }

    #[test]
    fn scratch_memory_is_used_again() {
        let made = AtomicUsize::new(0);
        let threads = Threads::new(3, "test").unwrap();
        let make = || {
            made.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        };
        let work = |scratch: &mut Vec<usize>, index: usize| {
            scratch.clear();
            scratch.extend(0..index);
            scratch.iter().sum::<usize>()
        };
        let sums = threads.install(|| map_with(0..500, make, work));
        assert!(sums.iter().enumerate().all(|(index, &sum)| sum == index * index.saturating_sub(1) / 2));
        assert!((1..=3).contains(&made.into_inner()));
    }

    #[test]
    fn several_threads_work_at_once() {
        let threads = Threads::new(3, "test").unwrap();
        // Nobody gets past it alone.
        let barrier = Barrier::new(3);
        let meet = |_| {
            barrier.wait();
            thread::current().id()
        };
        let met: HashSet<_> = threads.install(|| map(0..3, meet)).into_iter().collect();
        assert!(met.len() == 3 && !met.contains(&thread::current().id()));
        threads.install(|| {
            each(0..3, |index| {
                meet(index);
            });
        });
    }

    #[test]
    fn loops_may_stand_in_loops() {
        let threads = Threads::new(2, "test").unwrap();
        let sums = threads.install(|| map(0..50, |row| map(0..50, |column| row * column)));
        for (row, values) in sums.iter().enumerate() {
            assert!(values.iter().enumerate().all(|(column, &value)| value == row * column));
        }
    }

    #[test]
    fn panics_come_back() {
        let threads = quiet_panic::catch(|| Threads::new(2, "test").unwrap()).unwrap();
        let refuse = |index: usize| assert!(index != 70, "no {index}");
        let on = |work: &(dyn Fn() + Sync)| quiet_panic::catch(|| threads.install(work)).unwrap_err();
        assert!(on(&|| each(0..100, refuse)).contains("no 70"));
        assert!(on(&|| drop(map(0..100, refuse))).contains("no 70"));
        assert!(on(&|| refuse(70)).contains("no 70"));
        // What was not worked on is dropped.
        let alive = Arc::new(());
        let items = vec![alive.clone(); 100];
        quiet_panic::catch(|| threads.install(|| each(items, |_| panic!("none")))).unwrap_err();
        assert_eq!(Arc::strong_count(&alive), 1);
        // The pool is as good as before.
        assert_eq!(threads.install(|| map(0..3, |index| index)), [0, 1, 2]);
    }
}
