//! Checkpoints: moments with the place that a run has come to.

use crate::backend::Moments;
use crate::cli::exit::Failure;
use crate::cli::identity::difference;
use crate::cli::tally::Tally;
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
    /// Whether the run was begun with `--overwrite`: what it replaces is still there.
    overwrite: bool,
}

/// The checkpoints of a run.
pub struct Checkpoints<'a> {
    /// Where they are written, and where a call that named fewer files has left them.
    paths: Vec<PathBuf>,
    run: &'a Map<String, Value>,
    batch: usize,
    overwrite: bool,
    weights: &'a Weights,
    interval: Duration,
    last: Instant,
}

/// A run, as its checkpoints tell it from others.
pub struct Identity<'a> {
    pub run: &'a Map<String, Value>,
    /// Images a batch.
    pub batch: usize,
    pub overwrite: bool,
}

/// The place of the checkpoint beside a file that a run is for.
pub fn beside(result: &Path) -> PathBuf {
    let mut path: OsString = result.into();
    path.push(".checkpoint");
    path.into()
}

impl<'a> Checkpoints<'a> {
    /// Those beside the files that the run is for, the first one preferred.
    pub fn new<'p>(
        results: impl Iterator<Item = &'p PathBuf>,
        identity: Identity<'a>,
        weights: &'a Weights,
        seconds: u32,
    ) -> Self {
        let Identity { run, batch, overwrite } = identity;
        Checkpoints {
            paths: results.map(|result| beside(result)).collect(),
            run,
            batch,
            overwrite,
            weights,
            interval: Duration::from_secs(seconds.into()),
            last: Instant::now(),
        }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.paths[0]
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
        let progress = Progress {
            batch: self.batch,
            input,
            crop,
            failed: tally.failed.clone(),
            overwrite: self.overwrite,
        };
        let record =
            MomentRecord { images: tally.images, run: self.run.clone(), progress: Some(json!(progress)) };
        // Also after a failure: it is not tried again for every batch.
        let written = MomentFile::write(self.path(), moments, &record, self.weights);
        self.last = Instant::now();
        written
    }

    /// What a stopped run left: its moments, and where it was. Nothing where this run is to begin anew.
    ///
    /// # Errors
    /// When the checkpoint is of another run, or damaged.
    pub fn read(&self, second: bool) -> Result<Option<(Moments, Tally)>, Failure> {
        let Some(path) = self.paths.iter().find(|path| path.exists()) else { return Ok(None) };
        match self.open(path) {
            Ok((file, progress)) => {
                if self.overwrite && !progress.overwrite {
                    return Ok(None);
                }
                if file.has_second_moments() != second {
                    let other = if second { "without" } else { "with" };
                    return Err(self.refuse(path, &format!("it was begun {other} --second-moments")));
                }
                Moments::check_memory(self.weights.network(), second)?;
                let tally = Tally {
                    position: Position { input: progress.input, crop: progress.crop },
                    images: file.record().images,
                    failed: progress.failed,
                };
                Ok(Some((file.read(), tally)))
            }
            Err(_) if self.overwrite => Ok(None),
            Err(problem) => Err(self.refuse(path, &problem)),
        }
    }

    /// The checkpoint of this very run, or why it is none.
    fn open(&self, path: &Path) -> Result<(MomentFile, Progress), String> {
        let file = MomentFile::open(path, self.weights).map_err(|error| error.to_string())?;
        let record = file.record();
        let progress: Option<Progress> =
            record.progress.clone().and_then(|progress| serde_json::from_value(progress).ok());
        let Some(progress) = progress else {
            return Err("it does not say how far a run has come, or another version wrote it".to_owned());
        };
        let other = difference(&record.run, self.run).or_else(|| {
            (progress.batch != self.batch)
                .then(|| format!("--batch {} and now {}", progress.batch, self.batch))
        });
        match other {
            Some(other) => Err(format!("it was begun with other options: {other}")),
            None => Ok((file, progress)),
        }
    }

    fn refuse(&self, path: &Path, problem: &str) -> Failure {
        let path = path_text(path);
        Failure::Run(format!(
            "{path} is not a checkpoint that this call can go on from ({problem}); make the call that it was begun with, \
             or begin anew with --overwrite or by deleting it"
        ))
    }

    /// Removes what is of this run where another call has finished it.
    pub fn remove_ours(&self) {
        for path in self.paths.iter().filter(|path| path.exists() && self.open(path).is_ok()) {
            // One that stays is told apart by the next run.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Removes them: the run is done.
    pub fn remove(&self) {
        for path in &self.paths {
            // As above.
            let _ = std::fs::remove_file(path);
        }
    }
}
