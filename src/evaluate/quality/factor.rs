//! The Cholesky factor of a layer's covariance.

use super::triangular::{decompose, multiply_transposed, solve};
use crate::parallel;

/// What is added to the diagonal, relative to its mean: at first so little that only directions in which x never varies
/// notice it. Sums that were made in float32 may need more.
const RIDGES: [f64; 5] = [1e-12, 1e-10, 1e-8, 1e-6, 1e-4];

/// L with LLᵀ = Σ + ridge · I.
pub struct Factor {
    /// Column after column; only the lower triangle is L's.
    lower: Vec<f64>,
    fan_in: usize,
    /// What was added to the diagonal, relative to its mean.
    pub ridge: f64,
    /// The same in units of Σ. For solutions s of c it makes Σs = c − `added` · s known exactly.
    pub added: f64,
    /// Mean of the diagonal of Σ: the mean variance of an input.
    pub mean: f64,
}

impl Factor {
    /// That of a symmetric matrix \[K, K\], which is made anew for each attempt: what a failed one leaves of it is of no
    /// use. None where no ridge makes it positive.
    pub fn new(fan_in: usize, make: impl Fn() -> Vec<f64>) -> Option<Self> {
        for ridge in RIDGES {
            let mut square = make();
            let mean = mean_diagonal(&square, fan_in);
            if !mean.is_finite() || mean < 0.0 {
                return None;
            }
            // Where nothing varies any ridge will do.
            let scale = if mean > 0.0 { mean } else { 1.0 };
            for index in 0..fan_in {
                square[index * (fan_in + 1)] += ridge * scale;
            }
            if decompose(&mut square, fan_in) {
                return Some(Factor { lower: square, fan_in, ridge, added: ridge * scale, mean });
            }
        }
        None
    }

    /// (Σ + ridge · I)⁻¹ C for C of some columns, each \[K\], one after the other; in their place.
    pub fn solve(&self, columns: &mut [f64]) {
        solve(&self.lower, self.fan_in, columns);
    }

    /// cᵀΣc, without the ridge, of columns, each \[K\], one after the other.
    pub fn variances(&self, columns: &[f64]) -> Vec<f64> {
        let fan_in = self.fan_in;
        let product = multiply_transposed(&self.lower, fan_in, columns);
        let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let pairs = product.chunks(fan_in).zip(columns.chunks(fan_in));
        parallel::map(pairs, |(product, column)| square(product) - self.added * square(column))
    }
}

/// Of a matrix \[K, K\].
pub fn mean_diagonal(square: &[f64], fan_in: usize) -> f64 {
    (0..fan_in).map(|index| square[index * (fan_in + 1)]).sum::<f64>() / fan_in as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Gram matrix of so many vectors of `fan_in` small whole numbers.
    fn gram(vectors: usize, fan_in: usize) -> Vec<f64> {
        // Multiplicative hashing: rows and columns that have nothing to do with each other.
        let element = |vector: u64, index: u64| {
            let hash = vector * 2_654_435_761 + index * 40_503 + vector * index * 2_246_822_519;
            (((hash % (1 << 32)) >> 22) % 11) as f64 - 5.0
        };
        let dot = |a: usize, b: usize| {
            (0..vectors as u64).map(|vector| element(vector, a as u64) * element(vector, b as u64)).sum()
        };
        (0..fan_in * fan_in).map(|at| dot(at / fan_in, at % fan_in)).collect()
    }

    fn multiply(square: &[f64], column: &[f64]) -> Vec<f64> {
        square.chunks(column.len()).map(|row| row.iter().zip(column).map(|(a, b)| a * b).sum()).collect()
    }

    #[test]
    fn solutions_solve_and_variances_are_quadratic_forms() {
        let fan_in = 9;
        let mut square = gram(40, fan_in);
        (0..fan_in).for_each(|index| square[index * (fan_in + 1)] += 30.0);
        let factor = Factor::new(fan_in, || square.clone()).unwrap();
        assert_eq!(factor.ridge, 1e-12);
        let columns: Vec<f64> = (0..2 * fan_in).map(|index| (index as f64 * 1.7).sin()).collect();
        let mut solved = columns.clone();
        factor.solve(&mut solved);
        for (column, solved) in columns.chunks(fan_in).zip(solved.chunks(fan_in)) {
            for (value, product) in column.iter().zip(multiply(&square, solved)) {
                assert!((value - product).abs() < 1e-10, "{value} {product}");
            }
        }
        for (column, variance) in columns.chunks(fan_in).zip(factor.variances(&columns)) {
            let expected: f64 = column.iter().zip(multiply(&square, column)).map(|(a, b)| a * b).sum();
            assert!((variance / expected - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn singular_and_slightly_negative_matrices_get_a_ridge() {
        // Rank 3 of 9.
        let singular = Factor::new(9, || gram(3, 9)).unwrap();
        assert!(singular.ridge <= 1e-10, "{}", singular.ridge);
        assert_eq!(Factor::new(4, || vec![0.0; 16]).unwrap().ridge, 1e-12);
    }

    #[test]
    fn a_factor_that_took_several_attempts_is_that_of_the_matrix() {
        // Of rank 50 and rounded to float32, so that half of the other eigenvalues are below zero.
        let fan_in = 200;
        let square: Vec<f64> =
            gram(50, fan_in).into_iter().map(|value| f64::from((value / 3.0) as f32)).collect();
        let factor = Factor::new(fan_in, || square.clone()).unwrap();
        assert!((1e-10..=1e-6).contains(&factor.ridge), "{}", factor.ridge);
        let column: Vec<f64> = (0..fan_in).map(|index| (index as f64 * 0.3).cos()).collect();
        // Lᵀc gives cᵀ(Σ + ridge)c; what is a direction of Σ comes out.
        let expected: f64 = column.iter().zip(multiply(&square, &column)).map(|(a, b)| a * b).sum();
        let [variance] = factor.variances(&column)[..] else { panic!() };
        assert!((variance / expected - 1.0).abs() < 1e-9, "{variance} {expected}");
        let mut solved = multiply(&square, &column);
        let right = solved.clone();
        factor.solve(&mut solved);
        for ((product, solved), right) in multiply(&square, &solved).iter().zip(&solved).zip(&right) {
            let error = product + factor.added * solved - right;
            assert!(error.abs() < 1e-7 * factor.mean, "{error}");
        }
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        assert!(Factor::new(2, || vec![f64::NAN; 4]).is_none());
        assert!(Factor::new(2, || vec![1.0, f64::NAN, f64::NAN, 1.0]).is_none());
        assert!(Factor::new(2, || vec![1.0, 2.0, 2.0, 1.0]).is_none());
        assert!(Factor::new(2, || vec![-1.0, 0.0, 0.0, -1.0]).is_none());
    }
}
