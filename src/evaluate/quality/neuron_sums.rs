//! What the sums of a layer say of single neurons.

use std::ops::Range;

use crate::backend::LayerMoments;
use crate::parallel;

/// Sums of a layer that are read neuron by neuron.
pub struct NeuronSums<'a>(&'a LayerMoments);

impl<'a> NeuronSums<'a> {
    /// Of Σx, Σy, Σy² and Σ₊xy alone.
    pub fn new(moments: &'a LayerMoments) -> Self {
        NeuronSums(moments)
    }

    /// E\[y₊\].
    fn active_mean(&self, neuron: usize) -> f64 {
        self.0.positive_y[neuron] / self.0.positions
    }

    /// cov\[x, y₊\] of some neurons, \[K\] each, one after the other.
    pub fn with_active(&self, neurons: Range<usize>) -> Vec<f64> {
        let (fan_in, positions) = (self.0.fan_in(), self.0.positions);
        let mut values = self.0.positive_xy[neurons.start * fan_in..neurons.end * fan_in].to_vec();
        parallel::each(values.chunks_mut(fan_in).zip(neurons), |(values, neuron)| {
            let active = self.active_mean(neuron);
            for (value, x) in values.iter_mut().zip(&self.0.x) {
                *value = (*value - x * active) / positions;
            }
        });
        values
    }

    /// var y₊ from wᵀcov\[x, y₊\] = E\[y₊²\] − E\[y\]E\[y₊\], so that both come of the same sums. The one of all y is taken as
    /// their sum too: an offset of y cancels.
    pub fn active_variance(&self, neuron: usize, response: f64) -> f64 {
        let active = self.active_mean(neuron);
        let all = active + self.0.negative_y[neuron] / self.0.positions;
        response + active * (all - active)
    }

    /// E\[y²\].
    pub fn mean_square(&self, neuron: usize) -> f64 {
        (self.0.positive_yy[neuron] + self.0.negative_yy[neuron]) / self.0.positions
    }
}
