//! The plot: rank correlation by layer, a line a method.

use super::document::LayerEntry;
use crate::explain::Method;
use crate::output::plot::{CurvePlot, CurveSeries};

/// Spearman's rank correlation with the maps of the trained network.
pub fn plot(layers: &[LayerEntry], methods: &[Method], is_cascade: bool, images: usize) -> CurvePlot {
    let series = methods.iter().map(|method| {
        let measures = layers.iter().map(|layer| &layer.methods[&method.to_string()].spearman);
        let band: Option<Vec<[f64; 2]>> = measures.clone().map(|measure| measure.ci95).collect();
        CurveSeries {
            name: method.to_string(),
            // The trained network's maps are the same.
            values: [1.0]
                .into_iter()
                .chain(measures.map(|measure| measure.mean.unwrap_or(f64::NAN)))
                .collect(),
            band: band.map(|band| [[1.0, 1.0]].into_iter().chain(band).collect()),
        }
    });
    let names = layers.iter().map(|layer| layer.title.trim_start_matches("conv").to_owned());
    let mut plot = CurvePlot {
        title: "Explanations of a randomised network".to_owned(),
        caption: String::new(),
        number: if is_cascade { "randomised from the output down to" } else { "randomised layer" }.to_owned(),
        value: "rank correlation with the trained network's".to_owned(),
        numbers: (0..=layers.len()).map(|layer| layer as f64).collect(),
        names: ["none".to_owned()].into_iter().chain(names).collect(),
        series: series.collect(),
    };
    plot.caption = match images {
        1 => "one image".to_owned(),
        _ if plot.shows_bands() => format!("mean over {images} images; bands: 95 % bootstrap intervals"),
        _ => format!("mean over {images} images"),
    };
    plot
}
