//! The run over all images: what earlier runs did, what is left, and the files.

use super::checkpoint::Checkpoint;
use super::document::{Document, FailedEntry, ImageRow, summaries};
use super::identity::identity;
use super::report::{self, Measured};
use super::{Options, plot, table};
use crate::backend::{BackendError, PatchGrid};
use crate::cli::exit::{Failure, Outcome, print};
use crate::cli::images::{ImageOptions, input_name, one_target_each};
use crate::cli::interrupt::Interrupt;
use crate::cli::plotted::PlottedFiles;
use crate::cli::progress::Progress;
use crate::cli::targets::{distinct, fixed_target};
use crate::evaluate::perturb::{
    Curve, ImageCurves, ImageFailure, PerturbError, PerturbInput, PerturbSettings, Perturbing,
};
use crate::explain::{ExplainError, Explainer, Target};
use crate::hash;
use crate::images::{InputImage, Rgb8};
use crate::output::path_text;
use crate::pipeline::{Entry, ImageBatch, Loading, Step, batches, in_order};
use crate::setup::{OpenedDevice, find_labels};
use crate::weights::Weights;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

/// Perturbs what the options name.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    options.images.validate(None)?;
    let methods = distinct(&options.methods);
    options.network.device.limit_threads()?;
    let images =
        ImageOptions::find(&options.images.given()?, |images| one_target_each(images, &options.target))?;
    let files = PlottedFiles::of(&options.output)?;
    files.prepare_folder()?;
    let weights = options.network.weights.open(options.quiet)?;
    let read = || {
        let read = images.iter().map(|image| ("the input", image.path.as_path()));
        let read = read.chain(options.network.patterns.iter().map(|path| ("--patterns", path.as_path())));
        let read = read.chain(options.labels.iter().map(|path| ("--labels", path.as_path())));
        read.chain([("the weights", weights.path())])
    };
    files.differ_from(read())?;
    if !options.overwrite && !options.output.exists() && !Checkpoint::is_beside(&options.output) {
        files.prepare(false)?;
    }
    if let Some(path) = &options.report {
        report::prepare(path, options, read())?;
        files.differ_from([("--report", path.as_path())])?;
    }
    let patterns = match methods.iter().any(|method| method.needs_patterns()) {
        true => options.network.open_patterns(&weights)?,
        false => None,
    };
    let labels = find_labels(options.labels.as_deref(), &weights)?;
    let target = fixed_target(&options.target, &weights, labels.as_deref())?;
    let side = options.images.crop as usize;
    let grid = PatchGrid { height: side, width: side, side: options.patch as usize };
    let counts = options.steps.counts(options.mode, grid.patches()).map_err(Failure::usage)?;
    let asked = options.batch.map(usize::from);
    let OpenedDevice { backend, precision, notice, .. } = options.network.device.open(&weights, asked)?;
    let settings = PerturbSettings {
        curves: Curve::all(&methods, &distinct(&options.order)),
        mode: options.mode,
        counts,
        grid,
        replacement: options.replacement(),
        seed: options.seed,
        batch: options.images.batch_size(options.batch, backend.preferred_batch()),
        preprocessing: weights.network().preprocessing,
    };
    let identity =
        identity(options, &settings, &weights, patterns.as_deref(), (target, labels.as_deref()), precision);
    let explainer = Explainer::new(backend, &weights, patterns.as_ref(), &methods, labels, options.seed)?;
    let checkpoint = Checkpoint::open(&options.output, &identity, options.overwrite)?;
    let interrupt = Interrupt::install()?;
    let progress = Progress::new(Some(images.len()), options.quiet);
    notice.iter().for_each(|notice| progress.notice(notice));
    let mut results = Results { options, settings: &settings, checkpoint, progress, failed: Vec::new() };
    let todo = results.left(&images)?;
    perturb_all(&explainer, todo, &mut results, &interrupt)
        .map_err(|stop| results.stopped(stop, images.len()))?;
    results.finish(&files, &images, identity, &weights, &explainer)
}

/// Why a run stops.
enum Stop {
    /// The device cannot run a batch, or somebody wants it to stop.
    Batch(PerturbError),
    /// An image that is done cannot be kept.
    Results(Failure),
}

/// What came of the inputs so far.
struct Results<'a> {
    options: &'a Options,
    settings: &'a PerturbSettings,
    checkpoint: Checkpoint,
    progress: Progress,
    failed: Vec<FailedEntry>,
}

