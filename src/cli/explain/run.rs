//! The run over all inputs: load, explain, write, note.

use super::Options;
use crate::cli::exit::{Failure, Outcome, print};
use crate::cli::network::read_labels;
use crate::cli::progress::Progress;
use crate::explain::{Explained, Explainer, Input, Kind, Method, Target};
use crate::images::find::{find, output_collisions};
use crate::images::{InputImage, LoadOptions, Rgb8, prefetch, resize};
use crate::output::manifest::{ManifestWriter, Row};
use crate::output::resume::{Identity, Resume};
use crate::output::run_record::{Counts, Fingerprints, RunRecord, Times};
use crate::output::{Explanation, Format, OutputError, Rendering, Writer, parse_formats, path_text};
use crate::patterns::Patterns;
use crate::weights::Weights;
use rayon::prelude::*;
use serde_json::json;
use std::collections::HashSet;
use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// Memory for crops that wait for their batch.
const LOOKAHEAD_BYTES: u64 = 256 << 20;

/// Explains all inputs of the command line.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    resize::validate(options.resize, options.crop).map_err(Failure::usage)?;
    let formats = parse_formats(&options.format).map_err(Failure::usage)?;
    let methods = distinct(&options.methods);
    limit_threads(options)?;
    let images = inputs(options)?;
    let writer = Writer::create(&options.output, &formats, options.gamma)?;
    let weights = options.network.open_weights()?;
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
    let backend = options.network.open_backend(&weights)?;
    let explainer =
        Explainer::new(backend, &weights, patterns.as_ref(), &methods, labels.clone(), options.seed)?;
    let fingerprints = Fingerprints {
        weights: Some(weights.digest()),
        patterns: patterns.as_ref().map(|patterns| patterns.digest()),
    };
    let identity = identity(options, &methods, &formats, &weights, target, &fingerprints);
    let resume = Resume::open(&options.output, &identity, options.overwrite)?;
    let mut run = Run {
        options,
        names: methods.iter().map(Method::to_string).collect(),
        formats,
        writer,
        manifest: ManifestWriter::new(&resume),
        progress: Progress::new(images.len(), options.quiet),
        counts: Counts { images: images.len() as u64, done: 0, failed: 0, kept: 0 },
        outputs: weights.network().outputs(),
        labels,
        resume,
    };
    let result = run.explain_all(&explainer, images).map_err(|failure| match failure {
        Failure::ReaderGone => Failure::Run(
            "standard output was closed by its reader: stopped; the same call goes on from here".to_owned(),
        ),
        failure => failure,
    });
    run.progress.finish();
    let Run { manifest, counts, resume, .. } = run;
    // Also after an error: what was written before it is kept and listed.
    let finished = manifest.finish();
    result?;
    finished?;
    let record = RunRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        options: recorded_options(options, &methods, &weights, patterns.as_deref()),
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

/// Pictures are encoded on the global pool; the network has one of its own.
fn limit_threads(options: &Options) -> Result<(), Failure> {
    let threads = options.network.threads();
    if threads == 0 {
        return Ok(());
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| {
        Failure::Run(format!("--threads {threads}: cannot start them ({error}); ask for fewer"))
    })
}

/// The images to explain.
fn inputs(options: &Options) -> Result<Vec<InputImage>, Failure> {
    let samples = [OsString::from("samples")];
    let given: &[OsString] = if !options.inputs.is_empty() {
        &options.inputs
    } else if Path::new(&samples[0]).is_dir() {
        &samples
    } else {
        let message = "no input: name images, directories or lists (there is no samples/ here)";
        return Err(Failure::Run(message.to_owned()));
    };
    let mut images = find(given)?.images;
    leave_outputs_out(&mut images, given, &options.output)?;
    if images.is_empty() {
        let given: Vec<String> = given.iter().map(|input| path_text(Path::new(input))).collect();
        return Err(Failure::Run(format!(
            "no images found in {}; name image files, or directories or lists with some",
            given.join(", ")
        )));
    }
    output_collisions(&images)?;
    row_collisions(&images)?;
    Ok(images)
}

/// Refuses images that would share a row of the manifest: the same file with two targets, once below a directory, or a
/// name that is not UTF-8 and another one that looks like its text.
fn row_collisions(images: &[InputImage]) -> Result<(), Failure> {
    let mut names = HashSet::with_capacity(images.len());
    match images.iter().map(input_name).find(|name| !names.insert(name.clone())) {
        None => Ok(()),
        Some(name) => Err(Failure::Run(format!(
            "two inputs are both called {name}; rename one, or use two output folders"
        ))),
    }
}

