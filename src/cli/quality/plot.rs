//! The plot: like the paper's figure 4.

use crate::evaluate::quality::LayerQuality;
use crate::output::plot::{LayerPlot, LayerSeries, Spread};

/// ρ by layer, a line an estimator.
pub fn plot(layers: &[LayerQuality], titles: &[String], fitted: bool) -> LayerPlot {
    let names =
        layers.first().into_iter().flat_map(|layer| &layer.estimators).map(|estimator| &estimator.name);
    let series = names.enumerate().map(|(index, name)| {
        let points = layers.iter().map(|layer| {
            let estimator = layer.estimators.get(index)?;
            let [lower, _, upper] = estimator.quartiles?;
            Some(Spread { mean: estimator.mean?, lower, upper })
        });
        LayerSeries { name: name.clone(), points: points.collect() }
    });
    let sample = if fitted { "v fitted on other images" } else { "v fitted on the same images" };
    LayerPlot {
        title: "Quality ρ of signal estimators".to_owned(),
        caption: format!("mean and quartiles over the neurons of each layer; {sample}"),
        value: "ρ = 1 − max corr[vᵀd, y]".to_owned(),
        layers: titles.to_vec(),
        series: series.collect(),
    }
}
