//! Cholesky factors and what is solved with them, in blocks, so that nearly all of the work is matrix products.
//!
//! Matrices lie column after column; of a symmetric or lower triangular one what lies above the diagonal is not read. Results
//! do not depend on the number of threads.

use std::ops::Range;

use crate::parallel;
use crate::products::{Accumulate, Kernels, Strides, View, multiply};

/// Columns that are decomposed one by one.
const NARROW: usize = 16;
/// Columns of a product that one task makes.
const TASK: usize = 64;
/// Rows of a triangle that are solved one by one.
const BLOCK: usize = 32;
/// Right sides that one task solves at most: it reads all of the triangle.
const SIDES: usize = 64;
/// Tasks that right sides are split into if each then has a few: as many as a large machine has threads.
const TASKS: usize = 16;

/// Replaces a lower triangle \[K, K\] by L with LLᵀ = that matrix. Whether it is positive definite; else it is left half done.
pub fn decompose(matrix: &mut [f64], size: usize) -> bool {
    decompose_columns(matrix, size, 0)
}

/// Columns from `first` on of a matrix whose earlier columns have been subtracted from them: the left half, then what it
/// takes from the right half, then the right half.
fn decompose_columns(columns: &mut [f64], size: usize, first: usize) -> bool {
    let width = columns.len() / size.max(1);
    if width <= NARROW {
        return decompose_narrow(columns, size, first);
    }
    let half = (width / 2).next_multiple_of(NARROW).min(width - 1);
    let (left, right) = columns.split_at_mut(half * size);
    if !decompose_columns(left, size, first) {
        return false;
    }
    let kernels = Kernels::best();
    let strides = Strides::column_major(size);
    parallel::each(right.chunks_mut(TASK * size).enumerate(), |(task, right)| {
        // The rows from the diagonal of the task's first column on.
        let top = first + half + task * TASK;
        let columns = right.len() / size;
        let rows = View { values: &left[top..], strides };
        let transposed = View { values: &left[top..], strides: strides.transposed() };
        let shape = (size - top, half, columns);
        multiply(kernels, shape, -1.0, rows, transposed, (&mut right[top..], strides), Accumulate::Add);
    });
    decompose_columns(right, size, first + half)
}

/// The same column by column.
fn decompose_narrow(columns: &mut [f64], size: usize, first: usize) -> bool {
    for column in 0..columns.len() / size.max(1) {
        let row = first + column;
        let (done, rest) = columns.split_at_mut(column * size);
        let current = &mut rest[row..size];
        for earlier in done.chunks_exact(size) {
            subtract(current, &earlier[row..], earlier[row]);
        }
        // Neither what is negative nor what is not a number.
        let pivot = current[0].sqrt();
        if !(pivot > 0.0 && pivot.is_finite()) {
            return false;
        }
        current.iter_mut().for_each(|value| *value /= pivot);
    }
    true
}

/// `from` −= `factor` · `values`.
fn subtract(from: &mut [f64], values: &[f64], factor: f64) {
    from.iter_mut().zip(values).for_each(|(from, value)| *from -= factor * value);
}

/// Elements of the right sides that one task solves, of so many elements. The same on every machine, so that results are.
fn task_length(size: usize, elements: usize) -> usize {
    let count = elements / size.max(1);
    (count.div_ceil(TASKS)).clamp(SIDES / 4, SIDES) * size.max(1)
}

/// (LLᵀ)⁻¹ C of columns C, each \[K\], one after the other; in their place.
pub fn solve(lower: &[f64], size: usize, columns: &mut [f64]) {
    let length = task_length(size, columns.len());
    parallel::each(columns.chunks_mut(length), |columns| {
        forward(lower, size, columns);
        backward(lower, size, columns);
    });
}

/// Rows of blocks of the triangle, from the first on.
fn blocks(size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..size.div_ceil(BLOCK)).map(move |block| block * BLOCK..size.min((block + 1) * BLOCK))
}

