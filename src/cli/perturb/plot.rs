//! The plot: like the paper's figure 5.

use super::document::{Summary, fractions};
use crate::evaluate::perturb::{Curve, Mode, Order, PerturbSettings};
use crate::output::plot::{CurvePlot, CurveSeries};

/// f over the patches that had their turn, a line a curve.
pub fn plot(settings: &PerturbSettings, measure: &str, summaries: &[Summary], images: usize) -> CurvePlot {
    let side = settings.grid.side;
    let replacement = settings.replacement;
    let (title, number) = match settings.mode {
        Mode::Flip => (format!("{side}×{side} patches replaced by {replacement}"), "patches replaced"),
        Mode::Deletion => (
            format!("Deletion: {side}×{side} patches replaced by {replacement}"),
            "fraction of patches replaced",
        ),
        Mode::Insertion => (
            format!("Insertion: {side}×{side} patches put in place of {replacement}"),
            "fraction of patches put in",
        ),
    };
    let series = summaries.iter().map(|(curve, summary)| CurveSeries {
        name: match curve {
            Curve::Method(method, Order::Least) => format!("{method}, least first"),
            curve => curve.to_string(),
        },
        values: summary.mean.clone(),
        band: summary.intervals.clone(),
    });
    let mut plot = CurvePlot {
        title,
        caption: String::new(),
        number: number.to_owned(),
        value: match measure {
            "probability" => "probability of the class".to_owned(),
            _ => "response relative to the whole image's".to_owned(),
        },
        numbers: match settings.mode {
            Mode::Flip => settings.counts.iter().map(|&count| count as f64).collect(),
            Mode::Deletion | Mode::Insertion => fractions(settings),
        },
        names: Vec::new(),
        series: series.collect(),
    };
    plot.caption = match images {
        1 => "one image".to_owned(),
        _ if plot.shows_bands() => format!("mean over {images} images; bands: 95 % bootstrap intervals"),
        _ => format!("mean over {images} images"),
    };
    plot
}
