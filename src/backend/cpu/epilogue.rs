//! What happens to a tile of sums before it is stored: bias, ReLU, masks and pooling forward; gates and unpooling back.

use super::simd::{magnitude_bits, vectorised};
use super::tiles::{Epilogue, Maps, SIDE, TileRow};
use crate::backend::Gate;

/// Bits of a pooling code that hold the position of the window's maximum, 2·dy + dx.
const ARGMAX: u8 = 0b011;
/// Bit of a pooling code that says whether the maximum is positive, that is, whether the ReLU let it pass.
const POSITIVE: u8 = 0b100;

/// Bytes of mask bits of one position: bit c % 8 of byte c / 8 is set where channel c is active.
pub fn mask_bytes(channels: usize) -> usize {
    channels.div_ceil(8)
}

/// Bias, ReLU and, below a max-pool, 2×2 pooling.
///
/// Keeps one mask bit a position, or below a pool one code a pooled value (argmax, first in scan order on ties over
/// the ReLU'd values, and one mask bit).
pub struct Forward<'a> {
    /// Output maps before pooling.
    pub maps: Maps,
    pub bias: &'a [f32],
    pub pool: bool,
}

impl Forward<'_> {
    /// Bytes of codes of the whole batch.
    pub fn code_len(&self) -> usize {
        if self.pool {
            self.maps.pooled().len()
        } else {
            self.maps.images * self.maps.height * self.maps.width * mask_bytes(self.maps.channels)
        }
    }
}

impl Epilogue for Forward<'_> {
    fn lengths(&self, tile_y: usize) -> (usize, usize) {
        let Maps { height, width, channels, .. } = self.maps;
        if self.pool {
            let rows = pooled_rows(tile_y, height);
            (rows * (width / 2) * channels, rows * (width / 2) * channels)
        } else {
            let rows = self.maps.rows_in(tile_y);
            (rows * width * channels, rows * width * mask_bytes(channels))
        }
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
        let bias = &self.bias[first..first + count];
        let (rows, columns) = (self.maps.rows_in(row.tile_y), SIDE.min(self.maps.width - tile_x * SIDE));
        let position = |y: usize, x: usize| &sums[(y * SIDE + x) * stride..][..count];
        let largest = vectorised(
            #[inline(always)]
            || {
                let mut largest = 0;
                for y in 0..rows {
                    for x in 0..columns {
                        for (sum, bias) in position(y, x).iter().zip(bias) {
                            largest = largest.max(magnitude_bits(sum + bias));
                        }
                    }
                }
                largest
            },
        );
        row.largest = row.largest.max(largest);
        let channels = self.maps.channels;
        if self.pool {
            let pooled_width = self.maps.width / 2;
            for y in 0..rows / 2 {
                for x in 0..columns / 2 {
                    let at = (y * pooled_width + tile_x * SIDE / 2 + x) * channels + first;
                    pool_window(
                        std::array::from_fn(|k| position(2 * y + k / 2, 2 * x + k % 2)),
                        bias,
                        &mut row.values[at..at + count],
                        &mut row.codes[at..at + count],
                    );
                }
            }
        } else {
            for y in 0..rows {
                for x in 0..columns {
                    let at = y * self.maps.width + tile_x * SIDE + x;
                    let values = &mut row.values[at * channels + first..][..count];
                    let bits = &mut row.codes[at * mask_bytes(channels) + first / 8..][..mask_bytes(count)];
                    rectify(position(y, x), bias, values, bits);
                }
            }
        }
    }
}

/// Rows of pooled values in tile row `tile_y` of a map of `height` rows.
fn pooled_rows(tile_y: usize, height: usize) -> usize {
    (height / 2).saturating_sub(tile_y * 2).min(SIDE / 2)
}

/// z = sum + bias; stores max(z, 0) and the bits z > 0.
#[inline]
fn rectify(sums: &[f32], bias: &[f32], values: &mut [f32], bits: &mut [u8]) {
    vectorised(
        #[inline(always)]
        || {
            for ((sums, bias), (values, bits)) in
                sums.chunks(8).zip(bias.chunks(8)).zip(values.chunks_mut(8).zip(bits.iter_mut()))
            {
                let mut byte = 0;
                for (c, ((sum, bias), value)) in sums.iter().zip(bias).zip(values).enumerate() {
                    let z = sum + bias;
                    let active = z > 0.0;
                    *value = if active { z } else { 0.0 };
                    byte |= u8::from(active) << c;
                }
                *bits = byte;
            }
        },
    );
}

