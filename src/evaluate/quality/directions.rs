//! The direction a of every neuron's signal, scaled so that wᵀa = 1 in float64.
//!
//! Stored patterns miss wᵀa = 1 by their rounding. Not scaled, v would find what they leak of y: v = w/(1 − wᵀa) predicts it
//! exactly, and ρ would fall to 0.

use std::ops::Range;

use crate::explain::random_direction;
use crate::parallel;
use crate::weights::Tensor;

/// wᵀa relative to |w||a| up to which they are orthogonal.
const ORTHOGONAL: f64 = 1e-10;

/// Where directions come from.
#[derive(Clone, Copy)]
pub enum Direction<'a> {
    /// Drawn.
    Random {
        /// Chooses them.
        seed: u64,
    },
    /// w itself.
    Filter,
    /// A pattern file.
    Pattern(Tensor<'a>),
}

/// Reads neurons of a tensor in float64, \[K\] each, one after the other.
pub fn read(tensor: Tensor<'_>, neurons: Range<usize>, fan_in: usize) -> Vec<f64> {
    let mut values = vec![0.0; neurons.len() * fan_in];
    parallel::map_with(
        values.chunks_mut(fan_in).zip(neurons),
        || vec![0f32; fan_in],
        |narrow, (values, neuron)| {
            tensor.read(neuron * fan_in, narrow);
            values.iter_mut().zip(narrow).for_each(|(value, narrow)| *value = f64::from(*narrow));
        },
    );
    values
}

impl Direction<'_> {
    /// Those of some neurons of a layer, \[K\] each, one after the other, and which neurons have one; `weights` are
    /// the neurons' own. Zeros where there is none.
    pub fn scaled(
        self,
        layer: usize,
        neurons: Range<usize>,
        weights: &[f64],
        fan_in: usize,
    ) -> (Vec<f64>, Vec<bool>) {
        let mut values = match self {
            Direction::Filter => weights.to_vec(),
            Direction::Pattern(tensor) => read(tensor, neurons, fan_in),
            Direction::Random { seed } => {
                let mut values = vec![0.0; weights.len()];
                parallel::each(values.chunks_mut(fan_in).zip(neurons), |(values, neuron)| {
                    for (index, value) in values.iter_mut().enumerate() {
                        *value = random_direction(seed, layer, neuron, index);
                    }
                });
                values
            }
        };
        let scale = |(direction, weight): (&mut [f64], &[f64])| {
            let product = dot(weight, direction);
            let lengths = (dot(weight, weight) * dot(direction, direction)).sqrt();
            let is_held = product.is_finite() && product.abs() > ORTHOGONAL * lengths;
            let factor = if is_held { 1.0 / product } else { 0.0 };
            direction.iter_mut().for_each(|value| *value *= factor);
            is_held
        };
        let held = parallel::map(values.chunks_mut(fan_in).zip(weights.chunks(fan_in)), scale);
        (values, held)
    }
}

/// Σ aᵢbᵢ.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
