//! A curve as one number.

/// Area over the perturbation curve: the mean over all steps, the first one included, of f(x₀) − f(xₖ) (Samek et al. 2017).
///
/// # Panics
/// When there is no value.
pub fn aopc(values: &[f64]) -> f64 {
    values.iter().map(|value| values[0] - value).sum::<f64>() / values.len() as f64
}

/// Area under the curve by trapezoids, over the fraction of the patches that had their turn, which rises from 0 to 1 (Petsiuk et
/// al. 2018).
///
/// # Panics
/// When there are not as many values as fractions.
pub fn auc(fractions: &[f64], values: &[f64]) -> f64 {
    assert_eq!(fractions.len(), values.len(), "a value a fraction");
    let strips = fractions.windows(2).zip(values.windows(2));
    strips.map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_simple_shapes() {
        assert!((aopc(&[1.0, 0.5, 0.25]) - (0.5 + 0.75) / 3.0).abs() < 1e-15);
        assert_eq!(aopc(&[0.3]), 0.0);
        // A triangle and a rectangle beside it, in unequal steps.
        assert!((auc(&[0.0, 0.25, 1.0], &[1.0, 0.0, 0.0]) - 0.125).abs() < 1e-15);
        assert!((auc(&[0.0, 0.1, 0.7, 1.0], &[2.0; 4]) - 2.0).abs() < 1e-15);
        assert!((auc(&[0.0, 0.5, 1.0], &[0.0, 0.5, 1.0]) - 0.5).abs() < 1e-15);
    }
}
