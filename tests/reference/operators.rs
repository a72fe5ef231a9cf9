//! What the methods put in the place of the weight. The gradient family takes the weight itself, PatternNet the pattern.

use super::network::ParametricLayer;

/// w⊙a: PatternAttribution and the attributions of every other estimator that has a pattern.
pub fn pattern_attribution(layer: ParametricLayer<'_>, pattern: &[f64]) -> Vec<f64> {
    assert_eq!(layer.weight.len(), pattern.len(), "pattern");
    layer.weight.iter().zip(pattern).map(|(w, a)| w * a).collect()
}

/// w/(wᵀw) for each neuron; a neuron without weights has no direction and gets 0.
pub fn filter(layer: ParametricLayer<'_>) -> Vec<f64> {
    scaled_direction(layer, layer.weight)
}

/// w⊙w/(wᵀw) for each neuron; a neuron without weights gets 0.
pub fn filter_attribution(layer: ParametricLayer<'_>) -> Vec<f64> {
    pattern_attribution(layer, &filter(layer))
}

/// u/(wᵀu) for each neuron, so that wᵀu becomes 1; where wᵀu is 0 the neuron gets 0.
pub fn scaled_direction(layer: ParametricLayer<'_>, direction: &[f64]) -> Vec<f64> {
    assert_eq!(layer.weight.len(), direction.len(), "direction");
    let size = layer.weight.len() / layer.outputs;
    let mut scaled = Vec::with_capacity(direction.len());
    for neuron in 0..layer.outputs {
        let w = &layer.weight[neuron * size..(neuron + 1) * size];
        let u = &direction[neuron * size..(neuron + 1) * size];
        let product: f64 = w.iter().zip(u).map(|(w, u)| w * u).sum();
        for value in u {
            scaled.push(if product == 0.0 { 0.0 } else { value / product });
        }
    }
    scaled
}
