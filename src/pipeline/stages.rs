//! Where the time of a run goes, stage by stage, summed over threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finding images and reading archives, one thread at a time.
    Read,
    /// Decoding, files read included that are not in archives; on all loading threads.
    Decode,
    /// Resizing and cropping, there too.
    Resize,
    /// The network forward and back, on one thread a batch in flight.
    Compute,
    /// Making pictures and arrays of a batch; counted by the clock, while all cores may work on it.
    Encode,
    /// Writing files, on one thread.
    Write,
}

impl Stage {
    /// Every stage in the order of the work.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Decode, Self::Resize, Self::Compute, Self::Encode, Self::Write];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Resize => "resize",
            Self::Compute => "compute",
            Self::Encode => "encode",
            Self::Write => "write",
        }
    }
}

/// The time spent in each stage so far.
#[derive(Debug, Default)]
pub struct Stages {
    nanoseconds: [AtomicU64; 6],
}

impl Stages {
    /// Runs something and adds its time to a stage.
    pub fn time<R>(&self, stage: Stage, run: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let result = run();
        self.add(stage, begun.elapsed());
        result
    }

    /// Adds time to a stage.
    pub fn add(&self, stage: Stage, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(time, Ordering::Relaxed);
    }

    /// The seconds of a stage, summed over threads.
    pub fn seconds(&self, stage: Stage) -> f64 {
        self.nanoseconds[stage as usize].load(Ordering::Relaxed) as f64 * 1e-9
    }

    /// The part of the pipeline that is busiest, and how busy it is: what everything waits for, where the share is near 1.
    pub fn bottleneck(&self, lanes: &Lanes, elapsed: Duration) -> (Part, f64) {
        let sum = |stages: &[Stage]| stages.iter().map(|&stage| self.seconds(stage)).sum::<f64>();
        let parts = [
            (Part::Device, sum(&[Stage::Compute]) / lanes.computing.max(1) as f64),
            (Part::Reading, sum(&[Stage::Read])),
            (Part::Loading, sum(&[Stage::Decode, Stage::Resize]) / lanes.loading.max(1) as f64),
            (Part::Output, sum(&[Stage::Encode, Stage::Write])),
        ];
        let elapsed = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let busiest = parts.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let (part, seconds) = busiest.unwrap_or((Part::Device, 0.0));
        (part, (seconds / elapsed).min(1.0))
    }
}

/// How many threads work at a time.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// On loading.
    pub loading: usize,
    /// On batches.
    pub computing: usize,
}

/// A part of the pipeline with threads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Finding images and reading archives.
    Reading,
    /// Decoding and resizing.
    Loading,
    /// Computing.
    Device,
    /// Encoding and writing.
    Output,
}

impl Part {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Loading => "loading",
            Self::Device => "device",
            Self::Output => "output",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_part_is_named() {
        let stages = Stages::default();
        let lanes = Lanes { loading: 4, computing: 2 };
        let seconds = Duration::from_secs;
        for (stage, time) in [(Stage::Read, 1), (Stage::Decode, 7), (Stage::Compute, 6), (Stage::Write, 1)] {
            stages.add(stage, seconds(time));
        }
        // 1, 7 / 4, 6 / 2 and 1 seconds in 4.
        assert_eq!(stages.bottleneck(&lanes, seconds(4)), (Part::Device, 0.75));
        stages.add(Stage::Resize, seconds(9));
        assert_eq!(stages.bottleneck(&lanes, seconds(4)), (Part::Loading, 1.0));
        stages.add(Stage::Read, seconds(5));
        assert_eq!(stages.bottleneck(&lanes, seconds(8)), (Part::Reading, 0.75));
        stages.add(Stage::Encode, seconds(7));
        assert_eq!(stages.bottleneck(&lanes, seconds(10)), (Part::Output, 0.8));
    }

    #[test]
    fn time_is_noted_under_its_stage() {
        let stages = Stages::default();
        assert_eq!(stages.time(Stage::Resize, || 5), 5);
        stages.time(Stage::Resize, || std::thread::sleep(Duration::from_millis(20)));
        assert!(stages.seconds(Stage::Resize) >= 0.02);
        assert!(Stage::ALL.into_iter().filter(|&stage| stages.seconds(stage) > 0.0).eq([Stage::Resize]));
    }
}
