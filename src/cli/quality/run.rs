//! From options to files.

use super::document::{Document, PatternFile};
use super::samples::{Source, Sums};
use super::sums::Summing;
use super::{Options, plot, table};
use crate::cli::exit::{Failure, Outcome, print};
use crate::cli::patterns::{distinct_places, prepare_place};
use crate::evaluate::quality::{
    Candidates, LayerQuality, QualityOptions, QualityReport, memory_needed, quality,
};
use crate::images::Shard;
use crate::output::{path_text, write_file};
use crate::patterns::{Centering, Patterns, SolveOptions, solve};
use crate::weights::{Weights, bundled};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Parts that `--split` makes.
const PARTS: u64 = 3;

/// Measures what the options ask for.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    options.images.validate(options.crops)?;
    options.device.limit_threads()?;
    let files = Files::of(&options.output)?;
    files.prepare(options.overwrite)?;
    let weights = options.weights.open()?;
    let mut summing = Summing::new(options, &weights);
    let fitted_files = moment_files(&options.fit)?;

    // All that can be refused without work is.
    let stored = match options.split {
        true => Vec::new(),
        false => open_patterns(options, &weights)?,
    };
    if !options.split {
        candidates(options, &stored, &weights)?;
    }
    let evaluated_files = match options.moments.as_slice() {
        [] => None,
        paths => Some(Sums::open(paths, &weights)?),
    };
    let fitted_files = fitted_files.map(|paths| Sums::open(&paths, &weights)).transpose()?;
    let images = match (&evaluated_files, options.split) {
        (Some(_), _) => Vec::new(),
        _ => Summing::find(&options.images.given()?)?,
    };
    let to_fit = match (&fitted_files, options.fit.as_slice()) {
        (None, [_, ..]) => Some(Summing::find(&options.fit)?),
        _ => None,
    };

    let (patterns, fitted, evaluated) = if options.split {
        let part = |index| Shard::new(index, PARTS).map_err(Failure::from);
        let learnt = summing.sum("to learn patterns from", &images, part(0)?, false)?;
        let patterns = solve_both(&learnt, &weights, &files.json)?;
        drop(learnt);
        let fitted = summing.sum("to fit v on", &images, part(1)?, true)?;
        let evaluated = summing.sum("to take ρ on", &images, part(2)?, true)?;
        (patterns, Some(fitted), evaluated)
    } else {
        let fitted = match (fitted_files, &to_fit) {
            (None, Some(images)) => Some(summing.sum("to fit v on", images, Shard::WHOLE, true)?),
            (files, _) => files,
        };
        let evaluated = match evaluated_files {
            Some(files) => files,
            None => summing.sum("to take ρ on", &images, Shard::WHOLE, true)?,
        };
        (stored, fitted, evaluated)
    };
    let failed = summing.failed;
    drop(summing);
    let candidates = candidates(options, &patterns, &weights)?;
    for missing in &candidates.missing {
        warn(options, &format!("'{}' is not measured: {}", missing.estimator, missing.reason));
    }
    let fitted = fitted.as_ref().map(|sums| sums.source(|notice| warn(options, notice))).transpose()?;
    let evaluated = evaluated.source(|notice| warn(options, notice))?;
    match &fitted {
        None => say(options, "v is fitted on the images that ρ is taken on; --fit takes others"),
        Some(fitted) if same_images(fitted, &evaluated) => {
            warn(options, "v is fitted on the very images that ρ is taken on: ρ is in sample, and too low");
        }
        Some(_) => {}
    }
    if let Some((layer, bytes)) = memory_needed(weights.network(), candidates.held.len(), fitted.is_some()) {
        say(options, &format!("up to {} MiB of memory are needed, for {layer}", bytes.div_ceil(1 << 20)));
    }
    let measured = QualityOptions {
        weights: &weights,
        candidates: &candidates.held,
        evaluated: &*evaluated.layers,
        fitted: fitted.as_ref().map(|source| &*source.layers),
    };
    let titles = weights.network().titles();
    let mut done = 0;
    let report = quality(&measured, |layer| {
        done += 1;
        let title = titles.get(done - 1).map_or("", String::as_str);
        say(options, &format!("{title} ({done} of {}): {:.1} s", titles.len(), layer.time.as_secs_f64()));
    })?;
    report.layers.iter().for_each(|layer| warn_of_undefined(options, layer));
    let document = Document {
        layers: &report.layers,
        evaluated: evaluated.description.clone(),
        fit: fitted.as_ref().map(|source| source.description.clone()),
        patterns: patterns.iter().map(|patterns| PatternFile::of(patterns, !options.split)).collect(),
        weights: weights.digest(),
        seed: options.seed,
        version: env!("CARGO_PKG_VERSION"),
    };
    let json = serde_json::to_string(&document)?;
    files.write(&json, &report, &titles, fitted.is_some())?;
    if options.json {
        print(&json)?;
    } else {
        table::lines(&report.layers, &titles, fitted.is_some()).iter().try_for_each(|line| print(line))?;
    }
    Ok(if failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// The files that are written.
struct Files {
    json: PathBuf,
    png: PathBuf,
    svg: PathBuf,
}

impl Files {
    fn of(output: &Path) -> Result<Self, Failure> {
        let beside = |extension| output.with_extension(extension);
        let files = Files { json: output.to_owned(), png: beside("png"), svg: beside("svg") };
        if [&files.png, &files.svg].contains(&&files.json) {
            return Err(Failure::usage(format!(
                "{} is the name of a plot; name the JSON file, and the plots get its name with .png and .svg",
                path_text(output)
            )));
        }
        Ok(files)
    }

    fn all(&self) -> [&Path; 3] {
        [&self.json, &self.png, &self.svg]
    }

    /// Creates the folder, and refuses to lose files.
    fn prepare(&self, overwrite: bool) -> Result<(), Failure> {
        for path in self.all() {
            prepare_place(path)?;
        }
        distinct_places(&self.all())?;
        match self.all().into_iter().find(|path| path.exists() && !overwrite) {
            None => Ok(()),
            Some(path) => Err(Failure::Run(format!(
                "{} is there already; name another --output, or use --overwrite",
                path_text(path)
            ))),
        }
    }

    /// The plots first: a JSON file says that all is done.
    fn write(
        &self,
        json: &str,
        report: &QualityReport,
        titles: &[String],
        fitted: bool,
    ) -> Result<(), Failure> {
        let plot = plot::plot(&report.layers, titles, fitted);
        write_file(&self.svg, plot.svg()?.as_bytes())?;
        write_file(&self.png, &plot.png()?)?;
        write_file(&self.json, format!("{json}\n").as_bytes())?;
        Ok(())
    }
}

/// The inputs of `--fit` where they are moment files: all of them or none.
fn moment_files(inputs: &[OsString]) -> Result<Option<Vec<PathBuf>>, Failure> {
    let paths: Vec<PathBuf> = inputs.iter().map(PathBuf::from).collect();
    let is_one = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "safetensors");
    match paths.iter().filter(is_one).count() {
        0 => Ok(None),
        count if count == paths.len() => Ok(Some(paths)),
        _ => Err(Failure::usage("--fit takes images or moment files (.safetensors), not both")),
    }
}