/// Leaves out what earlier runs wrote into an output folder below a directory that is searched: `vggx explain .` writes
/// pictures into `./explanations`, and must not explain them when it is called again.
fn leave_outputs_out(images: &mut Vec<InputImage>, given: &[OsString], output: &Path) -> Result<(), Failure> {
    let Ok(output_place) = output.canonicalize() else { return Ok(()) };
    for input in given {
        let directory = Path::new(input);
        let Ok(place) = directory.canonicalize() else { continue };
        if !place.is_dir() {
            continue;
        }
        if place == output_place {
            return Err(Failure::usage(format!(
                "the output folder {} is an input as well, and the next run would explain its pictures; choose another --output",
                path_text(output)
            )));
        }
        if let Ok(below) = output_place.strip_prefix(&place) {
            // Found files are named by their directory as it was given.
            let outputs: PathBuf = directory.join(below);
            images.retain(|image| !image.path.starts_with(&outputs));
        }
    }
    Ok(())
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

/// All that decides the outputs of an image, by option; what none of the methods and formats depends on is left out.
fn identity(
    options: &Options,
    methods: &[Method],
    formats: &[Format],
    weights: &Weights,
    target: Option<usize>,
    fingerprints: &Fingerprints,
) -> Identity {
    let mut identity = preprocessing(weights);
    let mut insert = |name: &str, value| identity.insert(name.to_owned(), value);
    insert("weights", json!(fingerprints.weights));
    // A label by its place: another file of labels may give it another one.
    insert("target", json!(target.map_or_else(|| options.target.to_string(), |target| target.to_string())));
    insert("resize", json!(options.resize));
    insert("crop", json!(options.crop));
    insert("precision", json!("f32"));
    if let Some(patterns) = &fingerprints.patterns {
        insert("patterns", json!(patterns));
    }
    if methods.iter().any(|method| method.needs_seed()) {
        insert("seed", json!(options.seed));
    }
    let heat_maps = methods.iter().any(|method| method.kind() == Kind::Attribution);
    if heat_maps && formats.contains(&Format::Png) {
        insert("gamma", json!(options.gamma));
    }
    identity
}

/// The preprocessing by the names of its options.
fn preprocessing(weights: &Weights) -> Identity {
    let values = weights.network().preprocessing.to_json();
    values.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect()
}

/// The options as `run.json` records them: what was used, defaults included.
fn recorded_options(
    options: &Options,
    methods: &[Method],
    weights: &Weights,
    patterns: Option<&Patterns>,
) -> Identity {
    let mut recorded = preprocessing(weights);
    let mut insert = |name: &str, value| recorded.insert(name.to_owned(), value);
    let inputs: Vec<String> = options.inputs.iter().map(|input| path_text(Path::new(input))).collect();
    insert("inputs", json!(inputs));
    insert("method", json!(methods.iter().map(Method::to_string).collect::<Vec<_>>()));
    insert("weights", json!(path_text(weights.file().path())));
    insert("patterns", json!(patterns.map(|patterns| path_text(patterns.file().path()))));
    insert("target", json!(options.target.to_string()));
    insert("labels", json!(options.labels.as_deref().map(path_text)));
    insert("output", json!(path_text(&options.output)));
    insert("format", json!(options.format));
    insert("gamma", json!(options.gamma));
    insert("resize", json!(options.resize));
    insert("crop", json!(options.crop));
    insert("max-pixels", json!(options.max_pixels));
    insert("device", json!(options.network.device));
    insert("precision", json!(options.network.precision));
    insert("threads", json!(options.network.threads));
    insert("batch", json!(options.batch));
    insert("seed", json!(options.seed));
    insert("overwrite", json!(options.overwrite));
    recorded
}

/// A run in progress.
struct Run<'a> {
    options: &'a Options,
    names: Vec<String>,
    formats: Vec<Format>,
    writer: Writer,
    manifest: ManifestWriter,
    progress: Progress,
    counts: Counts,
    /// Of the network.
    outputs: usize,
    labels: Option<Vec<String>>,
    resume: Resume,
}

/// An image that was loaded, with its place among the inputs.
struct Loaded {
    position: u64,
    input: InputImage,
    image: Rgb8,
}

