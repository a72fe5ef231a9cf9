//! Operators of backward passes, made on the fly from mapped weights and patterns.

use super::direction::random_direction;
use super::method::{Estimator, Operator};
use crate::backend::{Factor, FactorType, Factors, OperatorSource};
use crate::parallel;
use crate::patterns::{Component, PatternError, Patterns};
use crate::weights::{ElementType, Tensor, Weights};
use std::sync::Arc;

/// Elements of a row converted at a time.
const PIECE: usize = 1024;

/// The operators of one kind for all layers of a network. Nothing but a few numbers a neuron is kept in memory: rows
/// are computed in float64 from the mapped files when a backend reads them.
pub struct Operators {
    weights: Arc<Weights>,
    patterns: Option<Arc<Patterns>>,
    operator: Operator,
    seed: u64,
    layers: Vec<LayerOperator>,
}

struct LayerOperator {
    fan_in: usize,
    gain_log2: i32,
    /// 1/(wᵀw) or 1/(wᵀu) of every neuron, where the operator needs it; zero for a neuron without weights.
    neuron_scales: Vec<f64>,
}

/// Why operators could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The operator comes from patterns, and none were given.
    #[error(
        "the operator '{operator}' needs a pattern file; give one with --patterns (`vggx learn --weights FILE` makes one from images), or choose a method without: gradient, deconvnet, guided-backprop, signal:filter, attribution:filter"
    )]
    PatternsNeeded {
        /// The operator's name.
        operator: &'static str,
    },
    /// The patterns do not hold what the operator needs.
    #[error(transparent)]
    Patterns(#[from] PatternError),
}

impl Operators {
    /// The weights themselves with gain 2⁰: the forward pass.
    pub fn forward(weights: Arc<Weights>) -> Self {
        let layers = weights.network().parametric().map(|(_, layer)| LayerOperator {
            fan_in: layer.fan_in(),
            gain_log2: 0,
            neuron_scales: Vec::new(),
        });
        let layers = layers.collect();
        Operators { weights, patterns: None, operator: Operator::Weight, seed: 0, layers }
    }

    /// Operators of a backward pass. `seed` chooses the random estimator's directions. The weights are finite
    /// ([`Weights::check_finite`] was called); those patterns that are needed are checked here.
    ///
    /// # Errors
    /// When the operator needs patterns and there are none, or the file lacks the estimator or holds values that are
    /// not finite.
    pub fn new(
        weights: Arc<Weights>,
        patterns: Option<Arc<Patterns>>,
        operator: Operator,
        seed: u64,
    ) -> Result<Self, OperatorError> {
        if let Some(component) = component(operator) {
            let patterns =
                patterns.as_ref().ok_or(OperatorError::PatternsNeeded { operator: name(operator) })?;
            patterns.tensors(component)?;
        }
        let shapes: Vec<(usize, usize)> =
            weights.network().parametric().map(|(_, layer)| (layer.fan_in(), layer.outputs())).collect();
        let mut operators = Operators { weights, patterns, operator, seed, layers: Vec::new() };
        for (layer, (fan_in, neurons)) in shapes.into_iter().enumerate() {
            let neuron_scales = operators.neuron_scales(layer, fan_in, neurons);
            operators.layers.push(LayerOperator { fan_in, gain_log2: 0, neuron_scales });
            let largest = parallel::map(0..neurons, |neuron| {
                let mut largest = 0f64;
                operators.for_each_piece(layer, neuron, 0, fan_in, |_, values| {
                    largest = values.iter().fold(largest, |largest, value| largest.max(value.abs()));
                });
                largest
            });
            operators.layers[layer].gain_log2 = gain_log2(largest.into_iter().fold(0.0, f64::max));
        }
        Ok(operators)
    }

    /// 1/(wᵀw) for the filter estimator, 1/(wᵀu) for the random one.
    fn neuron_scales(&self, layer: usize, fan_in: usize, neurons: usize) -> Vec<f64> {
        let (Operator::Direction(estimator) | Operator::WeightedDirection(estimator)) = self.operator else {
            return Vec::new();
        };
        if !matches!(estimator, Estimator::Filter | Estimator::Random) {
            return Vec::new();
        }
        let weight = self.weights.weight(layer);
        parallel::map(0..neurons, |neuron| {
            let mut row = vec![0.0; fan_in];
            weight.read(neuron * fan_in, &mut row);
            let norm2: f64 = row.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
            let (product, scale2) = match estimator {
                Estimator::Random => {
                    let direction = |index| random_direction(self.seed, layer, neuron, index);
                    let product =
                        row.iter().enumerate().map(|(index, &w)| f64::from(w) * direction(index)).sum();
                    (product, norm2 * fan_in as f64)
                }
                _ => (norm2, norm2 * norm2),
            };
            // A neuron without weights, or a direction orthogonal to them up to rounding, carries no signal.
            if norm2 == 0.0 || f64::abs(product) < 1e-12 * scale2.sqrt() { 0.0 } else { 1.0 / product }
        })
    }

