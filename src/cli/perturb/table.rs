//! The table on the terminal.

use super::document::Summary;
use crate::cli::columns::aligned;
use crate::evaluate::perturb::{Mode, PerturbSettings};

/// Columns of steps.
const STEPS: usize = 6;

/// A row a curve, under a heading: its score with an interval, and the mean after some steps.
pub fn lines(settings: &PerturbSettings, summaries: &[Summary]) -> Vec<String> {
    let last = settings.counts.len() - 1;
    // Both ends, and what is between them at equal distances.
    let mut steps: Vec<usize> = (0..STEPS).map(|column| column * last / (STEPS - 1)).collect();
    steps.dedup();
    let score = if settings.mode == Mode::Flip { "AOPC" } else { "AUC" };
    let heading = ["patches".to_owned(), score.to_owned(), "95 %".to_owned()];
    let counts = steps.iter().map(|&step| settings.counts[step].to_string());
    let mut rows: Vec<Vec<String>> = vec![heading.into_iter().chain(counts).collect()];
    for (curve, summary) in summaries {
        let interval = summary
            .score_interval
            .map_or_else(|| "-".to_owned(), |[lower, upper]| format!("{lower:.4} to {upper:.4}"));
        let means = steps.iter().map(|&step| format!("{:.4}", summary.mean[step]));
        rows.push(
            [curve.to_string(), format!("{:.4}", summary.score), interval].into_iter().chain(means).collect(),
        );
    }
    aligned(&rows, 1)
}
