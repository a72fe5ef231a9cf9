//! The run over all images: what was done before, batch by batch what is left, and the patterns.

use super::Options;
use super::checkpoint::{Checkpoints, Identity, beside};
use super::present::{Present, look};
use crate::backend::{Backend, Learner, Moments};
use crate::cli::exit::{Failure, Outcome, print};
use crate::cli::identity::{self, FAILED};
use crate::cli::images::ImageOptions;
use crate::cli::interrupt::Interrupt;
use crate::cli::patterns::tell;
use crate::cli::places::{distinct_places, prepare_place};
use crate::cli::progress::{Progress, say};
use crate::cli::tally::{AHEAD, Tally};
use crate::images::{ImageSet, Shard, Survey};
use crate::output::path_text;
use crate::patterns::{LayerSource, MomentError, MomentFile, MomentRecord, Report, SolveOptions, solve};
use crate::pipeline::{Crops, learning_batches};
use crate::setup::OpenedDevice;
use crate::weights::Weights;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Learns from all inputs of the command line.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let clock = Instant::now();
    options.images.validate(options.crops)?;
    let solving = options.solve.options()?;
    options.device.limit_threads()?;
    let given = options.images.given()?;
    let set = ImageSet::new(&given)?;
    let survey = set.survey()?;
    if survey.inputs() == 0 {
        return Err(ImageOptions::nothing_in(&given));
    }
    let results: Vec<&PathBuf> = options.moments.iter().chain(&options.output).collect();
    for path in &results {
        prepare_place(path)?;
    }
    let checkpoints = results.iter().map(|path| beside(path)).collect::<Vec<_>>();
    let files: Vec<&Path> =
        results.iter().map(|path| path.as_path()).chain(checkpoints.iter().map(PathBuf::as_path)).collect();
    distinct_places(&files)?;
    let weights = options.weights.open(options.quiet)?;
    let asked = options.batch.map(usize::from);
    let OpenedDevice { backend, device, precision, notice } = options.device.open(&weights, asked)?;
    let shard = options.shard.unwrap_or(Shard::WHOLE);
    let sampling =
        identity::Sampling { images: &options.images, crops: options.crops, seed: options.seed, shard };
    let run = identity::run(&sampling, &survey, &weights, (&device, precision));
    if survey.inputs_of(shard) == 0 {
        return Err(Failure::Run(format!(
            "shard {shard} has no image: there are fewer images and tar shards than shards; use fewer shards"
        )));
    }
    let job = Job { options, solving, run, weights: &weights, set, survey, shard, clock };
    let present = look(options, &job.solving, &job.run, &weights)?;
    let batch = options.images.batch_size(options.batch, backend.preferred_learning_batch());
    let identity = Identity { run: &job.run, batch, overwrite: options.overwrite };
    let checkpoints = Checkpoints::new(results.into_iter(), identity, &weights, options.checkpoint);
    if let Some(outcome) = job.already_done(&present)? {
        checkpoints.remove_ours();
        return Ok(outcome);
    }
    job.learn(&*backend, batch, checkpoints, notice)
}

struct Job<'a> {
    options: &'a Options,
    solving: SolveOptions,
    /// What tells this run from others.
    run: Map<String, Value>,
    weights: &'a Weights,
    set: ImageSet,
    /// Of the whole set.
    survey: Survey,
    shard: Shard,
    clock: Instant,
}