/// Pools one window of four positions in scan order.
#[inline]
fn pool_window(window: [&[f32]; 4], bias: &[f32], values: &mut [f32], codes: &mut [u8]) {
    vectorised(
        #[inline(always)]
        || {
            let count = values.len();
            let [a, b, c, d] = window.map(|sums| &sums[..count]);
            let (bias, codes) = (&bias[..count], &mut codes[..count]);
            for i in 0..count {
                let relu = |z: f32| if z > 0.0 { z } else { 0.0 };
                let (mut best, mut argmax) = (relu(a[i] + bias[i]), 0u32);
                for (k, sums) in [b, c, d].into_iter().enumerate() {
                    let value = relu(sums[i] + bias[i]);
                    let better = value > best;
                    best = if better { value } else { best };
                    argmax = if better { k as u32 + 1 } else { argmax };
                }
                let positive = if best > 0.0 { u32::from(POSITIVE) } else { 0 };
                values[i] = best;
                codes[i] = (argmax | positive) as u8;
            }
        },
    );
}

/// What a signal meets on its way down: the layer whose output it has just been carried to.
#[derive(Clone, Copy)]
pub enum Below<'a> {
    /// The image: no gate.
    Image,
    /// A ReLU: mask bits of every position.
    Rectifier { mask: &'a [u8] },
    /// A max-pool over a ReLU: pooling codes; `unpooled` are the maps under the pool.
    Pool { codes: &'a [u8], unpooled: Maps },
}

/// Gates of ReLUs and the scatter of max-pools to their argmax.
pub struct Backward<'a> {
    /// Maps the sums belong to: the output of the layer below (after its pool).
    pub maps: Maps,
    pub below: Below<'a>,
    pub gate: Gate,
}

impl Backward<'_> {
    /// The maps that are stored.
    pub fn stored(&self) -> Maps {
        match self.below {
            Below::Pool { unpooled, .. } => unpooled,
            _ => self.maps,
        }
    }
}

impl Epilogue for Backward<'_> {
    fn lengths(&self, tile_y: usize) -> (usize, usize) {
        let Maps { width, channels, height, .. } = self.stored();
        let rows = match self.below {
            // The last row of tiles also holds the odd row that no window covers.
            Below::Pool { .. } if tile_y + 1 == self.maps.tile_rows_per_image() => height - tile_y * 2 * SIDE,
            Below::Pool { .. } => 2 * SIDE,
            _ => self.maps.rows_in(tile_y),
        };
        (rows * width * channels, 0)
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
        let Maps { height, width, channels, .. } = self.maps;
        let (rows, columns) = (self.maps.rows_in(row.tile_y), SIDE.min(width - tile_x * SIDE));
        let mut largest = 0;
        for y in 0..rows {
            for x in 0..columns {
                let sums = &sums[(y * SIDE + x) * stride..][..count];
                let (map_y, map_x) = (row.tile_y * SIDE + y, tile_x * SIDE + x);
                let at = (row.image * height + map_y) * width + map_x;
                largest = largest.max(match self.below {
                    Below::Image => {
                        let values = &mut row.values[(y * width + map_x) * channels + first..][..count];
                        values.copy_from_slice(sums);
                        vectorised(
                            #[inline(always)]
                            || sums.iter().fold(0, |largest, &r| largest.max(magnitude_bits(r))),
                        )
                    }
                    Below::Rectifier { mask } => {
                        let bits = &mask[at * mask_bytes(channels) + first / 8..][..mask_bytes(count)];
                        let values = &mut row.values[(y * width + map_x) * channels + first..][..count];
                        gate_position(self.gate, sums, bits, values)
                    }
                    Below::Pool { codes, unpooled } => {
                        let codes = &codes[at * channels + first..][..count];
                        let mut window =
                            unpooled_window(row.values, unpooled.width, channels, (y, map_x), first, count);
                        scatter_window(self.gate, sums, codes, &mut window)
                    }
                });
            }
        }
        if let Below::Pool { unpooled, .. } = self.below {
            clear_uncovered(row, unpooled, (height, width), tile_x, first, count);
        }
        row.largest = row.largest.max(largest);
    }
}

/// The four positions under one pooled position, in scan order. `y` counts pooled rows within the row of tiles.
fn unpooled_window(
    values: &mut [f32],
    width: usize,
    channels: usize,
    (y, x): (usize, usize),
    first: usize,
    count: usize,
) -> [&mut [f32]; 4] {
    let upper = (2 * y * width + 2 * x) * channels;
    let (top, bottom) = values[upper..].split_at_mut(width * channels);
    let (top_left, top_right) = top.split_at_mut(channels);
    let (bottom_left, bottom_right) = bottom.split_at_mut(channels);
    [top_left, top_right, bottom_left, bottom_right].map(|position| &mut position[first..first + count])
}

