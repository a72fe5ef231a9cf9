//! From options to files.

use super::document::{Document, PatternFile};
use super::source::{Source, Sums};
use super::summing::Summing;
use super::{Options, plot, table};
use crate::cli::exit::{Failure, Outcome, print};
use crate::cli::plotted::PlottedFiles;
use crate::cli::progress::say;
use crate::evaluate::quality::{Candidates, LayerQuality, QualityOptions, check_memory, quality};
use crate::images::{InputImage, Shard};
use crate::network::ParametricLayer;
use crate::output::path_text;
use crate::patterns::{Centering, MomentFile, Patterns, SolveOptions, solve};
use crate::setup::find_patterns;
use crate::weights::{TensorFile, Weights};
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Parts that `--split` makes.
const PARTS: u64 = 3;

/// Measures what the options ask for.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    options.images.validate(options.crops)?;
    options.device.limit_threads()?;
    Candidates::check_names(&options.estimators).map_err(Failure::usage)?;
    let files = PlottedFiles::of(&options.output)?;
    files.prepare(options.overwrite)?;
    let weights = options.weights.open(options.quiet)?;
    let given = Given::look(options, &weights)?;
    files.differ_from(given.read(options, &weights))?;
    given.check_memory(options, &weights)?;
    let mut summing = Summing::new(options, &weights);
    let sets = given.sums(&mut summing, &files.json)?;
    let failed = summing.failed;
    drop(summing);
    measure(options, &weights, &sets, &files)?;
    Ok(if failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// What the options name, opened and checked: all that can be refused without work is.
struct Given {
    patterns: Vec<Patterns>,
    /// Moments, or images to make them of.
    evaluated: Set,
    /// None: v is fitted on what is evaluated, or on a part of it.
    fitted: Option<Set>,
    split: bool,
}

enum Set {
    Sums(Sums),
    Images(Vec<InputImage>),
}

/// The three sets of images, or what was learnt from them.
struct Sets {
    patterns: Vec<Patterns>,
    fitted: Option<Sums>,
    evaluated: Sums,
    /// Whether the patterns are in files that stay.
    patterns_are_kept: bool,
}

impl Given {
    fn look(options: &Options, weights: &Weights) -> Result<Self, Failure> {
        let patterns = if options.split { Vec::new() } else { open_patterns(options, weights)? };
        if !options.split {
            candidates(options, &patterns, weights)?;
        }
        let evaluated = match options.moments.as_slice() {
            [] => Set::Images(Summing::find(&options.images.given()?)?),
            paths => Set::Sums(Sums::open(paths, weights)?),
        };
        let fitted = match (moment_files(&options.fit)?, options.fit.as_slice()) {
            (Some(paths), _) => Some(Set::Sums(Sums::open(&paths, weights)?)),
            (None, []) => None,
            (None, inputs) => Some(Set::Images(Summing::find(inputs)?)),
        };
        Ok(Given { patterns, evaluated, fitted, split: options.split })
    }

    /// All files that are read, with what they are called.
    fn read<'a>(&'a self, options: &'a Options, weights: &'a Weights) -> Vec<(&'a str, &'a Path)> {
        let mut read: Vec<(&str, &Path)> = vec![("the weights", weights.path())];
        read.extend(options.moments.iter().map(|path| ("--moments", path.as_path())));
        read.extend(options.patterns.iter().map(|path| ("--patterns", path.as_path())));
        read.extend(options.fit.iter().map(|input| ("--fit", Path::new(input))));
        for set in [Some(&self.evaluated), self.fitted.as_ref()].into_iter().flatten() {
            if let Set::Images(images) = set {
                read.extend(images.iter().map(|image| ("the input", image.path.as_path())));
            }
        }
        read
    }

    /// Says how much memory is needed once the sums are there, and refuses where there is less: before images are read. Those
    /// that will fail count too.
    fn check_memory(&self, options: &Options, weights: &Weights) -> Result<(), Failure> {
        let fitted = self.fitted.is_some() || self.split;
        let positions: Vec<f64> = match self.fitted.as_ref().unwrap_or(&self.evaluated) {
            Set::Sums(sums) => {
                let source = sums.source(|_| {})?;
                (0..source.layers.layer_count()).map(|layer| source.layers.positions(layer)).collect()
            }
            Set::Images(images) => {
                let parts = if self.split { PARTS as usize } else { 1 };
                let crops = images.len().div_ceil(parts) * options.crops.unwrap_or(1) as usize;
                let side = options.images.crop as usize;
                let extents = weights
                    .network()
                    .extents(side, side)
                    .map_err(|error| Failure::Run(format!("{error}; see --resize and --crop")))?;
                let of_layer = |(index, layer): (usize, ParametricLayer)| match layer {
                    ParametricLayer::Convolution(_) => extents[index].height * extents[index].width,
                    ParametricLayer::Dense(_) => 1,
                };
                weights.network().parametric().map(|layer| (crops * of_layer(layer)) as f64).collect()
            }
        };
        // Those of --split are not known yet.
        let estimators = match self.split {
            true => 5,
            false => candidates(options, &self.patterns, weights)?.held.len(),
        };
        let needed = check_memory(weights.network(), estimators, fitted, |layer| positions[layer])?;
        if let Some((layer, bytes)) = needed {
            let needed = bytes.div_ceil(1 << 20);
            say(
                options.quiet,
                &format!("measuring will take up to {needed} MiB of memory besides sums, for {layer}"),
            );
        }
        Ok(())
    }

    /// Sums over what is images yet; patterns of a set that is parted are made in a folder beside a file.
    fn sums(self, summing: &mut Summing, beside: &Path) -> Result<Sets, Failure> {
        if let (true, Set::Images(images)) = (self.split, &self.evaluated) {
            let part = |index| Shard::new(index, PARTS).map_err(Failure::from);
            let learnt = summing.sum("to learn patterns from", images, part(0)?, false)?;
            let patterns = solve_both(&learnt, summing.weights, beside)?;
            drop(learnt);
            let fitted = Some(summing.sum("to fit v on", images, part(1)?, true)?);
            let evaluated = summing.sum("to take ρ on", images, part(2)?, true)?;
            return Ok(Sets { patterns, fitted, evaluated, patterns_are_kept: false });
        }
        let mut sum = |set, what| match set {
            Set::Sums(sums) => Ok(sums),
            Set::Images(images) => summing.sum(what, &images, Shard::WHOLE, true),
        };
        let fitted = self.fitted.map(|set| sum(set, "to fit v on")).transpose()?;
        let evaluated = sum(self.evaluated, "to take ρ on")?;
        Ok(Sets { patterns: self.patterns, fitted, evaluated, patterns_are_kept: true })
    }
}