impl Run<'_> {
    fn explain_all(&mut self, explainer: &Explainer, images: Vec<InputImage>) -> Result<(), Failure> {
        let mut todo = Vec::new();
        let mut positions = Vec::new();
        for (position, input) in images.into_iter().enumerate() {
            let name = input_name(&input);
            self.refuse_other_key(&name, &input)?;
            let missing = self.resume.missing(&name, &input.stem(), &self.names, &self.formats)?;
            if missing.is_empty() {
                self.manifest.keep(position as u64, &name);
                self.print_kept(&name)?;
                self.counts.kept += 1;
                self.progress.advance(1);
            } else {
                todo.push(input);
                positions.push(position as u64);
            }
        }
        let load = LoadOptions {
            resize: self.options.resize,
            crop: self.options.crop,
            max_pixels: self.options.max_pixels,
        };
        let batch_size = self.batch_size(explainer);
        let threads = match self.options.network.threads() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let loaded = prefetch(todo, load, threads, lookahead(batch_size, self.options.crop));
        let mut batch = Vec::with_capacity(batch_size);
        for (position, (input, image)) in positions.into_iter().zip(loaded) {
            match image {
                Ok(image) => batch.push(Loaded { position, input, image }),
                Err(error) => self.refuse(position, &input, &error.problem)?,
            }
            if batch.len() == batch_size {
                self.explain_batch(explainer, std::mem::take(&mut batch))?;
            }
        }
        if !batch.is_empty() {
            self.explain_batch(explainer, batch)?;
        }
        Ok(())
    }

    /// Whoever reads the rows wants those of all inputs, whichever run explained them.
    fn print_kept(&self, name: &str) -> Result<(), Failure> {
        match self.resume.row(name)? {
            Some(row) if self.options.json => self.print(&serde_json::to_string(&row)?),
            _ => Ok(()),
        }
    }

    fn print(&self, line: &str) -> Result<(), Failure> {
        self.progress.suspend(|| print(line))
    }

    /// With `--target key` every input has a target of its own, which the identity of the run does not hold.
    fn refuse_other_key(&self, name: &str, input: &InputImage) -> Result<(), Failure> {
        if self.options.target != Target::Key || self.options.overwrite {
            return Ok(());
        }
        let Some(row) = self.resume.row(name)?.filter(|row| row.files().next().is_some()) else {
            return Ok(());
        };
        let key = input.target.as_deref();
        let same = match (row.key.as_deref().map(fixed), self.output_of(key)) {
            // An output by another name is the same output.
            (None | Some(true), Some(output)) => row.target == Some(output as u64),
            _ => row.key.is_some() && row.key.as_deref() == key,
        };
        if same {
            return Ok(());
        }
        let text = |key: &str| format!("target '{key}'");
        let output = row.target.map_or_else(String::new, |output| format!(" (output {output})"));
        Err(Failure::Run(format!(
            "{name}: it now comes with {}, but {} holds its explanations for {}{output}; use --overwrite or another --output",
            key.map_or_else(|| "no target".to_owned(), text),
            path_text(&self.options.output),
            row.key.as_deref().map_or_else(|| "another target".to_owned(), text),
        )))
    }

    /// The output that a key means for any image; none when it depends on the image or does not exist.
    fn output_of(&self, key: Option<&str>) -> Option<usize> {
        let key = key.filter(|key| fixed(key))?;
        Target::Key.resolve(&vec![0.0; self.outputs], self.labels.as_deref(), Some(key)).ok()
    }

    /// The batch that was asked for, or the backend's choice, smaller for larger crops.
    fn batch_size(&self, explainer: &Explainer) -> usize {
        let preferred = explainer.backend().preferred_batch();
        let larger =
            u64::from(self.options.crop).pow(2).div_ceil(u64::from(resize::DEFAULT_CROP).pow(2)) as usize;
        self.options.batch.map_or((preferred / larger).max(1), usize::from)
    }

    fn explain_batch(&mut self, explainer: &Explainer, batch: Vec<Loaded>) -> Result<(), Failure> {
        let size = (batch[0].image.height, batch[0].image.width);
        let inputs: Vec<Input> = batch
            .iter()
            .map(|loaded| Input { pixels: &loaded.image.pixels, key: loaded.input.target.as_deref() })
            .collect();
        let results = explainer
            .explain(size, &inputs, &self.options.target)
            .map_err(|error| Failure::Run(format!("{error}; see --resize and --crop")))?;
        // Encoding pictures takes as long as a good part of the computing: all images of the batch at once.
        let written: Vec<_> = batch
            .par_iter()
            .zip(results)
            .map(|(loaded, result)| result.map(|explained| self.write(loaded, explained, size)))
            .collect();
        for (loaded, result) in batch.iter().zip(written) {
            match result {
                Ok(row) => self.note(loaded.position, row?)?,
                Err(error) => self.refuse(loaded.position, &loaded.input, &error)?,
            }
        }
        Ok(())
    }

    /// Writes one image's explanations and gives its row.
    fn write(
        &self,
        loaded: &Loaded,
        explained: Explained,
        (height, width): (usize, usize),
    ) -> Result<Row, OutputError> {
        let name = input_name(&loaded.input);
        let kept = if self.options.overwrite { Vec::new() } else { self.resume.kept_methods(&name)? };
        let explanations: Vec<Explanation> = explained
            .explanations
            .into_iter()
            .map(|explanation| Explanation {
                method: explanation.method.to_string(),
                rendering: match explanation.method.kind() {
                    Kind::Signal => Rendering::Signal,
                    Kind::Attribution => Rendering::HeatMap,
                },
                height,
                width,
                values: explanation.values,
                scale_log2: explanation.scale_log2,
            })
            .collect();
        let files = self.writer.write(&loaded.input.stem(), &explanations, &kept)?;
        let mut row = Row::explained(name, files);
        row.target = Some(explained.target as u64);
        row.label = explained.label;
        if self.options.target == Target::Key {
            row.key = loaded.input.target.clone();
        }
        row.response = Some(f64::from(explained.response));
        row.probability = explained.probability;
        Ok(row)
    }

    fn note(&mut self, position: u64, row: Row) -> Result<(), Failure> {
        let row = self.manifest.append(position, row)?;
        self.counts.done += 1;
        self.print(&if self.options.json { serde_json::to_string(&row)? } else { describe(&row) })?;
        self.progress.advance(1);
        Ok(())
    }

    /// Tells that an input failed and goes on. The reason does not name the input: its name comes before it, or is the
    /// row's.
    fn refuse(&mut self, position: u64, input: &InputImage, reason: &dyn Error) -> Result<(), Failure> {
        let name = input_name(input);
        self.progress.line(&format!("error: {name}: {reason}"));
        let row = self.manifest.append(position, Row::failed(name, reason.to_string()))?;
        self.counts.failed += 1;
        if self.options.json {
            self.print(&serde_json::to_string(&row)?)?;
        }
        self.progress.advance(1);
        Ok(())
    }
}

