//! The run over all inputs: what is to be done, done batch by batch, and its record.

use super::Options;
use super::earlier::Earlier;
use super::inputs::inputs;
use super::record::{identity, recorded_options};
use super::results::Results;
use crate::backend::BackendError;
use crate::backend::cuda::device::DeviceError;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::images::input_name;
use crate::explain::{ExplainError, Explained, Explainer, Input, Method, Target};
use crate::images::{InputImage, resize};
use crate::output::resume::Resume;
use crate::output::run_record::{Counts, Fingerprints, RunRecord, Times};
use crate::output::{Format, Writer, parse_formats, path_text};
use crate::pipeline::{ImageBatch, batches, in_order};
use crate::setup::{OpenedDevice, read_labels};
use crate::weights::Weights;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// Explains all inputs of the command line.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    resize::validate(options.images.resize, options.images.crop).map_err(Failure::usage)?;
    let formats = parse_formats(&options.format).map_err(Failure::usage)?;
    let methods = distinct(&options.methods);
    options.network.device.limit_threads()?;
    let images = inputs(options)?;
    let writer = Writer::create(&options.output, &formats, options.gamma)?;
    let weights = options.network.weights.open()?;
    let patterns = if methods.iter().any(|method| method.needs_patterns()) {
        options.network.open_patterns(&weights)?
    } else {
        None
    };
    let labels = match &options.labels {
        Some(path) => Some(read_labels(path, weights.network().outputs())?),
        None => None,
    };
    let target = fixed_target(&options.target, &weights, labels.as_deref())?;
    let OpenedDevice { backend, device, precision, notice } =
        options.network.device.open(&weights, options.batch.map(usize::from))?;
    let explainer =
        Explainer::new(backend, &weights, patterns.as_ref(), &methods, labels.clone(), options.seed)?;
    // Arrays hold all channels, pictures only their sum.
    let explainer = if formats == [Format::Png] { explainer.with_heat_maps() } else { explainer };
    let fingerprints = Fingerprints {
        weights: Some(weights.digest()),
        patterns: patterns.as_ref().map(|patterns| patterns.digest()),
    };
    let identity = identity(options, &methods, &formats, &weights, target, &fingerprints, precision);
    let resume = Resume::open(&options.output, &identity, options.overwrite)?;
    let names = methods.iter().map(Method::to_string).collect();
    let outputs = weights.network().outputs();
    let earlier = Earlier { options, resume: &resume, names, formats, outputs, labels: labels.as_deref() };
    let mut results = Results::new(options, writer, &resume, images.len());
    notice.iter().for_each(|notice| results.tell(notice));
    let explained =
        explain_all(&explainer, images, &earlier, &mut results).map_err(|failure| match failure {
            Failure::ReaderGone => Failure::Run(
                "standard output was closed by its reader: stopped; the same call goes on from here"
                    .to_owned(),
            ),
            failure => failure,
        });
    // Also after an error: what was written before it is kept and listed.
    let finished = results.finish();
    explained?;
    let counts = finished?;
    let record = RunRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        options: recorded_options(options, &methods, &weights, patterns.as_deref(), (&device, precision)),
        fingerprints,
        device: explainer.backend().description(),
        counts,
        times: Times::new(started, clock.elapsed()),
    };
    record.write(&options.output)?;
    drop(resume);
    summary(options, &record);
    Ok(match (record.counts.failed, record.counts.images) {
        (0, _) => Outcome::Done,
        (failed, images) if failed == images => {
            return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
        }
        _ => Outcome::SomeFailed,
    })
}

/// The methods without repetitions.
fn distinct(methods: &[Method]) -> Vec<Method> {
    let mut distinct = Vec::new();
    for &method in methods {
        if !distinct.contains(&method) {
            distinct.push(method);
        }
    }
    distinct
}

/// The output that a target means for all images, if it is the same for all. Refuses targets that no image can have,
/// before any work.
fn fixed_target(
    target: &Target,
    weights: &Weights,
    labels: Option<&[String]>,
) -> Result<Option<usize>, Failure> {
    if *target == Target::Key {
        return Ok(None);
    }
    let responses = vec![0.0; weights.network().outputs()];
    let output = target.resolve(&responses, labels, None)?;
    Ok(matches!(target, Target::Index(_) | Target::Label(_)).then_some(output))
}