impl Job<'_> {
    /// Ends the call where an earlier one has done it; patterns that lack are solved from moments that are there.
    fn already_done(&self, present: &Present) -> Result<Option<Outcome>, Failure> {
        let options = self.options;
        let kept = |path: &Path| self.say(&format!("{}: kept from an earlier run", path_text(path)));
        let run = match (&present.moments, &present.patterns, &options.output) {
            (None, _, _) if options.moments.is_some() => return Ok(None),
            (None, None, _) => return Ok(None),
            (Some(moments), None, Some(output)) => {
                kept(moments.path());
                self.solve(moments, moments.record(), output)?;
                moments.record().run.clone()
            }
            (moments, Some(patterns), _) => {
                moments.iter().for_each(|moments| kept(moments.path()));
                let path = patterns.path();
                kept(path);
                if options.json
                    && let Some(report) = Report::of(patterns)
                {
                    tell(&report, path, true)?;
                }
                patterns.metadata("run").and_then(|run| serde_json::from_str(run).ok()).unwrap_or_default()
            }
            (Some(moments), None, None) => {
                kept(moments.path());
                self.tell_moments(moments.path(), moments.record().images)?;
                moments.record().run.clone()
            }
        };
        let failed = run.get(FAILED).and_then(Value::as_u64).unwrap_or(0);
        if failed > 0 {
            self.say(&format!("{failed} inputs failed in that run; --overwrite tries them again"));
        }
        Ok(Some(if failed > 0 { Outcome::SomeFailed } else { Outcome::Done }))
    }

    /// One object for scripts where there are no patterns to tell about.
    fn tell_moments(&self, path: &Path, images: u64) -> Result<(), Failure> {
        match self.options.json {
            true => print(&json!({ "moments": path_text(path), "images": images }).to_string()),
            false => Ok(()),
        }
    }

    fn learn(
        &self,
        backend: &dyn Backend,
        size: usize,
        mut checkpoints: Checkpoints,
        notice: Option<String>,
    ) -> Result<Outcome, Failure> {
        let options = self.options;
        let interrupt = Interrupt::install()?;
        let earlier = checkpoints.read(options.second_moments)?;
        let (moments, mut tally) = match earlier {
            Some(earlier) => earlier,
            None => (Moments::allocate(self.weights.network(), options.second_moments)?, Tally::default()),
        };
        let mut progress = Progress::new(self.known_inputs(), options.quiet);
        notice.iter().for_each(|notice| progress.notice(notice));
        if tally.position.input > 0 || tally.position.crop > 0 {
            let (come, path) = (self.come_to(&tally), path_text(checkpoints.path()));
            let text = format!("going on after {come}, from {path}");
            progress.notice(&text);
            progress.begin_at(tally.position.input);
        }
        let mut learner = backend.learn(moments)?;
        let crops = options.crops.map(|count| Crops { count, seed: options.seed });
        let threads = options.device.thread_count();
        let load = options.images.load();
        let inputs = self.set.samples(self.shard, load.max_pixels);
        let batches = learning_batches(inputs, load, crops, threads, size, AHEAD, tally.position);
        for batch in batches {
            tally.add(&mut *learner, &batch, &progress)?;
            backend.notices().iter().for_each(|notice| progress.notice(notice));
            progress.advance(batch.finished + batch.failed.len());
            if interrupt.requested() {
                progress.finish();
                return Err(self.stop(&mut *learner, &mut checkpoints, &tally));
            }
            if checkpoints.due() {
                match checkpoints.write(learner.moments()?, &tally) {
                    // Sums that are not numbers will not become numbers.
                    Err(error @ MomentError::Value { .. }) => return Err(error.into()),
                    Err(error) => progress.line(&format!("warning: no checkpoint this time: {error}")),
                    Ok(()) => {}
                }
            }
        }
        progress.finish();
        if tally.images == 0 {
            checkpoints.remove();
            return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
        }
        let mut run = self.run.clone();
        if !tally.failed.is_empty() {
            run.insert(FAILED.to_owned(), json!(tally.failed.len()));
        }
        let record = MomentRecord { images: tally.images, run, progress: None };
        let finished = self.finish(learner.moments()?, &record);
        if let Err(Failure::Run(error)) = finished {
            // Hours of work: kept where the same call finds them.
            let written = checkpoints.write(learner.moments()?, &tally);
            let kept = path_text(checkpoints.path());
            return Err(Failure::Run(match written {
                Ok(()) => format!("{error}; all sums are kept in {kept}"),
                Err(_) => error,
            }));
        }
        // The files are written, also when nobody wanted to read what there is to tell.
        checkpoints.remove();
        finished?;
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

    /// The number of inputs of this share, where it is known: nobody counts what is in archives beforehand.
    fn known_inputs(&self) -> Option<usize> {
        let inputs = usize::try_from(self.survey.inputs_of(self.shard)).ok();
        inputs.filter(|_| self.survey.archives == 0)
    }

    /// How far a run has come, in words.
    fn come_to(&self, tally: &Tally) -> String {
        match self.known_inputs() {
            Some(inputs) => format!("{} of {inputs} inputs", tally.position.input),
            None => format!("{} images", tally.position.input),
        }
    }

    /// Leaves a checkpoint because somebody wants the run to stop.
    fn stop(&self, learner: &mut dyn Learner, checkpoints: &mut Checkpoints, tally: &Tally) -> Failure {
        let written = match learner.moments() {
            Ok(moments) => checkpoints.write(moments, tally).map_err(Failure::from),
            Err(error) => Err(Failure::from(error)),
        };
        match written {
            Ok(()) => Failure::Interrupted(format!(
                "stopped after {}; the same call goes on from {}",
                self.come_to(tally),
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
            None => match &self.options.moments {
                Some(path) => self.tell_moments(path, record.images),
                None => Ok(()),
            },
        }
    }

    fn solve(&self, moments: &dyn LayerSource, record: &MomentRecord, path: &Path) -> Result<(), Failure> {
        let report = solve(moments, record, self.weights, &self.solving, path)?;
        tell(&report, path, self.options.json)
    }

    /// Tells something on standard error.
    fn say(&self, text: &str) {
        say(self.options.quiet, text);
    }
}
