//! Means under a Gaussian window.

/// The mean around every position of a plane of `width` columns, weighted with a Gaussian of this deviation that is cut off `reach`
/// positions away. At the edges the window is what of it lies within the plane, its weights adding up to 1 there too. Along rows,
/// then along columns, in float64.
pub fn gaussian_means(values: Vec<f64>, width: usize, reach: usize, deviation: f64) -> Vec<f64> {
    let height = values.len() / width;
    let weight = |distance: usize| (-((distance * distance) as f64) / (2.0 * deviation * deviation)).exp();
    let weights: Vec<f64> = (0..=reach).map(weight).collect();
    // Of `count` values, `stride` apart.
    let along = |from: &[f64], start: usize, stride: usize, count: usize, to: &mut [f64]| {
        for at in 0..count {
            let (mut sum, mut total) = (0.0, 0.0);
            for other in at.saturating_sub(reach)..=(at + reach).min(count - 1) {
                let weight = weights[other.abs_diff(at)];
                sum += weight * from[start + other * stride];
                total += weight;
            }
            to[start + at * stride] = sum / total;
        }
    };
    let (mut rows, mut both) = (vec![0.0; values.len()], values);
    (0..height).for_each(|row| along(&both, row * width, 1, width, &mut rows));
    (0..width).for_each(|column| along(&rows, column, width, height, &mut both));
    both
}
