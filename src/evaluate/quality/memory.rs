//! The memory that measuring takes.

use super::QualityError;
use super::fit::block;
use super::multiplier::PANEL;
use crate::backend::available_memory;
use crate::network::{Network, ParametricLayer};

/// Bytes that the layer which takes the most needs besides the moments, and its name, of those that have more than K
/// positions to fit v on; others are not measured. `fitted`: v is fitted on other moments than it is evaluated on. The
/// moments come on top where they are in memory; of those in files, one layer is counted. None where no layer is measured.
pub fn memory_needed(
    network: &Network,
    estimators: usize,
    fitted: bool,
    fit_positions: impl Fn(usize) -> f64,
) -> Option<(String, u64)> {
    network
        .parametric()
        .enumerate()
        .filter(|(number, (_, layer))| fit_positions(*number) > layer.fan_in() as f64)
        .map(|(_, (_, layer))| (layer.name().to_owned(), of_layer(layer, estimators, fitted)))
        .max_by_key(|&(_, bytes)| bytes)
}

/// As [`memory_needed`].
///
/// # Errors
/// When this machine has less.
pub fn check_memory(
    network: &Network,
    estimators: usize,
    fitted: bool,
    fit_positions: impl Fn(usize) -> f64,
) -> Result<Option<(String, u64)>, QualityError> {
    let needed = memory_needed(network, estimators, fitted, fit_positions);
    match (&needed, available_memory()) {
        (Some((layer, bytes)), Some(available)) if *bytes > available => Err(QualityError::Memory {
            layer: layer.clone(),
            needed: bytes >> 20,
            available: available >> 20,
        }),
        _ => Ok(needed),
    }
}

fn of_layer(layer: ParametricLayer, estimators: usize, fitted: bool) -> u64 {
    let (fan_in, outputs, estimators) = (layer.fan_in() as u64, layer.outputs() as u64, estimators as u64);
    let square = fan_in * fan_in;
    // Σxxᵀ as it is kept.
    let (kept, is_convolution) = match layer {
        ParametricLayer::Convolution(_) => (29 * (layer.inputs() as u64).pow(2), true),
        ParametricLayer::Dense(_) => (square / 2, false),
    };
    // While it is read, a layer's moments hold three sums of [outputs, K], of which one is needed.
    let sums = outputs * fan_in;
    let reading = kept + 3 * sums;
    let factoring = kept + sums + square;
    // Then the factor and one sum stay, of the set that v is fitted on.
    let fit = square + sums;
    let (reading_evaluated, evaluation) = match (fitted, is_convolution) {
        (false, _) => (0, 0),
        (true, true) => (fit + reading, kept + sums + square),
        (true, false) => (fit + reading, kept + sums + PANEL.min(layer.fan_in()) as u64 * fan_in),
    };
    // Of a block of neurons: w, Σw, k of both sets and one of them solved; of one estimator at a time both directions and
    // their solutions; of every estimator the functionals, and Σ times them. And of every estimator two results a neuron.
    let block = (block(layer.fan_in()) as u64).min(outputs) * fan_in;
    let working = fit + evaluation + (9 + 2 * estimators) * block + 8 * estimators * outputs;
    8 * reading.max(factoring).max(reading_evaluated).max(working)
}
