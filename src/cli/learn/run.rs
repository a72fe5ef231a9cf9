//! The run over all images: what was done before, batch by batch what is left, and the patterns.

use super::checkpoint::Checkpoints;
use super::present::{Present, look};
use super::tally::Tally;
use super::{Options, identity};
use crate::backend::{Backend, BackendError, Batch, Learner, Moments, Pixels};
use crate::cli::device::Opened;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::images::{ImageOptions, input_name};
use crate::cli::interrupt::Interrupt;
use crate::cli::patterns::{prepare_place, tell};
use crate::cli::progress::Progress;
use crate::images::{InputImage, Shard, resize};
use crate::output::path_text;
use crate::patterns::{LayerSource, MomentFile, MomentRecord, SolveOptions, solve};
use crate::pipeline::{Crops, LearningBatch, learning_batches};
use crate::weights::Weights;
use serde_json::{Map, Value};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Batches that are loaded ahead of the one that is computed.
const AHEAD: usize = 2;

/// Learns from all inputs of the command line.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let clock = Instant::now();
    // Random crops are cut out of the image as it is.
    let resize = if options.crops.is_some() { options.images.crop } else { options.images.resize };
    resize::validate(resize, options.images.crop).map_err(Failure::usage)?;
    let solving = options.solve.options()?;
    options.device.limit_threads()?;
    let given = options.images.given()?;
    let images = ImageOptions::find(&given, |_| Ok(()))?;
    for path in options.output.iter().chain(&options.moments) {
        prepare_place(path)?;
    }
    let weights = options.weights.open()?;
    let asked = options.batch.map(usize::from);
    let Opened { backend, device, precision, notice } = options.device.open(&weights, asked)?;
    let run = identity::run(options, &images, &weights, (&device, precision));
    let shard = options.shard.unwrap_or(Shard::WHOLE);
    let inputs: Vec<(u64, InputImage)> =
        (0..).zip(images).filter(|&(number, _)| shard.holds(number)).collect();
    if inputs.is_empty() {
        return Err(Failure::Run(format!(
            "shard {shard} has no image: there are fewer images than shards; use fewer shards"
        )));
    }
    let job = Job { options, solving, run, weights: &weights, inputs, clock };
    let present = look(options, &job.solving, &job.run, &weights)?;
    if let Some(outcome) = job.already_done(&present)? {
        return Ok(outcome);
    }
    job.learn(&*backend, notice)
}

struct Job<'a> {
    options: &'a Options,
    solving: SolveOptions,
    /// What tells this run from others.
    run: Map<String, Value>,
    weights: &'a Weights,
    /// With their numbers in the whole list.
    inputs: Vec<(u64, InputImage)>,
    clock: Instant,
}