impl Results<'_> {
    /// The inputs that no earlier run has done, as they are now; rows of another target are left out.
    ///
    /// # Errors
    /// Where there are curves of images that this call does not name: they would be lost.
    fn left(&mut self, images: &[InputImage]) -> Result<Vec<InputImage>, Failure> {
        let mut earlier = std::mem::take(&mut self.checkpoint.rows);
        let mut todo = Vec::new();
        for image in images {
            let name = input_name(image);
            let row = earlier.remove(&name).filter(|row| row.fits(self.settings));
            match row.filter(|row| row.entry.key == self.key(image) && row.entry.file == digest(image)) {
                Some(row) => _ = self.checkpoint.rows.insert(name, row),
                None => todo.push(image.clone()),
            }
        }
        if let Some(other) = earlier.keys().next() {
            return Err(Failure::Run(format!(
                "{} has curves of {} images that this call does not name, such as {other}; name them too, name another --output, \
                 or begin anew with --overwrite",
                path_text(&self.options.output),
                earlier.len()
            )));
        }
        let kept = self.checkpoint.rows.len();
        if kept > 0 {
            self.progress.notice(&format!("{kept} of {} images kept from an earlier run", images.len()));
            self.progress.begin_at(kept);
        }
        Ok(todo)
    }

    /// The target that comes with an image, where it is asked for.
    fn key(&self, image: &InputImage) -> Option<String> {
        image.target.clone().filter(|_| self.options.target == Target::Key)
    }

    /// Keeps an image that has run, or tells why it has not.
    fn note(&mut self, image: &InputImage, curves: Result<ImageCurves, ImageFailure>) -> Result<(), Failure> {
        match curves {
            Ok(curves) => {
                let row = ImageRow::of(curves, self.settings, self.key(image), digest(image));
                self.checkpoint.add(input_name(image), row)?;
                self.progress.advance(1);
            }
            Err(failure) => self.refuse(image, failure.to_string()),
        }
        Ok(())
    }

    fn refuse(&mut self, image: &InputImage, error: String) {
        let input = input_name(image);
        self.progress.line(&format!("error: {input}: {error}"));
        self.progress.advance(1);
        self.failed.push(FailedEntry { input, error });
    }

    /// Why the run is over before all is done.
    fn stopped(&self, stop: Stop, images: usize) -> Failure {
        self.progress.finish();
        let kept = format!("the same call goes on from {}", path_text(self.checkpoint.path()));
        match stop {
            Stop::Results(failure) => failure,
            Stop::Batch(PerturbError::Stopped) => Failure::Interrupted(format!(
                "stopped after {} of {images} images; {kept}",
                self.checkpoint.rows.len() + self.failed.len()
            )),
            Stop::Batch(PerturbError::Explain(ExplainError::Backend(error))) => Failure::Run(match error {
                BackendError::Network(_) => format!("{error}; see --resize and --crop"),
                BackendError::Device(_) => format!("{error}; what was done before is kept, and {kept}"),
                error => error.to_string(),
            }),
            Stop::Batch(error) => error.into(),
        }
    }

    /// Summarises, writes and tells.
    fn finish(
        mut self,
        files: &PlottedFiles,
        images: &[InputImage],
        run: Map<String, Value>,
        weights: &Weights,
        explainer: &Explainer,
    ) -> Result<Outcome, Failure> {
        let (options, settings) = (self.options, self.settings);
        self.progress.finish();
        if self.checkpoint.rows.is_empty() {
            self.checkpoint.remove();
            return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
        }
        // In the order of the inputs, whichever failed first.
        let place = |entry: &FailedEntry| images.iter().position(|image| input_name(image) == entry.input);
        self.failed.sort_by_cached_key(place);
        let outcome = if self.failed.is_empty() { Outcome::Done } else { Outcome::SomeFailed };
        let measure = if weights.network().has_classifier() { "probability" } else { "relative-response" };
        let rows = &self.checkpoint.rows;
        let summaries = summaries(settings, rows);
        let document = Document::new(settings, measure, rows, &summaries, self.failed, run);
        let json = serde_json::to_string(&document)?;
        let plot = plot::plot(settings, measure, &summaries, rows.len());
        if let Some(path) = &options.report {
            let measured = Measured { document: &document, summaries: &summaries, plot: &plot };
            report::write(path, options, &measured, explainer, images)?;
        }
        files.write(&json, &plot.svg()?, &plot.png()?)?;
        self.checkpoint.remove();
        match options.json {
            true => print(&json)?,
            false => table::lines(settings, &summaries).iter().try_for_each(|line| print(line))?,
        }
        Ok(outcome)
    }
}

/// A short name for what is in an image's file.
fn digest(image: &InputImage) -> String {
    let bytes = std::fs::read(&image.path).unwrap_or_default();
    format!("{:016x}", hash::extend(hash::EMPTY, bytes))
}

/// Perturbs images, as many batches at a time as the device works on.
fn perturb_all(
    explainer: &Explainer,
    images: Vec<InputImage>,
    results: &mut Results,
    interrupt: &Interrupt,
) -> Result<(), Stop> {
    let (options, settings) = (results.options, results.settings);
    let backend = explainer.backend();
    let concurrent = backend.concurrent_batches();
    let threads = options.network.device.thread_count();
    let loading = Loading {
        load: options.images.load(),
        threads,
        size: settings.batch,
        ahead: concurrent + 1,
        stages: Arc::default(),
    };
    let batches = batches(images.into_iter().map(|image| Step::<()>::Image(image.into())), &loading);
    let perturbing = Perturbing::new(explainer, settings, &options.target);
    // Images are kept as soon as they are done: a batch takes long.
    let results = Mutex::new(results);
    let lock = || results.lock().unwrap_or_else(PoisonError::into_inner);
    let work = |_, batch: ImageBatch| {
        for entry in &batch.entries {
            if let Entry::Image(image, Err(error)) = entry {
                lock().refuse(image, error.problem.to_string());
            }
        }
        let loaded: Vec<(&InputImage, &Rgb8)> = batch.loaded().collect();
        // Not the path as it was typed: random orders are those of an image, wherever it lies.
        let names: Vec<String> = loaded.iter().map(|(image, _)| path_text(&image.name)).collect();
        let inputs: Vec<PerturbInput> = loaded
            .iter()
            .zip(&names)
            .map(|((image, pixels), name)| PerturbInput {
                pixels: &pixels.pixels,
                name,
                key: image.target.as_deref(),
            })
            .collect();
        let mut unkept = None;
        let failed = Cell::new(false);
        let ran = perturbing.run(&inputs, &|| failed.get() || interrupt.requested(), &mut |place, curves| {
            if let Err(failure) = lock().note(loaded[place].0, curves) {
                unkept.get_or_insert(failure);
                failed.set(true);
            }
        });
        backend.notices().iter().for_each(|notice| lock().progress.notice(notice));
        match unkept {
            Some(failure) => Err(Stop::Results(failure)),
            None => ran.map_err(Stop::Batch),
        }
    };
    in_order(batches, concurrent, work, |ran| ran)
}