/// L⁻¹ C.
fn forward(lower: &[f64], size: usize, columns: &mut [f64]) {
    let strides = Strides::column_major(size);
    let count = columns.len() / size;
    let mut solved = Vec::with_capacity(BLOCK * count);
    for rows in blocks(size) {
        solved.clear();
        for column in columns.chunks_exact_mut(size) {
            let values = &mut column[rows.clone()];
            for index in 0..values.len() {
                let below = &lower[(rows.start + index) * size..][rows.start + index..rows.end];
                values[index] /= below[0];
                let value = values[index];
                subtract(&mut values[index + 1..], &below[1..], value);
            }
            solved.extend_from_slice(values);
        }
        let rest = size - rows.end;
        if rest > 0 {
            let below = View { values: &lower[rows.start * size + rows.end..], strides };
            let solved = View { values: &solved, strides: Strides::column_major(rows.len()) };
            let into = (&mut columns[rows.end..], strides);
            multiply(Kernels::best(), (rest, rows.len(), count), -1.0, below, solved, into, Accumulate::Add);
        }
    }
}

/// L⁻ᵀ C.
fn backward(lower: &[f64], size: usize, columns: &mut [f64]) {
    let strides = Strides::column_major(size);
    let count = columns.len() / size;
    let mut taken = vec![0.0; BLOCK * count];
    for rows in blocks(size).rev() {
        let height = rows.len();
        let taken = &mut taken[..height * count];
        let rest = size - rows.end;
        if rest > 0 {
            let below =
                View { values: &lower[rows.start * size + rows.end..], strides: strides.transposed() };
            let solved = View { values: &columns[rows.end..], strides };
            let into = (&mut taken[..], Strides::column_major(height));
            multiply(Kernels::best(), (height, rest, count), 1.0, below, solved, into, Accumulate::Replace);
        } else {
            taken.fill(0.0);
        }
        for (column, taken) in columns.chunks_exact_mut(size).zip(taken.chunks_exact(height)) {
            let values = &mut column[rows.clone()];
            for index in (0..height).rev() {
                let below = &lower[(rows.start + index) * size..][rows.start + index..rows.end];
                let (value, later) = values[index..].split_at_mut(1);
                let known: f64 = below[1..].iter().zip(later).map(|(factor, later)| factor * *later).sum();
                value[0] = (value[0] - taken[index] - known) / below[0];
            }
        }
    }
}