    /// Calls `visit` with pieces of a row in float64, without the layer's gain.
    #[inline]
    fn for_each_piece(
        &self,
        layer: usize,
        neuron: usize,
        start: usize,
        count: usize,
        mut visit: impl FnMut(usize, &[f64]),
    ) {
        let LayerOperator { fan_in, ref neuron_scales, .. } = self.layers[layer];
        let pattern =
            component(self.operator).and_then(|component| self.patterns.as_ref()?.tensor(component, layer));
        // A pattern or a random direction alone is not made of the weights.
        let needs_weights =
            !matches!(self.operator, Operator::Direction(estimator) if estimator != Estimator::Filter);
        let (mut weights, mut directions, mut values) = ([0f32; PIECE], [0f32; PIECE], [0f64; PIECE]);
        let mut done = 0;
        while done < count {
            let len = PIECE.min(count - done);
            let at = neuron * fan_in + start + done;
            let (weights, directions, values) =
                (&mut weights[..len], &mut directions[..len], &mut values[..len]);
            if needs_weights {
                self.weights.weight(layer).read(at, weights);
            }
            if let Some(pattern) = &pattern {
                pattern.read(at, directions);
            }
            let scale = neuron_scales.get(neuron).copied().unwrap_or(1.0);
            let random = |index| random_direction(self.seed, layer, neuron, start + done + index);
            for index in 0..len {
                let (w, a) = (f64::from(weights[index]), f64::from(directions[index]));
                values[index] = match self.operator {
                    Operator::Weight => w,
                    Operator::Direction(Estimator::Filter) => w * scale,
                    Operator::WeightedDirection(Estimator::Filter) => w * w * scale,
                    Operator::Direction(Estimator::Random) => random(index) * scale,
                    Operator::WeightedDirection(Estimator::Random) => w * random(index) * scale,
                    Operator::Direction(_) => a,
                    Operator::WeightedDirection(_) => w * a,
                };
            }
            visit(done, values);
            done += len;
        }
    }
}

impl OperatorSource for Operators {
    fn gain_log2(&self, layer: usize) -> i32 {
        self.layers[layer].gain_log2
    }

    fn read(&self, layer: usize, neuron: usize, start: usize, row: &mut [f32]) {
        let LayerOperator { fan_in, gain_log2, .. } = self.layers[layer];
        if self.operator == Operator::Weight && gain_log2 == 0 {
            return self.weights.weight(layer).read(neuron * fan_in + start, row);
        }
        let factor = 2f64.powi(-gain_log2);
        let count = row.len();
        self.for_each_piece(layer, neuron, start, count, |done, values| {
            for (to, value) in row[done..].iter_mut().zip(values) {
                *to = (value * factor) as f32;
            }
        });
    }

    fn factors(&self, layer: usize) -> Option<Factors<'_>> {
        let weight = factor(self.weights.weight(layer));
        let pattern = || {
            let component = component(self.operator)?;
            self.patterns.as_ref()?.tensor(component, layer).map(factor)
        };
        let neuron_scales = Some(self.layers[layer].neuron_scales.as_slice());
        Some(match self.operator {
            Operator::Weight => Factors { first: weight, second: None, neuron_scales: None },
            Operator::Direction(Estimator::Filter) => Factors { first: weight, second: None, neuron_scales },
            Operator::WeightedDirection(Estimator::Filter) => {
                Factors { first: weight, second: Some(weight), neuron_scales }
            }
            // Directions that are computed from their places.
            Operator::Direction(Estimator::Random) | Operator::WeightedDirection(Estimator::Random) => {
                return None;
            }
            Operator::Direction(_) => Factors { first: pattern()?, second: None, neuron_scales: None },
            Operator::WeightedDirection(_) => {
                Factors { first: weight, second: Some(pattern()?), neuron_scales: None }
            }
        })
    }
}

fn factor(tensor: Tensor<'_>) -> Factor<'_> {
    let element = match tensor.element() {
        ElementType::F32 => FactorType::F32,
        ElementType::F16 => FactorType::F16,
        ElementType::Bf16 => FactorType::Bf16,
    };
    Factor { element, bytes: tensor.bytes() }
}

/// The exponent g with `largest` · 2^−g in [1/2, 1); 0 where there is nothing to scale.
fn gain_log2(largest: f64) -> i32 {
    if largest > 0.0 && largest.is_finite() { largest.log2().floor() as i32 + 1 } else { 0 }
}

/// The pattern component that an operator is made of.
fn component(operator: Operator) -> Option<Component> {
    match operator {
        Operator::Direction(estimator) | Operator::WeightedDirection(estimator) => match estimator {
            Estimator::TwoComponent => Some(Component::Positive),
            Estimator::Linear => Some(Component::Linear),
            Estimator::Identity | Estimator::Filter | Estimator::Random => None,
        },
        Operator::Weight => None,
    }
}

fn name(operator: Operator) -> &'static str {
    match component(operator) {
        Some(Component::Linear) => "linear",
        _ => "two-component",
    }
}
