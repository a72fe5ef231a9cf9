//! Structural similarity.

use crate::evaluate::gaussian::gaussian_means;

/// Wang et al. 2004: a window of 11×11 with Gaussian weights of σ = 1.5, and the constants (K₁ L)², (K₂ L)² with K₁ = 0.01, K₂ = 0.03.
const REACH: usize = 5;
const DEVIATION: f64 = 1.5;
const K1: f64 = 0.01;
const K2: f64 = 0.03;

/// The structural similarity of two maps of `width` columns whose values lie within a range of `range`: the mean over all positions
/// of (2 μₓ μᵧ + C₁)(2 σₓᵧ + C₂) / ((μₓ² + μᵧ² + C₁)(σₓ² + σᵧ² + C₂)) (Wang et al. 2004, equation 13). At the edges the window is what
/// of it lies within the map, its weights adding up to 1 there too.
///
/// # Panics
/// When the maps differ in length, or hold a part of a row.
pub fn ssim(one: &[f32], other: &[f32], width: usize, range: f64) -> f64 {
    assert_eq!(one.len(), other.len(), "as many values");
    assert!(one.len().is_multiple_of(width), "whole rows");
    let exact = |map: &[f32]| -> Vec<f64> { map.iter().map(|&value| f64::from(value)).collect() };
    let (one, other) = (exact(one), exact(other));
    let mean = |a: &[f64], b: &[f64]| {
        let products = a.iter().zip(b).map(|(a, b)| a * b).collect();
        gaussian_means(products, width, REACH, DEVIATION)
    };
    let ones = vec![1.0; one.len()];
    let (mean_one, mean_other) = (mean(&one, &ones), mean(&other, &ones));
    let (square_one, square_other, product) = (mean(&one, &one), mean(&other, &other), mean(&one, &other));
    let (c1, c2) = ((K1 * range).powi(2), (K2 * range).powi(2));
    let at = |at: usize| {
        let (x, y) = (mean_one[at], mean_other[at]);
        let (var_x, var_y) = (square_one[at] - x * x, square_other[at] - y * y);
        let covariance = product[at] - x * y;
        (2.0 * x * y + c1) * (2.0 * covariance + c2) / ((x * x + y * y + c1) * (var_x + var_y + c2))
    };
    (0..one.len()).map(at).sum::<f64>() / one.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::draw;

    fn map(stream: u64, count: usize) -> Vec<f32> {
        (0..count).map(|index| (draw(stream, index as u64) % 2001) as f32 / 1000.0 - 1.0).collect()
    }

    /// Position by position over the whole window, moments about the means.
    fn directly(one: &[f32], other: &[f32], width: usize, range: f64) -> f64 {
        let height = one.len() / width;
        let mut total = 0.0;
        for y in 0..height {
            for x in 0..width {
                let mut window = Vec::new();
                for v in 0..height {
                    for u in 0..width {
                        if v.abs_diff(y) <= 5 && u.abs_diff(x) <= 5 {
                            let square = (v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2)) as f64;
                            let at = v * width + u;
                            window.push(((-square / 4.5).exp(), f64::from(one[at]), f64::from(other[at])));
                        }
                    }
                }
                let all: f64 = window.iter().map(|(weight, _, _)| weight).sum();
                let mean = |f: &dyn Fn(f64, f64) -> f64| {
                    window.iter().map(|&(weight, a, b)| weight / all * f(a, b)).sum::<f64>()
                };
                let (a, b) = (mean(&|a, _| a), mean(&|_, b| b));
                let var_a = mean(&|x, _| (x - a).powi(2));
                let var_b = mean(&|_, y| (y - b).powi(2));
                let covariance = mean(&|x, y| (x - a) * (y - b));
                let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
                total += (2.0 * a * b + c1) * (2.0 * covariance + c2)
                    / ((a * a + b * b + c1) * (var_a + var_b + c2));
            }
        }
        total / (height * width) as f64
    }

    #[test]
    fn it_is_that_of_the_definition() {
        for (height, width) in [(1, 1), (7, 13), (16, 3), (20, 20)] {
            for range in [1.0, 2.0] {
                let (one, other) = (map(1, height * width), map(2, height * width));
                let (found, expected) =
                    (ssim(&one, &other, width, range), directly(&one, &other, width, range));
                assert!((found - expected).abs() < 1e-10, "{height}×{width}: {found} {expected}");
                assert!((ssim(&one, &one, width, range) - 1.0).abs() < 1e-12);
                assert!((found - ssim(&other, &one, width, range)).abs() < 1e-12);
            }
        }
        // The same brightness, and the opposite pattern.
        let [one, other] = [0.3, -0.3]
            .map(|times| map(3, 400).iter().map(|value| 0.5 + times * value).collect::<Vec<f32>>());
        assert!(ssim(&one, &other, 20, 1.0) < -0.8);
    }
}
