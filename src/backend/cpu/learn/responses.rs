//! The signed responses z = wᵀx + b of a convolution, and the map that the next layer sees.

use crate::backend::cpu::simd::{magnitude_bits, vectorised};
use crate::backend::cpu::tiles::{Epilogue, Maps, SIDE, TileRow};
use crate::backend::cpu::workspace::{Buffer, Workspace};
use crate::parallel;

/// Stores z as it is: \[images, height, width, channels\].
pub struct SignedResponses<'a> {
    pub maps: Maps,
    pub bias: &'a [f32],
}

impl Epilogue for SignedResponses<'_> {
    fn lengths(&self, tile_y: usize) -> (usize, usize) {
        (self.maps.rows_in(tile_y) * self.maps.width * self.maps.channels, 0)
    }

    fn tile(
        &self,
        row: &mut TileRow,
        tile_x: usize,
        sums: &[f32],
        stride: usize,
        first: usize,
        count: usize,
    ) {
        let Maps { width, channels, .. } = self.maps;
        let bias = &self.bias[first..first + count];
        let (rows, columns) = (self.maps.rows_in(row.tile_y), SIDE.min(width - tile_x * SIDE));
        for y in 0..rows {
            for x in 0..columns {
                let sums = &sums[(y * SIDE + x) * stride..][..count];
                let z = &mut row.values[(y * width + tile_x * SIDE + x) * channels + first..][..count];
                let largest = vectorised(
                    #[inline(always)]
                    || {
                        let mut largest = 0;
                        for ((z, sum), bias) in z.iter_mut().zip(sums).zip(bias) {
                            *z = sum + bias;
                            largest = largest.max(magnitude_bits(*z));
                        }
                        largest
                    },
                );
                row.largest = row.largest.max(largest);
            }
        }
    }
}

/// The map behind the ReLU and the 2×2 max-pool that may follow: the same values that the forward pass stores.
pub fn rectify_and_pool<'a>(
    z: &[f32],
    maps: Maps,
    pool: bool,
    workspace: &'a Workspace,
) -> (Buffer<'a>, Maps) {
    let stored = if pool { maps.pooled() } else { maps };
    let mut values = workspace.take(stored.len());
    let Maps { height, width, channels, .. } = maps;
    let relu = |z: f32| if z > 0.0 { z } else { 0.0 };
    let lines = values.chunks_mut((stored.width * channels).max(1)).enumerate();
    parallel::each(lines, |(line, values)| {
        let (image, y) = (line / stored.height, line % stored.height);
        let row = |y: usize| &z[(image * height + y) * width * channels..][..width * channels];
        vectorised(
            #[inline(always)]
            || {
                if !pool {
                    values.iter_mut().zip(row(y)).for_each(|(value, &z)| *value = relu(z));
                    return;
                }
                let (upper, lower) = (row(2 * y), row(2 * y + 1));
                for (x, values) in values.chunks_exact_mut(channels).enumerate() {
                    let [a, c] = [upper, lower].map(|row| &row[2 * x * channels..][..2 * channels]);
                    let ((a, b), (c, d)) = (a.split_at(channels), c.split_at(channels));
                    for i in 0..channels {
                        values[i] = relu(a[i]).max(relu(b[i])).max(relu(c[i]).max(relu(d[i])));
                    }
                }
            },
        );
    });
    (values, stored)
}
