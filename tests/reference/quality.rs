//! The quality of signal estimators by its definition: every distractor written out, and v by least squares.
//!
//! ρ(S) = 1 − max_v corr\[vᵀd, y\] with d = x − S(x). What correlates best with y is the regression of y on d.

use super::learn::Positions;
use super::least_squares::{Regression, correlation, regress};

/// An estimator of one neuron's signal.
#[derive(Clone, Debug)]
pub enum ReferenceSignal {
    /// S(x) = a y.
    One(Vec<f64>),
    /// S(x) = a₊ y where the neuron is active, a₋ y elsewhere.
    Two {
        /// a₊.
        positive: Vec<f64>,
        /// a₋.
        negative: Vec<f64>,
    },
}

/// The quality of an estimator of one neuron.
#[derive(Clone, Debug)]
pub struct ReferenceQuality {
    /// ρ on the positions that v was fitted on.
    pub in_sample: f64,
    /// ρ on others, with the same v.
    pub held_out: f64,
    /// Dimensions that d has on the positions that v was fitted on.
    pub rank: usize,
    /// About its smallest variance in any direction in which it varies there.
    pub smallest_variance: f64,
}

impl ReferenceSignal {
    /// With directions scaled so that wᵀa = 1; `None` where they cannot be.
    pub fn scaled(self, weight: &[f64]) -> Option<Self> {
        let scale = |direction: Vec<f64>| {
            let product: f64 = weight.iter().zip(&direction).map(|(w, a)| w * a).sum();
            (product != 0.0).then(|| direction.iter().map(|value| value / product).collect())
        };
        Some(match self {
            ReferenceSignal::One(direction) => ReferenceSignal::One(scale(direction)?),
            ReferenceSignal::Two { positive, negative } => {
                ReferenceSignal::Two { positive: scale(positive)?, negative: scale(negative)? }
            }
        })
    }
}

impl Positions {
    /// y of a neuron, `[count]`.
    pub fn responses(&self, neuron: usize) -> Vec<f64> {
        (0..self.count).map(|at| self.y[at * self.outputs + neuron]).collect()
    }

    /// d = x − S(x) of a neuron, `[count][fan_in]`.
    pub fn distractors(&self, neuron: usize, signal: &ReferenceSignal) -> Vec<f64> {
        let mut distractors = self.x.clone();
        for (at, distractor) in distractors.chunks_exact_mut(self.fan_in).enumerate() {
            let y = self.y[at * self.outputs + neuron];
            let direction = match signal {
                ReferenceSignal::One(direction) => direction,
                ReferenceSignal::Two { positive, .. } if self.positive[at * self.outputs + neuron] => {
                    positive
                }
                ReferenceSignal::Two { negative, .. } => negative,
            };
            for (value, a) in distractor.iter_mut().zip(direction) {
                *value -= a * y;
            }
        }
        distractors
    }

    /// corr\[vᵀd, y\] of a neuron.
    pub fn distractor_correlation(&self, neuron: usize, signal: &ReferenceSignal, v: &[f64]) -> f64 {
        let distractors = self.distractors(neuron, signal);
        let functional: Vec<f64> = distractors
            .chunks_exact(self.fan_in)
            .map(|distractor| v.iter().zip(distractor).map(|(v, d)| v * d).sum())
            .collect();
        correlation(&functional, &self.responses(neuron))
    }
}

/// The quality of an estimator whose directions are scaled, with v fitted on some positions and evaluated on others.
pub fn quality(
    neuron: usize,
    signal: &ReferenceSignal,
    fitted: &Positions,
    evaluated: &Positions,
) -> ReferenceQuality {
    let distractors = fitted.distractors(neuron, signal);
    let Regression { coefficients, correlation, rank, smallest } =
        regress(&distractors, fitted.fan_in, &fitted.responses(neuron));
    let held_out = 1.0 - evaluated.distractor_correlation(neuron, signal, &coefficients);
    ReferenceQuality { in_sample: 1.0 - correlation, held_out, rank, smallest_variance: smallest }
}
