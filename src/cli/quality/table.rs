//! The table on the terminal.

use crate::cli::columns::aligned;
use crate::evaluate::quality::LayerQuality;

/// A row a layer, under a heading; with `fitted` the mean in sample stands in brackets beside the mean.
pub fn lines(layers: &[LayerQuality], titles: &[String], fitted: bool) -> Vec<String> {
    let Some(first) = layers.first() else { return Vec::new() };
    let fixed = ["layer", "", "K", "positions/K", "seconds"].map(str::to_owned);
    let mut rows: Vec<Vec<String>> = vec![
        fixed.into_iter().chain(first.estimators.iter().map(|estimator| estimator.name.clone())).collect(),
    ];
    let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    for (layer, title) in layers.iter().zip(titles) {
        let mut row: Vec<String> = vec![
            title.clone(),
            // As it stands in a file, which anybody may have written: nothing of it controls the terminal.
            layer.name.chars().take(40).flat_map(char::escape_debug).collect(),
            layer.k.to_string(),
            format!("{:.1}", layer.fit_positions_per_k),
            format!("{:.1}", layer.seconds),
        ];
        row.extend(layer.estimators.iter().map(|estimator| {
            let (mean, in_sample) = (value(estimator.mean), value(estimator.mean_in_sample));
            if fitted && estimator.mean_in_sample.is_some() { format!("{mean} ({in_sample})") } else { mean }
        }));
        rows.push(row);
    }
    aligned(&rows, 2)
}
