//! From options to files.

use super::document::{Document, FailedEntry, LayerEntry};
use super::{Options, plot, table};
use crate::cli::exit::{Failure, Outcome, print};
use crate::cli::images::{ImageOptions, input_name, one_target_each};
use crate::cli::interrupt::Interrupt;
use crate::cli::plotted::PlottedFiles;
use crate::cli::progress::{Progress, say};
use crate::cli::targets::{distinct, fixed_target};
use crate::evaluate::randomise::{
    LayerSimilarities, RandomiseError, RandomiseInput, RandomiseReport, RandomiseSettings, Scope, randomise,
};
use crate::explain::Method;
use crate::images::{InputImage, Rgb8, prefetch};
use crate::patterns::Patterns;
use crate::setup::{OpenedDevice, find_labels};
use crate::weights::Weights;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Makes the test that the options ask for.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    options.images.validate(None)?;
    let methods = distinct(&options.methods);
    options.network.device.limit_threads()?;
    let images =
        ImageOptions::find(&options.images.given()?, |images| one_target_each(images, &options.target))?;
    let files = PlottedFiles::of(&options.output)?;
    files.prepare(options.overwrite)?;
    let weights = options.network.weights.open(options.quiet)?;
    files.differ_from(
        [("the weights", weights.path())]
            .into_iter()
            .chain(images.iter().map(|image| ("the input", image.path.as_path())))
            .chain(options.network.patterns.iter().map(|path| ("--patterns", path.as_path())))
            .chain(options.labels.iter().map(|path| ("--labels", path.as_path()))),
    )?;
    let patterns = match methods.iter().any(|method| method.needs_patterns()) {
        true => options.network.open_patterns(&weights)?,
        false => None,
    };
    let labels = find_labels(options.labels.as_deref(), &weights)?;
    fixed_target(&options.target, &weights, labels.as_deref())?;
    let asked = options.batch.map(usize::from);
    let OpenedDevice { backend, device, precision, notice } = options.network.device.open(&weights, asked)?;
    notice.iter().for_each(|notice| say(options.quiet, notice));
    let batch = options.images.batch_size(options.batch, backend.preferred_batch());
    let mut failed = Vec::new();
    let loaded = load(options, images, batch, &mut failed);
    if loaded.is_empty() {
        return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
    }
    let interrupt = Interrupt::install()?;
    let folder =
        options.output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new().prefix(".vggx-").tempdir_in(folder)?;
    let side = options.images.crop as usize;
    let settings = RandomiseSettings {
        weights: &weights,
        patterns: patterns.as_ref(),
        methods: &methods,
        labels,
        target: &options.target,
        scope: if options.independent { Scope::Independent } else { Scope::Cascading },
        seed: options.seed,
        batch,
        size: (side, side),
        folder: folder.path(),
    };
    let inputs: Vec<RandomiseInput> = loaded
        .iter()
        .map(|(image, pixels)| RandomiseInput { pixels: &pixels.pixels, key: image.target.as_deref() })
        .collect();
    // The trained network's serves first.
    let first = RefCell::new(Some(backend));
    let open = |weights: &Arc<Weights>| match first.take() {
        Some(backend) => Ok(backend),
        None => match options.network.device.open(weights, asked) {
            Ok(opened) => Ok(opened.backend),
            Err(Failure::Run(message) | Failure::Usage(message)) => Err(RandomiseError::Device(message)),
            Err(_) => Err(RandomiseError::Stopped),
        },
    };
    let titles = weights.network().titles();
    let started = Instant::now();
    let mut reached = |layer: &LayerSimilarities| {
        let seconds = started.elapsed().as_secs_f64();
        say(options.quiet, &format!("{} is random, {seconds:.1} s", titles[layer.layer]));
    };
    let report = randomise(&settings, &inputs, &open, &|| interrupt.requested(), &mut reached);
    let report = report.map_err(|error| match error {
        RandomiseError::Stopped => Failure::Interrupted("stopped; nothing was written".to_owned()),
        error => error.into(),
    })?;
    let run = identity(options, &settings, patterns.as_deref(), (&device, precision));
    write(options, &settings, &loaded, report, failed, run, &files)
}

