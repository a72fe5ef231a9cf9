//! Σxxᵀ of a dense layer: a triangle that is larger than all else (2.5 GB for fc6), read and written once a batch.

use crate::backend::cpu::gemm::{Accumulate, Matrix, multiply};
use crate::backend::cpu::simd::vectorised;
use crate::backend::cpu::tiles::split_off;
use crate::backend::cpu::workspace::Workspace;
use crate::parallel;

/// Images summed in float32 before the sum goes on in float64.
const IMAGES_AT_A_TIME: usize = 4096;
/// Rows of the triangle that a task adds to.
const ROWS: usize = 32;
/// Columns of a product: 128 KB of float32 stay in the L2 cache until they are added.
const COLUMNS: usize = 1024;

/// Adds Σxxᵀ of x \[images, inputs\] to the lower triangle, row after row, diagonal included.
pub fn add(triangle: &mut [f64], x: &[f32], inputs: usize, workspace: &Workspace) {
    assert_eq!(triangle.len(), inputs * (inputs + 1) / 2, "second moments of other inputs");
    for x in x.chunks(IMAGES_AT_A_TIME * inputs) {
        add_images(triangle, x, inputs, workspace);
    }
}

/// Adds what one float32 sum may hold.
fn add_images(mut triangle: &mut [f64], x: &[f32], inputs: usize, workspace: &Workspace) {
    let images = x.len() / inputs;
    let mut totals = vec![0.0; inputs];
    for x in x.chunks_exact(inputs) {
        totals.iter_mut().zip(x).for_each(|(total, &x)| *total += f64::from(x));
    }
    let means: Vec<f32> = totals.iter().map(|total| (total / images as f64) as f32).collect();
    let pilot: Vec<f64> = means.iter().map(|&c| f64::from(c)).collect();
    // Inputs that are zero in all images, as many are behind a ReLU, add nothing to their rows.
    let mut dead = vec![true; inputs];
    for x in x.chunks_exact(inputs) {
        dead.iter_mut().zip(x).for_each(|(dead, &x)| *dead &= x == 0.0);
    }
    let mut centred = workspace.take(x.len());
    for (centred, x) in centred.chunks_exact_mut(inputs).zip(x.chunks_exact(inputs)) {
        for ((centred, x), c) in centred.iter_mut().zip(x).zip(&means) {
            *centred = x - c;
        }
    }
    let centred: &[f32] = &centred;

    let mut tasks = Vec::with_capacity(inputs.div_ceil(ROWS));
    for first in (0..inputs).step_by(ROWS) {
        let end = (first + ROWS).min(inputs);
        let sums = split_off(&mut triangle, (first..end).map(|row| row + 1).sum());
        tasks.push((first, end, sums));
    }
    parallel::each(tasks, |(first, end, sums)| {
        if dead[first..end].iter().all(|&dead| dead) {
            return;
        }
        let rows = end - first;
        let mut left = workspace.take(rows * images);
        for (row, left) in left.chunks_exact_mut(images).enumerate() {
            for (left, centred) in left.iter_mut().zip(centred.chunks_exact(inputs)) {
                *left = centred[first + row];
            }
        }
        let mut products = workspace.take(rows * COLUMNS);
        for first_column in (0..end).step_by(COLUMNS) {
            let columns = COLUMNS.min(end - first_column);
            multiply(
                (rows, images, columns),
                Matrix { values: &left, stride: images },
                Matrix { values: &centred[first_column..], stride: inputs },
                &mut products,
                columns,
                Accumulate::Replace,
            );
            let mut start = 0;
            for row in first..end {
                let sums = &mut sums[start..start + row + 1];
                start += row + 1;
                let columns_of_row = first_column..(first_column + columns).min(row + 1);
                if dead[row] || columns_of_row.is_empty() {
                    continue;
                }
                let (c, left) = (pilot[row], totals[row] - images as f64 * pilot[row]);
                let sums = &mut sums[columns_of_row.clone()];
                let (totals, pilot) = (&totals[columns_of_row.clone()], &pilot[columns_of_row]);
                let products = &products[(row - first) * columns..];
                vectorised(
                    #[inline(always)]
                    || {
                        let undo = totals.iter().zip(pilot);
                        for ((sum, &product), (total, d)) in sums.iter_mut().zip(products).zip(undo) {
                            *sum += f64::from(product) + (c * total + left * d);
                        }
                    },
                );
            }
        }
    });
}