/// Lᵀ C of columns C, each \[K\], one after the other.
pub fn multiply_transposed(lower: &[f64], size: usize, columns: &[f64]) -> Vec<f64> {
    let strides = Strides::column_major(size);
    let mut products = vec![0.0; columns.len()];
    let length = task_length(size, columns.len());
    parallel::each(products.chunks_mut(length).zip(columns.chunks(length)), |(products, columns)| {
        let count = columns.len() / size;
        for rows in blocks(size) {
            let rest = size - rows.end;
            if rest > 0 {
                let below =
                    View { values: &lower[rows.start * size + rows.end..], strides: strides.transposed() };
                let factors = View { values: &columns[rows.end..], strides };
                let into = (&mut products[rows.start..], strides);
                multiply(
                    Kernels::best(),
                    (rows.len(), rest, count),
                    1.0,
                    below,
                    factors,
                    into,
                    Accumulate::Replace,
                );
            }
            for (product, column) in products.chunks_exact_mut(size).zip(columns.chunks_exact(size)) {
                for row in rows.clone() {
                    let below = &lower[row * size..][row..rows.end];
                    let values = below.iter().zip(&column[row..rows.end]);
                    product[row] += values.map(|(factor, value)| factor * value).sum::<f64>();
                }
            }
        }
    });
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    /// A lower triangle with a diagonal away from zero; garbage above it.
    fn triangle(size: usize) -> Vec<f64> {
        let at = |index: usize| match (index % size, index / size) {
            (row, column) if row == column => 1.0 + normal(1, index as u64).abs(),
            (row, column) if row > column => normal(1, index as u64) / (size as f64).sqrt(),
            _ => f64::NAN,
        };
        (0..size * size).map(at).collect()
    }

    /// L C and Lᵀ C by their definition.
    fn products(lower: &[f64], size: usize, columns: &[f64]) -> [Vec<f64>; 2] {
        let sum = |terms: &mut dyn Iterator<Item = (usize, usize)>, column: &[f64], by_row: bool| -> f64 {
            terms.map(|(row, at)| lower[at * size + row] * column[if by_row { at } else { row }]).sum()
        };
        let plain = |column: &[f64], row: usize| sum(&mut (0..=row).map(|at| (row, at)), column, true);
        let transposed = |column: &[f64], at: usize| sum(&mut (at..size).map(|row| (row, at)), column, false);
        let all = |value: &dyn Fn(&[f64], usize) -> f64| {
            columns.chunks(size).flat_map(|column| (0..size).map(move |at| value(column, at))).collect()
        };
        [all(&plain), all(&transposed)]
    }

    const SIZES: [usize; 9] = [1, 2, 15, 16, 17, 33, 64, 130, 301];

    #[test]
    fn what_was_multiplied_comes_back() {
        for size in SIZES {
            let lower = triangle(size);
            for count in [0, 1, 5, SIDES / 4, SIDES, SIDES + 1, 300] {
                let columns: Vec<f64> = (0..count * size).map(|at| normal(2, at as u64)).collect();
                let [_, transposed] = products(&lower, size, &columns);
                let got = multiply_transposed(&lower, size, &columns);
                assert_eq!(got.len(), columns.len());
                for (got, expected) in got.iter().zip(&transposed) {
                    assert!((got - expected).abs() < 1e-12, "{size}, {count}: {got} {expected}");
                }
                // LLᵀ C, then C again.
                let [mut product, _] = products(&lower, size, &transposed);
                solve(&lower, size, &mut product);
                for (got, expected) in product.iter().zip(&columns) {
                    // The condition of such triangles is below a thousand.
                    assert!((got - expected).abs() < 1e-9, "{size}, {count}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_factor_is_the_one_that_was_multiplied() {
        for size in SIZES {
            let lower = triangle(size);
            let product = |row: usize, column: usize| -> f64 {
                (0..=column.min(row)).map(|at| lower[at * size + row] * lower[at * size + column]).sum()
            };
            let at = |index: usize| {
                if index % size < index / size { f64::NAN } else { product(index % size, index / size) }
            };
            let mut matrix: Vec<f64> = (0..size * size).map(at).collect();
            let before = matrix.clone();
            assert!(decompose(&mut matrix, size));
            for index in (0..size * size).filter(|index| index % size >= index / size) {
                assert!(
                    (matrix[index] - lower[index]).abs() < 1e-12,
                    "{size}: {} {}",
                    matrix[index],
                    lower[index]
                );
            }
            // Any number of threads gives the same bits.
            let mut again = before;
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert!(one.install(|| decompose(&mut again, size)));
            let bits = |matrix: &[f64]| {
                let lower = (0..size * size).filter(|index| index % size >= index / size);
                lower.map(|index| matrix[index].to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(bits(&again), bits(&matrix));
        }
    }

    #[test]
    fn what_is_not_positive_is_refused_wherever_it_shows() {
        for size in SIZES {
            for at in [0, size / 2, size - 1] {
                for wrong in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
                    let mut matrix = vec![0.0; size * size];
                    (0..size).for_each(|index| matrix[index * (size + 1)] = 2.0);
                    matrix[at * (size + 1)] = wrong;
                    assert!(!decompose(&mut matrix, size), "{size}: {wrong} at {at}");
                }
            }
        }
    }
}
