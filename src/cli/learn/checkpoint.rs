//! Checkpoints: moments with the place that a run has come to.

use super::tally::Tally;
use crate::backend::Moments;
use crate::cli::exit::Failure;
use crate::output::path_text;
use crate::patterns::{LayerSource, MomentError, MomentFile, MomentRecord};
use crate::pipeline::Position;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where a run is, as its checkpoint has it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct Progress {
    /// Images a batch: sums of other batches are rounded differently.
    batch: usize,
    /// The next input, and its next crop.
    input: usize,
    crop: u32,
    /// Inputs that failed, with the reason.
    failed: Vec<(String, String)>,
}

/// The checkpoints of a run.
pub struct Checkpoints<'a> {
    path: PathBuf,
    run: &'a Map<String, Value>,
    batch: usize,
    weights: &'a Weights,
    interval: Duration,
    last: Instant,
}

impl<'a> Checkpoints<'a> {
    /// Those beside `result`, the file that the run is for.
    pub fn new(
        result: &Path,
        run: &'a Map<String, Value>,
        batch: usize,
        weights: &'a Weights,
        seconds: u32,
    ) -> Self {
        let mut path: OsString = result.into();
        path.push(".checkpoint");
        Checkpoints {
            path: path.into(),
            run,
            batch,
            weights,
            interval: Duration::from_secs(seconds.into()),
            last: Instant::now(),
        }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is time for another one.
    pub fn due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }

    /// Writes one over the last.
    ///
    /// # Errors
    /// When it cannot be written; the last one is kept then.
    pub fn write(&mut self, moments: &Moments, tally: &Tally) -> Result<(), MomentError> {
        let Position { input, crop } = tally.position;
        let progress = Progress { batch: self.batch, input, crop, failed: tally.failed.clone() };
        let record =
            MomentRecord { images: tally.images, run: self.run.clone(), progress: Some(json!(progress)) };
        // Also after a failure: it is not tried again for every batch.
        let written = MomentFile::write(&self.path, moments, &record, self.weights);
        self.last = Instant::now();
        written
    }

    /// What a stopped run left: its moments, and where it was.
    ///
    /// # Errors
    /// When the checkpoint is of another run, or damaged.
    pub fn read(&self) -> Result<Option<(Moments, Tally)>, Failure> {
        if !self.path.exists() {
            return Ok(None);
        }
        let remedy = || {
            format!(
                "make the same call to go on with it, or begin anew with --overwrite or by deleting {}",
                path_text(&self.path)
            )
        };
        let file = MomentFile::open(&self.path, self.weights).map_err(|error| {
            Failure::Run(format!("{error}; this is the checkpoint of a stopped run: {}", remedy()))
        })?;
        let record = file.record();
        let progress: Option<Progress> =
            record.progress.clone().and_then(|progress| serde_json::from_value(progress).ok());
        let Some(progress) = progress else {
            return Err(Failure::Run(format!(
                "{} is not a checkpoint of this version; {}",
                path_text(&self.path),
                remedy()
            )));
        };
        let other = difference(&record.run, self.run).or_else(|| {
            (progress.batch != self.batch)
                .then(|| format!("--batch {} and now {}", progress.batch, self.batch))
        });
        if let Some(other) = other {
            return Err(Failure::Run(format!(
                "{} is the checkpoint of a run with other options ({other}); {}",
                path_text(&self.path),
                remedy()
            )));
        }
        let tally = Tally {
            position: Position { input: progress.input, crop: progress.crop },
            images: record.images,
            failed: progress.failed,
        };
        Ok(Some((file.read(), tally)))
    }

    /// Removes it: the run is done.
    pub fn remove(&self) {
        // One that stays is told apart by the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The first thing in which two runs differ.
pub fn difference(earlier: &Map<String, Value>, now: &Map<String, Value>) -> Option<String> {
    let keys = earlier.keys().chain(now.keys());
    keys.into_iter().find_map(|key| {
        let text = |run: &Map<String, Value>| {
            run.get(key).map_or_else(
                || "nothing".to_owned(),
                |value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
            )
        };
        (earlier.get(key) != now.get(key)).then(|| format!("{key}: {} and now {}", text(earlier), text(now)))
    })
}