/// Measures, writes and tells.
fn measure(options: &Options, weights: &Weights, sets: &Sets, files: &PlottedFiles) -> Result<(), Failure> {
    let candidates = candidates(options, &sets.patterns, weights)?;
    for missing in &candidates.missing {
        warn(options, &format!("'{}' is not measured: {}", missing.estimator, missing.reason));
    }
    let fitted = sets.fitted.as_ref().map(|sums| sums.source(|notice| warn(options, notice))).transpose()?;
    let evaluated = sets.evaluated.source(|notice| warn(options, notice))?;
    warn_of_shared_images(options, &sets.patterns, fitted.as_ref(), &evaluated);
    let measured = QualityOptions {
        weights,
        candidates: &candidates.held,
        evaluated: &*evaluated.layers,
        fitted: fitted.as_ref().map(|source| &*source.layers),
    };
    let titles = weights.network().titles();
    let mut done = 0;
    let report = quality(&measured, |layer| {
        done += 1;
        let title = titles.get(done - 1).map_or("", String::as_str);
        say(options.quiet, &format!("{title} ({done} of {}): {:.1} s", titles.len(), layer.seconds));
    })?;
    report.layers.iter().for_each(|layer| warn_of_undefined(options, layer));
    let patterns = sets.patterns.iter();
    let document = Document {
        layers: &report.layers,
        evaluated: evaluated.description.clone(),
        fit: fitted.as_ref().map(|source| source.description.clone()),
        patterns: patterns
            .map(|patterns| PatternFile::of(patterns, &candidates.held, sets.patterns_are_kept))
            .collect(),
        weights: weights.digest(),
        seed: options.seed,
        version: env!("CARGO_PKG_VERSION"),
    };
    let json = serde_json::to_string(&document)?;
    let plot = plot::plot(&report.layers, &titles, fitted.is_some());
    files.write(&json, &plot.svg()?, &plot.png()?)?;
    if options.json {
        return print(&json);
    }
    table::lines(&report.layers, &titles, fitted.is_some()).iter().try_for_each(|line| print(line))
}