impl Job<'_> {
    /// Ends the call where an earlier one has done it; patterns that lack are solved from moments that are there.
    fn already_done(&self, present: &Present) -> Result<Option<Outcome>, Failure> {
        let options = self.options;
        let lacks_moments = options.moments.is_some() && present.moments.is_none();
        match (&present.moments, &options.output) {
            (Some(moments), Some(output)) if !present.patterns => {
                self.say(&format!("{}: kept from an earlier run", path_text(moments.path())));
                self.solve(moments, moments.record(), output)?;
            }
            _ if lacks_moments || (options.output.is_some() && !present.patterns) => return Ok(None),
            _ => {
                let files = options.output.iter().chain(&options.moments).map(|path| path_text(path));
                self.say(&format!("{}: kept from an earlier run", files.collect::<Vec<_>>().join(", ")));
            }
        }
        Ok(Some(Outcome::Done))
    }

    fn learn(&self, backend: &dyn Backend, notice: Option<String>) -> Result<Outcome, Failure> {
        let options = self.options;
        let size = options.images.batch_size(options.batch, backend.preferred_learning_batch());
        // One of them is there.
        let result =
            options.output.as_deref().or(options.moments.as_deref()).unwrap_or(Path::new("patterns"));
        let mut checkpoints = Checkpoints::new(result, &self.run, size, self.weights, options.checkpoint);
        let interrupt = Interrupt::install()
            .map_err(|error| Failure::Run(format!("cannot catch signals ({error}); try again")))?;
        let earlier = if options.overwrite { None } else { checkpoints.read()? };
        let (moments, mut tally) = match earlier {
            Some((moments, tally)) if moments.has_second() == options.second_moments => (moments, tally),
            Some(_) => {
                return Err(Failure::Run(format!(
                    "{} is the checkpoint of a run {} --second-moments; make the same call to go on with it, or begin \
                     anew with --overwrite",
                    path_text(checkpoints.path()),
                    if options.second_moments { "without" } else { "with" },
                )));
            }
            None => (Moments::allocate(self.weights.network(), options.second_moments)?, Tally::default()),
        };
        let mut progress = Progress::new(self.inputs.len(), options.quiet);
        let tell = |progress: &Progress, notice: &str| {
            if !options.quiet {
                progress.line(notice);
            }
        };
        notice.iter().for_each(|notice| tell(&progress, notice));
        if tally.position.input > 0 || tally.position.crop > 0 {
            let text = format!(
                "going on after {} of {} inputs, from {}",
                tally.position.input,
                self.inputs.len(),
                path_text(checkpoints.path())
            );
            tell(&progress, &text);
            progress.advance(tally.position.input);
        }
        let mut learner = backend.learn(moments)?;
        let crops = options.crops.map(|count| Crops { count, seed: options.seed });
        let threads = options.device.thread_count();
        let load = options.images.load();
        let batches =
            learning_batches(self.inputs.clone(), load, crops, threads, size, AHEAD, tally.position);
        for batch in batches {
            self.add(&mut *learner, &batch, &mut tally, &progress)?;
            backend.notices().iter().for_each(|notice| tell(&progress, notice));
            progress.advance(batch.finished + batch.failed.len());
            if interrupt.requested() {
                progress.finish();
                return Err(self.stop(&mut *learner, &mut checkpoints, &tally));
            }
            if checkpoints.due()
                && let Err(error) = checkpoints.write(learner.moments()?, &tally)
            {
                progress.line(&format!("warning: no checkpoint this time: {error}"));
            }
        }
        progress.finish();
        if tally.images == 0 {
            checkpoints.remove();
            return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
        }
        let record = MomentRecord { images: tally.images, run: self.run.clone(), progress: None };
        let finished = self.finish(learner.moments()?, &record);
        if let Err(Failure::Run(error)) = finished {
            // Hours of work: kept where the same call finds them.
            return Err(match checkpoints.write(learner.moments()?, &tally) {
                Ok(()) => {
                    Failure::Run(format!("{error}; all sums are kept in {}", path_text(checkpoints.path())))
                }
                Err(_) => Failure::Run(error),
            });
        }
        finished?;
        checkpoints.remove();
        self.say(&format!(
            "{} images learnt from{}, {:.1} s",
            tally.images,
            if tally.failed.is_empty() {
                String::new()
            } else {
                format!(", {} inputs failed", tally.failed.len())
            },
            self.clock.elapsed().as_secs_f64()
        ));
        Ok(if tally.failed.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
    }

    /// Adds the crops of a batch.
    fn add(
        &self,
        learner: &mut dyn Learner,
        batch: &LearningBatch,
        tally: &mut Tally,
        progress: &Progress,
    ) -> Result<(), Failure> {
        for (input, error) in &batch.failed {
            progress.line(&format!("error: {}: {}", input_name(input), error.problem));
            tally.fail(input, error.problem.to_string());
        }
        if let Some(first) = batch.crops.first() {
            let pixels: Vec<u8> = batch.crops.iter().flat_map(|crop| crop.pixels.iter().copied()).collect();
            let images = Batch {
                images: batch.crops.len(),
                height: first.height,
                width: first.width,
                pixels: Pixels::Rgb8(&pixels),
            };
            let failures = learner.add(&images).map_err(|error| match error {
                BackendError::Network(_) => Failure::Run(format!("{error}; see --resize and --crop")),
                error => Failure::Run(error.to_string()),
            })?;
            tally.images += failures.iter().filter(|failure| failure.is_none()).count() as u64;
            if failures.iter().any(Option::is_some) {
                let owners = tally.owners(&self.inputs, self.options.crops.unwrap_or(1), batch);
                for (input, failure) in owners.into_iter().zip(failures) {
                    if let Some(failure) = failure
                        && tally.fail(input, failure.to_string())
                    {
                        progress.line(&format!("error: {}: {failure}", input_name(input)));
                    }
                }
            }
        }
        tally.position = batch.end;
        Ok(())
    }

    /// Leaves a checkpoint because somebody wants the run to stop.
    fn stop(&self, learner: &mut dyn Learner, checkpoints: &mut Checkpoints, tally: &Tally) -> Failure {
        let written = match learner.moments() {
            Ok(moments) => checkpoints.write(moments, tally).map_err(Failure::from),
            Err(error) => Err(Failure::from(error)),
        };
        match written {
            Ok(()) => Failure::Interrupted(format!(
                "stopped after {} of {} inputs; the same call goes on from {}",
                tally.position.input,
                self.inputs.len(),
                path_text(checkpoints.path())
            )),
            Err(Failure::Run(error)) => Failure::Run(format!("stopped, and {error}")),
            Err(other) => other,
        }
    }

    /// Writes what was asked for.
    fn finish(&self, moments: &Moments, record: &MomentRecord) -> Result<(), Failure> {
        if let Some(path) = &self.options.moments {
            MomentFile::write(path, moments, record, self.weights)?;
        }
        match &self.options.output {
            Some(path) => self.solve(moments, record, path),
            None => Ok(()),
        }
    }

    fn solve(&self, moments: &dyn LayerSource, record: &MomentRecord, path: &Path) -> Result<(), Failure> {
        let report = solve(moments, record, self.weights, &self.solving, path)?;
        tell(&report, path, self.options.json)
    }

    /// Tells something on standard error.
    fn say(&self, text: &str) {
        if !self.options.quiet {
            // Nothing can be done when standard error is closed or full.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}
