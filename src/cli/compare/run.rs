//! From options to a figure.

use super::Options;
use super::columns::{Columns, Group, merge_equal};
use super::note::{note, title};
use crate::cli::drawing::{Drawing, Drawn, explain_all, load_all};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::images::ImageOptions;
use crate::cli::places::{prepare_place, refuse_to_write_over};
use crate::cli::progress::{Progress, say};
use crate::cli::targets::{distinct, fixed_target};
use crate::explain::{Explainer, Method};
use crate::images::InputImage;
use crate::output::figure::{Caption, Figure, FigureFormat, Layout, Row, fitted};
use crate::output::{path_text, write_file};
use crate::patterns::Patterns;
use crate::setup::{OpenedDevice, find_labels, find_patterns};
use crate::weights::Weights;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Draws the figure that the options ask for.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let started = Instant::now();
    options.images.validate(None)?;
    let format = match options.format {
        Some(format) => format,
        None => FigureFormat::of(&options.output).map_err(Failure::usage)?,
    };
    options.device.limit_threads()?;
    prepare_place(&options.output)?;
    if options.output.exists() && !options.overwrite {
        return Err(Failure::Run(format!(
            "{} is there already; name another --output, or use --overwrite",
            path_text(&options.output)
        )));
    }
    let images = ImageOptions::find(&options.images.given()?, |_| Ok(()))?;
    let count = images.len();
    let weights = options.weights.open(options.quiet)?;
    let labels = find_labels(options.labels.as_deref(), &weights)?;
    fixed_target(&options.target, &weights, labels.as_deref())?;
    let patterns = open_patterns(options, &weights)?;
    refuse_to_write_over(read(options, &weights, &patterns, &images), [("--output", &*options.output)])?;
    let methods = methods(options, !patterns.is_empty());
    let columns = Columns::plan(&methods, &patterns);
    if format != FigureFormat::Html {
        Layout::check_size(count, columns.len() + 1, (options.side(), options.side()))?;
    }

    let drawn = draw(options, images, &columns, &weights, labels)?;
    if drawn.is_empty() {
        return Err(Failure::Run("every input failed, each for the reason given above".to_owned()));
    }
    let failed = count - drawn.len();
    let figure = figure(options, &columns, &methods, drawn);
    write_file(&options.output, &figure.encode(format)?)?;
    let (rows, columns) = (figure.rows.len(), figure.columns.len());
    let failed_text = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    say(
        options.quiet,
        &format!(
            "{}: {rows} rows, {columns} columns{failed_text}, {:.1} s",
            path_text(&options.output),
            started.elapsed().as_secs_f64()
        ),
    );
    Ok(if failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// The images that could be explained with the methods of all groups, and their pictures.
fn draw(
    options: &Options,
    images: Vec<InputImage>,
    columns: &Columns,
    weights: &Arc<Weights>,
    labels: Option<Vec<String>>,
) -> Result<Vec<Drawn>, Failure> {
    let mut progress = Progress::new(Some(images.len() * columns.groups.len()), options.quiet);
    let mut drawn = load_all(images, &options.images, &mut progress);
    let drawing = Drawing { gamma: options.gamma, overlay: options.overlay };
    for (number, Group { patterns, methods }) in columns.groups.iter().enumerate() {
        // One after the other: each takes the device's memory.
        let OpenedDevice { backend, notice, .. } =
            options.device.open(weights, options.batch.map(usize::from))?;
        notice.iter().filter(|_| number == 0).for_each(|notice| progress.notice(notice));
        let explainer =
            Explainer::new(backend, weights, patterns.as_ref(), methods, labels.clone(), options.seed)?;
        let explainer = explainer.with_heat_maps();
        let batch = options.images.batch_size(options.batch, explainer.backend().preferred_batch());
        explain_all(&mut drawn, &explainer, &options.target, batch, drawing, &mut progress)?;
    }
    progress.finish();
    Ok(drawn)
}

/// The methods that were named, each once, or those of the paper that can be had.
fn methods(options: &Options, with_patterns: bool) -> Vec<Method> {
    if options.methods.is_empty() {
        let mut methods = vec![Method::Gradient, Method::DeconvNet, Method::GuidedBackprop];
        methods.extend(Method::DEFAULT.into_iter().filter(|_| with_patterns));
        return methods;
    }
    distinct(&options.methods)
}

/// The pattern files that were named, or the bundled one of the bundled weights; none where no method needs one.
fn open_patterns(options: &Options, weights: &Weights) -> Result<Vec<Arc<Patterns>>, Failure> {
    let default_methods = options.methods.is_empty();
    if !default_methods && !options.methods.iter().any(|method| method.needs_patterns()) {
        return Ok(Vec::new());
    }
    let mut paths: Vec<PathBuf> = options.patterns.clone();
    if paths.is_empty() {
        let bundled = find_patterns(None, weights.path(), None);
        paths.extend(if default_methods { bundled.ok().flatten() } else { bundled? });
    }
    Ok(paths.iter().map(|path| Patterns::open(path, weights).map(Arc::new)).collect::<Result<_, _>>()?)
}

/// All files that are read, with what they are called.
fn read<'a>(
    options: &'a Options,
    weights: &'a Weights,
    patterns: &'a [Arc<Patterns>],
    images: &'a [InputImage],
) -> impl Iterator<Item = (&'a str, &'a Path)> {
    let files = [("the weights", weights.path())].into_iter();
    files
        .chain(patterns.iter().map(|patterns| ("--patterns", patterns.path())))
        .chain(options.labels.iter().map(|path| ("--labels", path.as_path())))
        .chain(images.iter().map(|image| ("the input", image.path.as_path())))
}

fn figure(options: &Options, columns: &Columns, methods: &[Method], drawn: Vec<Drawn>) -> Figure {
    let side = options.side();
    let names: Vec<String> = drawn.iter().map(|drawn| path_text(&drawn.input.name)).collect();
    let mut rows: Vec<Row> = drawn
        .iter()
        .zip(&names)
        .map(|(drawn, name)| {
            let pictures = columns.places().map(|place| &drawn.pictures[place]);
            let told = drawn.told.iter().flat_map(|told| [told.target(), told.response()]);
            Row {
                caption: Caption { title: name.clone(), details: told.collect() },
                cells: [&drawn.image]
                    .into_iter()
                    .chain(pictures)
                    .map(|picture| fitted(picture, side))
                    .collect(),
            }
        })
        .collect();
    let input = Caption { title: "input".to_owned(), details: Vec::new() };
    let mut captions: Vec<Caption> = [input].into_iter().chain(columns.captions()).collect();
    merge_equal(&mut captions, &mut rows);
    Figure { title: title(&names), columns: captions, rows, note: note(options, methods) }
}