/// The pattern files that were named, or the bundled one of the bundled weights.
fn open_patterns(options: &Options, weights: &Weights) -> Result<Vec<Patterns>, Failure> {
    let mut paths = options.patterns.clone();
    if paths.is_empty() && options.weights.are_bundled() {
        paths.extend(bundled::patterns());
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

/// Whether two sets are known to be of the same images.
fn same_images(one: &Source, other: &Source) -> bool {
    let (checksums, others) = (one.layers.checksums(), other.layers.checksums());
    if !checksums.is_empty() || !others.is_empty() {
        return checksums == others;
    }
    one.description.images == other.description.images && one.description.run == other.description.run
}

fn warn_of_undefined(options: &Options, layer: &LayerQuality) {
    for undefined in layer.undefined() {
        let of = undefined.estimator.map_or_else(String::new, |estimator| format!("'{estimator}' of "));
        let name: String = undefined.layer.chars().take(40).flat_map(char::escape_debug).collect();
        warn(options, &format!("{name}: no ρ {of}for {} neurons: {}", undefined.neurons, undefined.reason));
    }
}

fn warn(options: &Options, text: &str) {
    say(options, &format!("warning: {text}"));
}

/// Tells something on standard error.
fn say(options: &Options, text: &str) {
    if !options.quiet {
        // Nothing can be done when standard error is closed or full.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