/// Loads all images; those that cannot be are told, and left out.
fn load(
    options: &Options,
    images: Vec<InputImage>,
    batch: usize,
    failed: &mut Vec<FailedEntry>,
) -> Vec<(InputImage, Rgb8)> {
    let mut progress = Progress::new(Some(images.len()), options.quiet);
    let threads = options.network.device.thread_count();
    let mut all = Vec::new();
    for (image, loaded) in prefetch(images, options.images.load(), threads, 2 * batch) {
        match loaded {
            Ok(pixels) => all.push((image, pixels)),
            Err(error) => {
                progress.line(&format!("error: {}: {}", input_name(&image), error.problem));
                failed.push(FailedEntry { input: input_name(&image), error: error.problem.to_string() });
            }
        }
        progress.advance(1);
    }
    progress.finish();
    all
}

/// Writes and tells.
fn write(
    options: &Options,
    settings: &RandomiseSettings,
    loaded: &[(InputImage, Rgb8)],
    report: RandomiseReport,
    mut failed: Vec<FailedEntry>,
    run: Map<String, Value>,
    files: &PlottedFiles,
) -> Result<Outcome, Failure> {
    for ((image, _), target) in loaded.iter().zip(&report.targets) {
        if let Err(error) = target {
            say(false, &format!("error: {}: {error}", input_name(image)));
            failed.push(FailedEntry { input: input_name(image), error: error.to_string() });
        }
    }
    let compared = report.targets.iter().filter(|target| target.is_ok()).count();
    if compared == 0 {
        return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
    }
    let network = settings.weights.network();
    let names: Vec<&str> = network.parametric().map(|(_, layer)| layer.name()).collect();
    let titles = network.titles();
    let layers: Vec<LayerEntry> = report
        .layers
        .into_iter()
        .map(|layer| LayerEntry {
            name: names[layer.layer].to_owned(),
            title: titles[layer.layer].clone(),
            methods: settings.methods.iter().map(Method::to_string).zip(layer.methods).collect(),
        })
        .collect();
    let plot = plot::plot(&layers, settings.methods, settings.scope == Scope::Cascading, compared);
    let outcome = if failed.is_empty() { Outcome::Done } else { Outcome::SomeFailed };
    let document = Document {
        scope: if settings.scope == Scope::Cascading { "cascading" } else { "independent" },
        layers,
        images: loaded.iter().map(|(image, _)| input_name(image)).collect(),
        targets: report.targets.into_iter().map(Result::ok).collect(),
        failed,
        run,
    };
    let json = serde_json::to_string(&document)?;
    files.write(&json, &plot.svg()?, &plot.png()?)?;
    match options.json {
        true => print(&json)?,
        false => table::lines(&document.layers, settings.methods).iter().try_for_each(|line| print(line))?,
    }
    Ok(outcome)
}

/// What the numbers depend on, by option.
fn identity(
    options: &Options,
    settings: &RandomiseSettings,
    patterns: Option<&Patterns>,
    (device, precision): (&str, &str),
) -> Map<String, Value> {
    let preprocessing = settings.weights.network().preprocessing.to_json();
    let mut run: Map<String, Value> =
        preprocessing.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
    let mut insert = |name: &str, value: Value| run.insert(name.to_owned(), value);
    insert("weights", json!(settings.weights.digest()));
    insert("patterns", json!(patterns.map(Patterns::digest)));
    insert("target", json!(options.target.to_string()));
    insert("seed", json!(options.seed));
    insert("resize", json!(options.images.resize));
    insert("crop", json!(options.images.crop));
    insert("device", json!(device));
    insert("precision", json!(precision));
    insert("version", json!(env!("CARGO_PKG_VERSION")));
    run
}