/// Images to load ahead: those of the next two batches, unless so many crops would fill the memory.
fn lookahead(batch_size: usize, crop: u32) -> usize {
    let crop_bytes = 3 * u64::from(crop).pow(2);
    let fitting = usize::try_from(LOOKAHEAD_BYTES / crop_bytes.max(1)).unwrap_or(usize::MAX);
    (2 * batch_size).min(fitting).max(1)
}

/// Whether a key means the same output for all images.
fn fixed(key: &str) -> bool {
    matches!(key.parse(), Ok(Target::Index(_) | Target::Label(_)))
}

/// What the manifest calls an input: its path, without a leading `./`, so that both ways of writing it are one input.
fn input_name(input: &InputImage) -> String {
    path_text(input.path.strip_prefix(".").unwrap_or(&input.path))
}

/// A row for people.
fn describe(row: &Row) -> String {
    let target = row.target.map_or_else(String::new, |target| target.to_string());
    let label = row.label.as_deref().map_or_else(String::new, |label| format!(" ({label})"));
    let response = match (row.probability, row.response) {
        (Some(probability), _) => format!(", probability {probability:.4}"),
        (None, Some(response)) => format!(", response {response:.4}"),
        (None, None) => String::new(),
    };
    format!("{}: target {target}{label}{response}", row.input)
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

#[cfg(test)]
mod tests {
    use super::lookahead;

    #[test]
    fn crops_that_are_loaded_ahead_are_bounded_in_bytes() {
        assert_eq!(lookahead(8, 224), 16);
        assert_eq!(lookahead(1, 16_384), 1);
        assert_eq!(lookahead(usize::from(u16::MAX), 224), 1783);
        assert!(lookahead(64, 4096) as u64 * 3 * 4096 * 4096 <= super::LOOKAHEAD_BYTES);
    }
}
