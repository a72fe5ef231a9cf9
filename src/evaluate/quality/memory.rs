//! The memory that measuring takes.

use super::layer::block;
use crate::network::{Network, ParametricLayer};

/// Bytes that the layer which takes the most needs besides the moments, and its name; `fitted`: v is fitted on other
/// moments than it is evaluated on. The moments come on top where they are in memory; of those in files, one layer is
/// counted.
pub fn bytes(network: &Network, estimators: usize, fitted: bool) -> Option<(String, u64)> {
    network
        .parametric()
        .map(|(_, layer)| (layer.name().to_owned(), of_layer(layer, estimators, fitted)))
        .max_by_key(|&(_, bytes)| bytes)
}

fn of_layer(layer: ParametricLayer, estimators: usize, fitted: bool) -> u64 {
    let shape = layer.weight_shape();
    let fan_in: usize = shape[1..].iter().product();
    let (fan_in_wide, outputs) = (fan_in as u64, shape[0] as u64);
    let square = fan_in_wide * fan_in_wide;
    let kept = match layer {
        ParametricLayer::Convolution(_) => 29 * (layer.inputs() as u64).pow(2),
        ParametricLayer::Dense(_) => square / 2,
    };
    // While it is read, a layer's moments hold three sums of [outputs, K], of which one is needed.
    let sums = outputs * fan_in_wide;
    // Σ of the set that is evaluated: of a dense layer as the triangle that is kept anyway.
    let evaluated = match layer {
        _ if !fitted => 0,
        ParametricLayer::Convolution(_) => kept + square,
        ParametricLayer::Dense(_) => kept,
    };
    let reading = kept + 3 * sums + square;
    // Of a block of neurons: weights, both k and Σw, one k solved, of one estimator at a time both directions, their solutions
    // and v; and the rows of Σ that a product takes at a time. Of every estimator the results of each neuron.
    let block = (block(fan_in).min(shape[0]) * fan_in) as u64;
    let working = square + evaluated + 2 * sums + 11 * block + 8 * estimators as u64 * outputs;
    let reading_evaluated = if fitted { square + sums + evaluated + 3 * sums } else { 0 };
    8 * reading.max(working).max(reading_evaluated)
}