/// The inputs of `--fit` where they are moment files, by what they hold: all of them or none.
fn moment_files(inputs: &[OsString]) -> Result<Option<Vec<PathBuf>>, Failure> {
    let paths: Vec<PathBuf> = inputs.iter().map(PathBuf::from).collect();
    let is_one = |path: &&PathBuf| {
        let named = path.extension().is_some_and(|extension| extension == "safetensors");
        named || path.is_file() && TensorFile::open(path).is_ok_and(|file| MomentFile::is_one(&file))
    };
    match paths.iter().filter(is_one).count() {
        0 => Ok(None),
        count if count == paths.len() => Ok(Some(paths)),
        _ => Err(Failure::usage("--fit takes images or moment files, not both")),
    }
}

/// The pattern files that were named, or the bundled one of the bundled weights.
fn open_patterns(options: &Options, weights: &Weights) -> Result<Vec<Patterns>, Failure> {
    let mut paths = options.patterns.clone();
    if paths.is_empty() {
        // Random directions and weights can be measured without any.
        paths.extend(find_patterns(None, weights.path(), None).ok().flatten());
    }
    Ok(paths.iter().map(|path| Patterns::open(path, weights)).collect::<Result<_, _>>()?)
}

fn candidates<'a>(
    options: &Options,
    patterns: &'a [Patterns],
    weights: &Weights,
) -> Result<Candidates<'a>, Failure> {
    let layers = weights.network().parametric().count();
    let all = Candidates::all(patterns, layers, options.seed)?;
    match options.estimators.as_slice() {
        [] => Ok(all),
        names => all.choose(names).map_err(Failure::usage),
    }
}

/// Patterns of both centerings. Their files are removed when nobody maps them any more.
fn solve_both(sums: &Sums, weights: &Arc<Weights>, beside: &Path) -> Result<Vec<Patterns>, Failure> {
    let folder = beside.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new().prefix(".vggx-").tempdir_in(folder)?;
    let Sums::Made(moments, record) = sums else { return Ok(Vec::new()) };
    [Centering::Global, Centering::Regime]
        .into_iter()
        .map(|centering| {
            let path = folder.path().join(format!("{centering}.safetensors"));
            let options = SolveOptions { centering, ..SolveOptions::default() };
            solve(moments, record, weights, &options, &path)?;
            Ok(Patterns::open(&path, weights)?)
        })
        .collect()
}

/// The three-set rule: patterns, v and ρ from images of their own.
fn warn_of_shared_images(
    options: &Options,
    patterns: &[Patterns],
    fitted: Option<&Source>,
    evaluated: &Source,
) {
    match fitted {
        None => say(options.quiet, "v is fitted on the images that ρ is taken on; --fit takes others"),
        Some(fitted) if fitted.overlaps(evaluated) => {
            warn(options, "v is fitted on images that ρ is taken on too: ρ is in sample, and too low");
        }
        Some(_) => {}
    }
    for file in patterns {
        let run: Option<Map<String, Value>> =
            file.metadata("run").and_then(|run| serde_json::from_str(run).ok());
        let sets = [(fitted, "v is fitted"), (Some(evaluated), "ρ is taken")];
        for (set, what) in sets.into_iter().filter_map(|(set, what)| Some((set?, what))) {
            let checksums = set.layers.checksums();
            let shared =
                file.moments().is_some_and(|moments| moments.iter().any(|sum| checksums.contains(sum)));
            if shared || run.as_ref().is_some_and(|run| set.is_of_run(run)) {
                let path = path_text(file.path());
                warn(
                    options,
                    &format!("{path} was learnt from images that {what} on too: its ρ is too high"),
                );
            }
        }
    }
}

fn warn_of_undefined(options: &Options, layer: &LayerQuality) {
    for undefined in layer.undefined() {
        let of = undefined.estimator.map_or_else(String::new, |estimator| format!("of '{estimator}' "));
        let name: String = undefined.layer.chars().take(40).flat_map(char::escape_debug).collect();
        warn(options, &format!("{name}: no ρ {of}for {} neurons: {}", undefined.neurons, undefined.reason));
    }
}

fn warn(options: &Options, text: &str) {
    say(options.quiet, &format!("warning: {text}"));
}
