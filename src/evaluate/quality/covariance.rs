//! The covariance of a layer's inputs, from its second moments.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::backend::{LayerMoments, SecondMoments};

/// Rows of Σ that are made at a time where only a triangle of it is kept: 50 MB of the first dense layer of VGG16.
const PANEL: usize = 256;

/// Σ = E\[xxᵀ\] − E\[x\]E\[x\]ᵀ, \[K, K\], of a layer with K inputs a neuron, in the order of a neuron's weights.
pub struct Covariance<'a> {
    /// E\[x\], \[K\].
    mean: Vec<f64>,
    positions: f64,
    second: Second<'a>,
}

enum Second<'a> {
    /// Σ itself. 170 MB for 512 input channels of a convolution.
    Square(Vec<f64>),
    /// Σxxᵀ, the lower triangle row after row.
    Triangle(&'a [f64]),
}

impl<'a> Covariance<'a> {
    /// That of moments with some positions; none where they have no second moments.
    pub fn of(moments: &'a LayerMoments) -> Option<Self> {
        let positions = moments.positions;
        let mean: Vec<f64> = moments.x.iter().map(|x| x / positions).collect();
        let second = match moments.second.as_ref()? {
            SecondMoments::Dense(triangle) => Second::Triangle(triangle),
            SecondMoments::Convolution(lags) => {
                let mut square = lags.patches(moments.shape[1]);
                square.par_chunks_mut(mean.len()).zip(&mean).for_each(|(row, row_mean)| {
                    for (value, column_mean) in row.iter_mut().zip(&mean) {
                        *value = *value / positions - row_mean * column_mean;
                    }
                });
                Second::Square(square)
            }
        };
        Some(Covariance { mean, positions, second })
    }

    /// K.
    fn fan_in(&self) -> usize {
        self.mean.len()
    }

    /// All of Σ.
    pub fn into_square(self) -> Vec<f64> {
        let fan_in = self.fan_in();
        match self.second {
            Second::Square(square) => square,
            Second::Triangle(_) => {
                let mut square = vec![0.0; fan_in * fan_in];
                self.rows(0..fan_in, &mut square);
                square
            }
        }
    }

    /// Rows of Σ, one after the other, from the triangle.
    fn rows(&self, rows: Range<usize>, into: &mut [f64]) {
        let Second::Triangle(triangle) = self.second else { return };
        let at = |row: usize, column: usize| {
            let (row, column) = if row >= column { (row, column) } else { (column, row) };
            triangle[row * (row + 1) / 2 + column]
        };
        into.par_chunks_mut(self.fan_in()).zip(rows).for_each(|(into, row)| {
            for (column, value) in into.iter_mut().enumerate() {
                *value = at(row, column) / self.positions - self.mean[row] * self.mean[column];
            }
        });
    }

    /// Σ V for V of some columns, each \[K\], one after the other; so is the result.
    pub fn multiply(&self, columns: &[f64]) -> Vec<f64> {
        let fan_in = self.fan_in();
        let count = columns.len() / fan_in.max(1);
        let mut product = vec![0.0; columns.len()];
        let columns = MatRef::from_column_major_slice(columns, fan_in, count);
        let mut into = MatMut::from_column_major_slice_mut(&mut product, fan_in, count);
        // Rows of Σ one after the other are columns of it: it is symmetric.
        let mut multiply = |rows: Range<usize>, values: &[f64]| {
            let panel = MatRef::from_column_major_slice(values, fan_in, rows.len());
            let into = into.as_mut().subrows_mut(rows.start, rows.len());
            matmul(into, Accum::Replace, panel.transpose(), columns, 1.0, Par::rayon(0));
        };
        match &self.second {
            Second::Square(square) => multiply(0..fan_in, square),
            Second::Triangle(_) => {
                let mut panel = vec![0.0; PANEL.min(fan_in) * fan_in];
                for first in (0..fan_in).step_by(PANEL) {
                    let rows = first..fan_in.min(first + PANEL);
                    let panel = &mut panel[..rows.len() * fan_in];
                    self.rows(rows.clone(), panel);
                    multiply(rows, panel);
                }
            }
        }
        product
    }
}
