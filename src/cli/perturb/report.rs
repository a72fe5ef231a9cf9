//! The report: a page with the curves, and every image with its explanations.

use super::Options;
use super::document::{Document, ImageEntry, Summary};
use crate::cli::drawing::{Drawing, Drawn, Told, explain_all, load_all};
use crate::cli::exit::Failure;
use crate::cli::images::input_name;
use crate::cli::places::{prepare_place, refuse_to_write_over};
use crate::cli::progress::Progress;
use crate::evaluate::perturb::{Curve, Mode};
use crate::explain::Explainer;
use crate::images::InputImage;
use crate::output::plot::CurvePlot;
use crate::output::report::{Report, ReportImage, Score, Series, Thumbnail};
use crate::output::{path_text, write_file};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Images that a report shows: a page with more is slow to open.
const SHOWN: usize = 200;
/// Heat maps are drawn as by `explain`.
const DRAWING: Drawing = Drawing { gamma: 0.5, overlay: false };

/// Creates the report's folder, and refuses to lose a file that is read, or one that is no report.
pub fn prepare<'a>(
    path: &'a Path,
    options: &Options,
    read: impl IntoIterator<Item = (&'a str, &'a Path)>,
) -> Result<(), Failure> {
    refuse_to_write_over(read, [("--report", path)])?;
    prepare_place(path)?;
    if path.exists() && !options.overwrite && !is_page(path) {
        return Err(Failure::Run(format!(
            "{} is there already, and is not a report; name another --report, or use --overwrite",
            path_text(path)
        )));
    }
    Ok(())
}

/// Whether a file is a page that this program wrote.
fn is_page(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && String::from_utf8_lossy(&start).contains("name=\"generator\" content=\"vggx")
}

/// What a run has measured.
pub struct Measured<'a> {
    pub document: &'a Document,
    pub summaries: &'a [Summary],
    pub plot: &'a CurvePlot,
}

/// Explains the images once more, for their pictures, and writes the report.
pub fn write(
    path: &Path,
    options: &Options,
    measured: &Measured,
    explainer: &Explainer,
    images: &[InputImage],
) -> Result<(), Failure> {
    let entries = &measured.document.images;
    let measured_images: Vec<&InputImage> =
        images.iter().filter(|image| entries.contains_key(&input_name(image))).collect();
    let shown: Vec<InputImage> = measured_images.iter().take(SHOWN).map(|&image| image.clone()).collect();
    let hidden = measured_images.len() - shown.len();
    let mut progress = Progress::new(Some(shown.len()), options.quiet);
    progress.notice(&format!("explaining {} images for {}", shown.len(), path_text(path)));
    let mut drawn = load_all(shown.clone(), &options.images, &mut progress);
    let batch = options.images.batch_size(options.batch, explainer.backend().preferred_batch());
    explain_all(&mut drawn, explainer, &options.target, batch, DRAWING, &mut progress)?;
    progress.finish();
    let drawn: HashMap<String, Drawn> =
        drawn.into_iter().map(|drawn| (input_name(&drawn.input), drawn)).collect();
    let images = shown
        .iter()
        .map(|image| {
            let name = input_name(image);
            report_image(measured, options, drawn.get(&name), name)
        })
        .collect::<Result<_, _>>()?;
    let report = Report { images, hidden, ..of_all(options, measured) };
    Ok(write_file(path, report.html().as_bytes())?)
}

/// What is told of all images together.
fn of_all(options: &Options, Measured { document, summaries, plot }: &Measured) -> Report {
    let (meaning, score) = match options.mode {
        Mode::Flip => (
            "Patches are replaced, the most relevant first unless a curve's name says otherwise: the faster a method's curve falls (of \
             the least relevant first, the slower), the better it has found what the network looks at. AOPC is the mean over the steps of how far it has fallen.",
            "AOPC",
        ),
        Mode::Deletion => (
            "All patches are replaced, the most relevant first unless a curve's name says otherwise: the smaller the area under a method's curve (AUC), the better it \
             has found what the network looks at.",
            "AUC",
        ),
        Mode::Insertion => (
            "Patches are put into the replaced image, the most relevant first unless a curve's name says otherwise: the larger the area under a method's curve (AUC), \
             the better it has found what the network looks at.",
            "AUC",
        ),
    };
    // Here every curve has its band, since single curves can be shown.
    let curves = match document.images.len() {
        1 => "Curves: of one image.".to_owned(),
        images => format!("Curves: mean over {images} images; bands: 95 % bootstrap intervals."),
    };
    let series = summaries.iter().zip(&plot.series).map(|((curve, summary), drawn)| Series {
        name: drawn.name.clone(),
        is_baseline: *curve == Curve::Random,
        mean: summary.mean.clone(),
        interval: summary.intervals.clone().unwrap_or_default(),
        scores: vec![Some(Score { value: summary.score, interval: summary.score_interval })],
    });
    Report {
        title: plot.title.clone(),
        summary: vec![meaning.to_owned(), curves],
        steps: plot.numbers.clone(),
        steps_are: plot.number.clone(),
        values_are: plot.value.clone(),
        scores_are: vec![score.to_owned()],
        series: series.collect(),
        failed: document.failed.iter().map(|failed| (failed.input.clone(), failed.error.clone())).collect(),
        options: document.run.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        ..Report::default()
    }
}

/// An option's value as a reader wants it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

/// What is told of one image; without pictures where it cannot be explained any more.
fn report_image(
    Measured { document, summaries, .. }: &Measured,
    options: &Options,
    drawn: Option<&Drawn>,
    name: String,
) -> Result<ReportImage, Failure> {
    let mut pictures = Vec::new();
    if let Some(drawn) = drawn {
        pictures.push(("input".to_owned(), Thumbnail::of(&drawn.image)?));
        for (method, picture) in distinct_methods(options).zip(&drawn.pictures) {
            pictures.push((method, Thumbnail::of(picture)?));
        }
    }
    let details = document.images.get(&name).map_or_else(Vec::new, |entry| {
        let &ImageEntry { target, response, probability, .. } = entry;
        let told = Told { target, label: entry.label.clone(), response, probability };
        vec![told.target(), told.response()]
    });
    let curve = |(curve, _): &Summary| {
        document.methods.get(&curve.to_string()).and_then(|entry| entry.images.get(&name)).cloned()
    };
    let curves = summaries.iter().map(|summary| curve(summary).unwrap_or_default()).collect();
    Ok(ReportImage { name, details, pictures, curves })
}

/// Names of the explainer's methods, in its order.
fn distinct_methods(options: &Options) -> impl Iterator<Item = String> {
    crate::cli::targets::distinct(&options.methods).into_iter().map(|method| method.to_string())
}
