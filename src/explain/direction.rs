//! Random directions for the baseline estimator: any element at any time, the same on every machine.

use crate::random::scatter;

/// Element `index` of the direction of a neuron: standard normal (Box & Muller 1958), hence isotropic. Not scaled.
pub fn random_direction(seed: u64, layer: usize, neuron: usize, index: usize) -> f64 {
    let stream = scatter(scatter(seed) ^ ((layer as u64) << 40 | neuron as u64));
    let bits = scatter(stream ^ index as u64);
    let again = scatter(bits);
    // In (0, 1], so that the logarithm is finite.
    let uniform = |bits: u64| ((bits >> 11) + 1) as f64 * 2f64.powi(-53);
    (-2.0 * uniform(bits).ln()).sqrt() * (std::f64::consts::TAU * uniform(again)).cos()
}

#[cfg(test)]
mod tests {
    use super::random_direction;

    #[test]
    fn elements_are_standard_normal_and_reproducible() {
        let count = 40_000;
        let values: Vec<f64> = (0..count).map(|index| random_direction(7, 3, index % 5, index / 5)).collect();
        let mean = values.iter().sum::<f64>() / count as f64;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count as f64;
        let fourth = values.iter().map(|v| v.powi(4)).sum::<f64>() / count as f64;
        // Five standard errors: 1/√n, √(2/n), √(96/n).
        assert!(
            mean.abs() < 5.0 / 200.0
                && (variance - 1.0).abs() < 5.0 * 0.0071
                && (fourth - 3.0).abs() < 5.0 * 0.049
        );
        assert_eq!(random_direction(7, 3, 1, 2), random_direction(7, 3, 1, 2));
        assert_ne!(random_direction(7, 3, 1, 2), random_direction(8, 3, 1, 2));
        assert_ne!(random_direction(7, 3, 1, 2), random_direction(7, 3, 2, 1));
    }
}
