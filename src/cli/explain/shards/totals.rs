//! How much there is to do, counted on the side while the work goes on, and how much of it is left.

use crate::images::units::Source;
use crate::images::{FindError, Shard, Unit};
use std::fs;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Work of one kind or the other: single images are counted, archives weighed, since nobody counts what is in them beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub images: u64,
    /// Of archives.
    pub bytes: u64,
}

impl Work {
    /// That of a unit.
    pub fn of(unit: &Unit) -> Self {
        match &unit.source {
            Source::Archive(archive) => {
                Self { images: 0, bytes: fs::metadata(&archive.path).map_or(0, |file| file.len()) }
            }
            Source::Images(_) | Source::Noise { .. } => {
                Self { images: unit.known_images().unwrap_or(0), bytes: 0 }
            }
        }
    }

    /// Adds more.
    pub fn add(&mut self, more: Self) {
        self.images += more.images;
        self.bytes += more.bytes;
    }
}

/// All the work of a share, once it has been counted.
pub struct Totals(Arc<OnceLock<Work>>);

impl Totals {
    /// Counts on a thread of its own, which nobody waits for.
    pub fn count(
        units: impl Iterator<Item = Result<Unit, FindError>> + Send + 'static,
        shard: Shard,
    ) -> Self {
        let counted = Arc::new(OnceLock::new());
        let result = Arc::clone(&counted);
        let count = move || {
            let mut total = Work::default();
            for unit in units {
                // Who does the work tells what is wrong.
                let Ok(unit) = unit else { return };
                if shard.holds(unit.number) {
                    total.add(Work::of(&unit));
                }
            }
            let _ = result.set(total);
        };
        // Without a thread nobody knows what is left, and nothing else changes.
        let _ = thread::Builder::new().name("count".to_owned()).spawn(count);
        Self(counted)
    }

    /// Nothing is known.
    pub fn unknown() -> Self {
        Self(Arc::default())
    }

    /// The number of images, where all come singly.
    pub fn images(&self) -> Option<u64> {
        self.0.get().filter(|total| total.bytes == 0).map(|total| total.images)
    }

    /// The time that is left where so much was done in so long, and so much was there already; only of work of one kind.
    pub fn left(&self, done: Work, kept: Work, elapsed: Duration) -> Option<Duration> {
        let total = self.0.get()?;
        let (total, done, kept) = match (total.images, total.bytes) {
            (total, 0) => (total, done.images, kept.images),
            (0, total) => (total, done.bytes, kept.bytes),
            _ => return None,
        };
        let left = total.saturating_sub(done + kept) as f64;
        let seconds = elapsed.as_secs_f64() * left / done as f64;
        (done > 0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{Units, search};
    use std::time::Instant;

    fn counted(totals: &Totals) -> Work {
        let begun = Instant::now();
        while totals.0.get().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(1));
        }
        *totals.0.get().unwrap()
    }

    #[test]
    fn time_that_is_left_follows_from_what_is_done() {
        let seconds = Duration::from_secs;
        let work = |images, bytes| Work { images, bytes };
        let of_noise = |shard| Totals::count(Units::of_noise(100, 0, 8).map(Ok), shard);
        let all = of_noise(Shard::WHOLE);
        assert_eq!((counted(&all), all.images()), (work(100, 0), Some(100)));
        assert_eq!(all.left(work(10, 0), work(40, 0), seconds(5)), Some(seconds(25)));
        assert_eq!(all.left(work(0, 0), work(40, 0), seconds(5)), None);
        // Units 1, 3, ..., 11 of 13, the last of which has four images.
        assert_eq!(counted(&of_noise(Shard::new(1, 2).unwrap())), work(48, 0));
        assert_eq!(Totals::unknown().left(work(1, 0), work(0, 0), seconds(1)), None);

        let folder = tempfile::tempdir().unwrap();
        for (name, length) in [("0.tar", 300), ("1.tar", 700)] {
            fs::write(folder.path().join(name), vec![0; length]).unwrap();
        }
        let of_folder = || Totals::count(Units::new(search([folder.path()]), 5), Shard::WHOLE);
        let archives = of_folder();
        assert_eq!((counted(&archives), archives.images()), (work(0, 1000), None));
        assert_eq!(archives.left(work(20, 250), work(0, 250), seconds(10)), Some(seconds(20)));
        // A photo is not worth so many bytes: of a mixture nobody knows.
        fs::write(folder.path().join("2.png"), "").unwrap();
        let mixed = of_folder();
        counted(&mixed);
        assert_eq!(mixed.left(work(1, 300), work(0, 0), seconds(10)), None);
    }
}
