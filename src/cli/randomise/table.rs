//! The table on the terminal.

use super::document::LayerEntry;
use crate::cli::columns::aligned;
use crate::evaluate::randomise::MeasureSummary;
use crate::explain::Method;

/// A row a layer, under a heading: of each method the structural similarity and the rank correlation.
pub fn lines(layers: &[LayerEntry], methods: &[Method]) -> Vec<String> {
    let names = methods.iter().map(|method| format!("{method} (SSIM, ρ)"));
    let mut rows: Vec<Vec<String>> = vec![["randomised".to_owned()].into_iter().chain(names).collect()];
    let mean =
        |measure: &MeasureSummary| measure.mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}"));
    for layer in layers {
        let cells = methods.iter().map(|method| {
            let alike = &layer.methods[&method.to_string()];
            format!("{}  {:>6}", mean(&alike.ssim), mean(&alike.spearman))
        });
        rows.push([layer.title.clone()].into_iter().chain(cells).collect());
    }
    aligned(&rows, 1)
}
