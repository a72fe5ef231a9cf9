//! The covariance of a layer's inputs, from its second moments.

use crate::backend::{LayerMoments, SecondMoments};
use crate::parallel;

/// Rows that are made by a thread from a triangle: long enough stretches of its rows are then read at a time.
const STRIP: usize = 32;

/// Σ = E\[xxᵀ\] − E\[x\]E\[x\]ᵀ, \[K, K\], of a layer with K inputs a neuron, in the order of a neuron's weights.
pub struct Covariance<'a> {
    moments: &'a LayerMoments,
    second: &'a SecondMoments,
    /// E\[x\], \[K\].
    mean: Vec<f64>,
}

impl<'a> Covariance<'a> {
    /// That of moments with some positions; none where they have no second moments.
    pub fn of(moments: &'a LayerMoments) -> Option<Self> {
        let second = moments.second.as_ref()?;
        let mean = moments.x.iter().map(|x| x / moments.positions).collect();
        Some(Covariance { moments, second, mean })
    }

    /// K.
    pub fn fan_in(&self) -> usize {
        self.mean.len()
    }

    /// Mean of the diagonal of Σ: the mean variance of an input.
    ///
    /// # Panics
    /// When Σ is not [made by rows](Covariance::is_made_by_rows).
    pub fn mean_variance(&self) -> f64 {
        let triangle = self.triangle();
        let square = |index: usize| triangle[index * (index + 1) / 2 + index] / self.moments.positions;
        let variance = |(index, mean): (usize, &f64)| square(index) - mean * mean;
        self.mean.iter().enumerate().map(variance).sum::<f64>() / self.fan_in() as f64
    }

    /// Whether Σ is made row by row without more memory: that of a dense layer.
    pub fn is_made_by_rows(&self) -> bool {
        matches!(self.second, SecondMoments::Dense(_))
    }

    /// All of Σ.
    pub fn square(&self) -> Vec<f64> {
        let fan_in = self.fan_in();
        match self.second {
            SecondMoments::Dense(_) => {
                let mut square = vec![0.0; fan_in * fan_in];
                self.rows(0, &mut square);
                square
            }
            SecondMoments::Convolution(lags) => {
                let mut square = lags.patches(self.moments.shape[1]);
                parallel::each(square.chunks_mut(fan_in).enumerate(), |(row, values)| {
                    self.centre(row, values)
                });
                square
            }
        }
    }

    /// Rows of Σ from the row `first` on, one after the other: as many as there is room for.
    ///
    /// # Panics
    /// When Σ is not [made by rows](Covariance::is_made_by_rows).
    pub fn rows(&self, first: usize, into: &mut [f64]) {
        let (triangle, fan_in) = (self.triangle(), self.fan_in());
        parallel::each(into.chunks_mut(STRIP * fan_in).enumerate(), |(strip, into)| {
            let first = first + strip * STRIP;
            let count = into.len() / fan_in;
            for (row, values) in (first..).zip(into.chunks_mut(fan_in)) {
                values[..=row].copy_from_slice(&triangle[row * (row + 1) / 2..][..=row]);
            }
            // What is right of the diagonal is a stretch of a later row.
            for column in first + 1..fan_in {
                let stretch = &triangle[column * (column + 1) / 2 + first..][..count.min(column - first)];
                for (row, value) in stretch.iter().enumerate() {
                    into[row * fan_in + column] = *value;
                }
            }
            for (row, values) in (first..).zip(into.chunks_mut(fan_in)) {
                self.centre(row, values);
            }
        });
    }

    fn triangle(&self) -> &'a [f64] {
        match self.second {
            SecondMoments::Dense(triangle) => triangle,
            SecondMoments::Convolution(_) => panic!("the covariance of a convolution is made whole"),
        }
    }

    /// From Σxxᵀ to Σ.
    fn centre(&self, row: usize, values: &mut [f64]) {
        let (positions, row_mean) = (self.moments.positions, self.mean[row]);
        for (value, column_mean) in values.iter_mut().zip(&self.mean) {
            *value = *value / positions - row_mean * column_mean;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Dense, ParametricLayer};

    #[test]
    fn rows_from_the_triangle_are_those_of_the_definition() {
        for fan_in in [1, 2, 31, 32, 33, 100] {
            let dense = Dense { name: String::new(), inputs: fan_in, outputs: 1, relu: true };
            let mut moments = LayerMoments::zeros(ParametricLayer::Dense(&dense), true);
            moments.positions = 4.0;
            moments.x = (0..fan_in).map(|index| index as f64 - 3.0).collect();
            let value = |row: usize, column: usize| (row.max(column) * 1000 + row.min(column)) as f64;
            let pairs = (0..fan_in).flat_map(|row| (0..=row).map(move |column| (row, column)));
            moments.second =
                Some(SecondMoments::Dense(pairs.map(|(row, column)| value(row, column)).collect()));
            let covariance = Covariance::of(&moments).unwrap();
            let expected = |row: usize, column: usize| {
                value(row, column) / 4.0 - moments.x[row] * moments.x[column] / 16.0
            };
            let square = covariance.square();
            for (index, value) in square.iter().enumerate() {
                assert_eq!(*value, expected(index / fan_in, index % fan_in), "{fan_in}: {index}");
            }
            let first = fan_in / 3;
            let mut some = vec![f64::NAN; (fan_in - first) * fan_in];
            covariance.rows(first, &mut some);
            assert_eq!(some, square[first * fan_in..]);
        }
    }
}
