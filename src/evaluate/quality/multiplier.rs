//! Products of a covariance with the functionals of many neurons.

use std::ops::Range;

use super::covariance::Covariance;
use super::factor::mean_diagonal;
use crate::parallel;
use crate::products::{self, Accumulate, Kernels, Strides, View};

/// Columns of V that one task multiplies.
const TASK: usize = 64;

/// Rows of Σ that are made at a time where only a triangle of it is kept: 50 MB of the first dense layer of VGG16.
pub const PANEL: usize = 256;

/// Σ, to be multiplied with.
pub enum Multiplier<'a> {
    /// Σ itself, with K: 170 MB for 512 input channels of a convolution.
    Square(Vec<f64>, usize),
    /// Made row by row.
    Rows(Covariance<'a>),
}

impl<'a> Multiplier<'a> {
    /// With what takes the least memory.
    pub fn new(covariance: Covariance<'a>) -> Self {
        if covariance.is_made_by_rows() {
            Multiplier::Rows(covariance)
        } else {
            Multiplier::Square(covariance.square(), covariance.fan_in())
        }
    }

    /// Mean of the diagonal of Σ: the mean variance of an input.
    pub fn mean_variance(&self) -> f64 {
        match self {
            Multiplier::Square(square, fan_in) => mean_diagonal(square, *fan_in),
            Multiplier::Rows(covariance) => covariance.mean_variance(),
        }
    }

    /// Σ V of several V, each of some columns of K values, one after the other; so are the results.
    pub fn multiply(&self, matrices: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut products: Vec<Vec<f64>> = matrices.iter().map(|columns| vec![0.0; columns.len()]).collect();
        // Rows of Σ one after the other are columns of it: it is symmetric.
        let mut multiply = |fan_in: usize, rows: Range<usize>, values: &[f64]| {
            let strides = Strides::column_major(fan_in);
            // All of Σ is its own transpose, which the library need not rearrange.
            let whole = rows.len() == fan_in;
            let panel = View { values, strides: if whole { strides } else { strides.transposed() } };
            let tasks = matrices.iter().zip(&mut products).flat_map(|(columns, product)| {
                product.chunks_mut(TASK * fan_in).zip(columns.chunks(TASK * fan_in))
            });
            parallel::each(tasks, |(product, columns)| {
                let shape = (rows.len(), fan_in, columns.len() / fan_in);
                let columns = View { values: columns, strides };
                let into = (&mut product[rows.start..], strides);
                products::multiply(Kernels::best(), shape, 1.0, panel, columns, into, Accumulate::Replace);
            });
        };
        match self {
            Multiplier::Square(square, fan_in) => multiply(*fan_in, 0..*fan_in, square),
            Multiplier::Rows(covariance) => {
                let fan_in = covariance.fan_in();
                let mut panel = vec![0.0; PANEL.min(fan_in) * fan_in];
                for first in (0..fan_in).step_by(PANEL) {
                    let rows = first..fan_in.min(first + PANEL);
                    let panel = &mut panel[..rows.len() * fan_in];
                    covariance.rows(first, panel);
                    multiply(fan_in, rows, panel);
                }
            }
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{LayerMoments, SecondMoments};
    use crate::network::{Dense, ParametricLayer};

    #[test]
    fn panels_give_what_the_whole_gives() {
        let fan_in = 2 * PANEL + 17;
        let dense = Dense { name: String::new(), inputs: fan_in, outputs: 1, relu: true };
        let mut moments = LayerMoments::zeros(ParametricLayer::Dense(&dense), true);
        moments.positions = 10.0;
        let length = fan_in * (fan_in + 1) / 2;
        // Small whole numbers, so that every order of summation gives the same.
        moments.second =
            Some(SecondMoments::Dense((0..length).map(|index| 10.0 * (index * 31 % 17) as f64).collect()));
        let covariance = || Covariance::of(&moments).unwrap();
        let square = covariance().square();
        let columns: Vec<f64> = (0..3 * fan_in).map(|index| (index * 7 % 5) as f64 - 2.0).collect();
        let (two, one) = columns.split_at(2 * fan_in);
        let products = Multiplier::new(covariance()).multiply(&[two, one]);
        assert_eq!(products, Multiplier::Square(square.clone(), fan_in).multiply(&[two, one]));
        let row = &square[300 * fan_in..301 * fan_in];
        let expected: f64 = row.iter().zip(one).map(|(a, b)| a * b).sum();
        assert_eq!(products[1][300], expected);
    }
}