/// Zero in the last row and column that no window covers.
fn clear_uncovered(
    row: &mut TileRow,
    unpooled: Maps,
    (height, width): (usize, usize),
    tile_x: usize,
    first: usize,
    count: usize,
) {
    let Maps { channels, .. } = unpooled;
    let (rows, columns) = (row.values.len() / (unpooled.width * channels), SIDE.min(width - tile_x * SIDE));
    let last_column = unpooled.width > 2 * width && tile_x * SIDE + columns == width;
    let last_row = unpooled.height > 2 * height && row.tile_y * 2 * SIDE + rows == unpooled.height;
    let mut clear =
        |y: usize, x: usize| row.values[(y * unpooled.width + x) * channels + first..][..count].fill(0.0);
    if last_column {
        (0..rows).for_each(|y| clear(y, unpooled.width - 1));
    }
    if last_row {
        (tile_x * 2 * SIDE..(tile_x * SIDE + columns) * 2).for_each(|x| clear(rows - 1, x));
    }
}

/// Gates one position and returns the largest magnitude that passed.
#[inline]
fn gate_position(gate: Gate, sums: &[f32], bits: &[u8], values: &mut [f32]) -> u32 {
    let (by_mask, by_sign) = (gate.by_mask(), gate.by_sign());
    let all = if by_mask { 0 } else { 0xff };
    vectorised(
        #[inline(always)]
        || {
            let mut largest = 0;
            let (sums, sums_rest) = sums.as_chunks::<8>();
            let (values, values_rest) = values.as_chunks_mut::<8>();
            for ((sums, values), &bits) in sums.iter().zip(values).zip(bits) {
                let bits = u32::from(bits | all);
                for c in 0..8 {
                    let passes = (bits >> c & 1 != 0) & passes_sign(sums[c], by_sign);
                    values[c] = passed(sums[c], passes);
                    largest = largest.max(magnitude_bits(values[c]));
                }
            }
            let bits = bits.last().copied().unwrap_or(0) | all;
            for (c, (&r, value)) in sums_rest.iter().zip(values_rest).enumerate() {
                *value = passed(r, (bits >> c & 1 != 0) & passes_sign(r, by_sign));
                largest = largest.max(magnitude_bits(*value));
            }
            largest
        },
    )
}

/// Whether a value passes the backward ReLU. Not a number passes, so that it is found and told.
#[inline(always)]
pub fn passes_sign(r: f32, by_sign: bool) -> bool {
    !by_sign | (r > 0.0) | r.is_nan()
}

/// `r` where it passes, else zero; without a branch, which would keep the compiler from using vectors.
#[inline(always)]
fn passed(r: f32, passes: bool) -> f32 {
    f32::from_bits(r.to_bits() & u32::from(passes).wrapping_neg())
}

/// Gates one pooled position and writes it to the argmax of its window, zero to the other three.
#[inline]
fn scatter_window(gate: Gate, sums: &[f32], codes: &[u8], window: &mut [&mut [f32]; 4]) -> u32 {
    let by_sign = gate.by_sign();
    let needed = if gate.by_mask() { POSITIVE } else { 0 };
    vectorised(
        #[inline(always)]
        || {
            let count = sums.len();
            let codes = &codes[..count];
            let mut largest = 0;
            for (k, values) in window.iter_mut().enumerate() {
                let values = &mut values[..count];
                for i in 0..count {
                    let (r, code) = (sums[i], codes[i]);
                    let here = (code & ARGMAX == k as u8) & (code & needed == needed);
                    values[i] = passed(r, here & passes_sign(r, by_sign));
                    largest = largest.max(magnitude_bits(values[i]));
                }
            }
            largest
        },
    )
}

/// Runs an epilogue on maps that are sums already: where the backward pass enters the convolutions.
pub fn apply(epilogue: &impl Epilogue, maps: Maps, values: &[f32], rows: &mut [TileRow]) {
    let Maps { height, width, channels, .. } = maps;
    let mut sums = vec![0.0; SIDE * SIDE * channels];
    for row in rows {
        for tile_x in 0..maps.tiles_per_row() {
            for (position, sums) in sums.chunks_exact_mut(channels).enumerate() {
                let (y, x) = (row.tile_y * SIDE + position / SIDE, tile_x * SIDE + position % SIDE);
                if y < height && x < width {
                    let at = ((row.image * height + y) * width + x) * channels;
                    sums.copy_from_slice(&values[at..at + channels]);
                }
            }
            epilogue.tile(row, tile_x, &sums, channels, 0, channels);
        }
    }
}
