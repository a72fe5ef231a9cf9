//! Maps of explanations as they are compared.

use super::{Similarity, spearman, ssim};
use crate::explain::{Explanation, Kind};

/// The map of an explanation, \[height, width\], and its magnitudes.
pub struct Map {
    values: Vec<f32>,
    magnitudes: Vec<f32>,
    has_signs: bool,
}

impl Map {
    /// Of an explanation with three planes: the sum over the channels, of magnitudes for signals and sensitivities, divided by its
    /// largest magnitude.
    pub fn of(explanation: &Explanation) -> Self {
        let has_signs = explanation.method.kind() == Kind::Attribution;
        let sign = |value: f32| if has_signs { f64::from(value) } else { f64::from(value.abs()) };
        let plane = explanation.values.len() / 3;
        let sums: Vec<f64> = (0..plane)
            .map(|at| (0..3).map(|channel| sign(explanation.values[channel * plane + at])).sum())
            .collect();
        let largest = sums.iter().fold(0.0_f64, |largest, sum| largest.max(sum.abs()));
        let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        let values: Vec<f32> = sums.into_iter().map(|sum| (sum * scale) as f32).collect();
        let magnitudes = values.iter().map(|value| value.abs()).collect();
        Map { values, magnitudes, has_signs }
    }

    /// How alike two maps of `width` columns are.
    pub fn similarity(&self, other: &Map, width: usize) -> Similarity {
        // From −1 to 1 with signs, from 0 to 1 without.
        let range = if self.has_signs { 2.0 } else { 1.0 };
        Similarity {
            ssim: ssim(&self.values, &other.values, width, range),
            ssim_magnitudes: ssim(&self.magnitudes, &other.magnitudes, width, 1.0),
            spearman: spearman(&self.values, &other.values),
            spearman_magnitudes: spearman(&self.magnitudes, &other.magnitudes),
        }
    }
}