/// Explains what no earlier run has explained: batches in flight on the device while those before are written.
fn explain_all(
    explainer: &Explainer,
    images: Vec<InputImage>,
    earlier: &Earlier,
    results: &mut Results,
) -> Result<(), Failure> {
    let (mut todo, mut positions) = (Vec::new(), Vec::new());
    for (position, input) in images.into_iter().enumerate() {
        if earlier.holds(&input)? {
            results.keep(position as u64, &input_name(&input))?;
        } else {
            todo.push(input);
            positions.push(position as u64);
        }
    }
    let options = earlier.options;
    let threads = options.network.device.thread_count();
    let backend = explainer.backend();
    let concurrent = backend.concurrent_batches();
    let size = options.images.batch_size(options.batch, backend.preferred_batch());
    let batches = batches(todo, options.images.load(), threads, size, concurrent + 1);
    // What the device said on all threads.
    let failures = Mutex::new(Vec::new());
    let explain = |batch: ImageBatch| {
        let explained = explain(explainer, &batch, &options.target);
        if let Err(ExplainError::Backend(BackendError::Device(error))) = &explained {
            failures.lock().unwrap_or_else(PoisonError::into_inner).push(error.clone());
        }
        (batch, explained)
    };
    let mut positions = positions.into_iter();
    let ended = in_order(batches, concurrent, explain, |(batch, explained)| {
        backend.notices().iter().for_each(|notice| results.tell(notice));
        let explained = explained.map_err(Stop::Batch)?;
        results.write(&mut positions, batch, explained).map_err(Stop::Results)
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.map_err(|stop| match stop {
        Stop::Results(failure) => failure,
        Stop::Batch(error) => batch_failure(&error, &failures),
    })
}

/// Why a run stops.
enum Stop {
    /// A batch could not be computed.
    Batch(ExplainError),
    /// Something could not be written or told.
    Results(Failure),
}

/// Explains the images of a batch that were loaded.
fn explain(
    explainer: &Explainer,
    batch: &ImageBatch,
    target: &Target,
) -> Result<Vec<Result<Explained, ExplainError>>, ExplainError> {
    let Some((_, first)) = batch.loaded().next() else { return Ok(Vec::new()) };
    let inputs: Vec<Input> = batch
        .loaded()
        .map(|(input, image)| Input { pixels: &image.pixels, key: input.target.as_deref() })
        .collect();
    explainer.explain((first.height, first.width), &inputs, target)
}

/// Why the run cannot go on, with what the device said to this batch and others.
fn batch_failure(error: &ExplainError, failures: &[DeviceError]) -> Failure {
    Failure::Run(match error {
        ExplainError::Backend(BackendError::Network(_)) => format!("{error}; see --resize and --crop"),
        ExplainError::Backend(BackendError::Device(error)) => {
            // A failed kernel ends the work of all threads, and only the one that launched it knows its name.
            let kernel = failures.iter().find(|failure| matches!(failure, DeviceError::Kernel { .. }));
            let error = kernel.unwrap_or(error);
            format!("{error}; what was done before is kept, and the same call goes on from there")
        }
        error => error.to_string(),
    })
}

/// What became of the run, on standard error.
fn summary(options: &Options, record: &RunRecord) {
    if options.quiet {
        return;
    }
    let Counts { done, failed, kept, .. } = record.counts;
    let mut parts = vec![format!("{done} explained")];
    if kept > 0 {
        parts.push(format!("{kept} kept from an earlier run"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    let place = if record.options.get("format").is_some_and(|format| format == "none") {
        String::new()
    } else {
        format!(" in {}", path_text(&options.output))
    };
    let line = format!("{}{place}, {:.1} s", parts.join(", "), record.times.seconds);
    // Nothing can be done when standard error is closed or full.
    let _ = writeln!(std::io::stderr(), "{line}");
}
