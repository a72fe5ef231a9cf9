//! Sums of products of patches and responses by Winograd's transforms: a quarter of the products.
//!
//! The sum over positions is the transpose of the convolution in its kernel, so the transposed algorithm computes it:
//! Σ patch · response = Gᵀ[Σ over tiles of (Bᵀ d B) ⊙ (A y Aᵀ)]G, with the transforms of the forward pass.

use super::covariance::{Block, Input, pieces};
use crate::backend::cpu::convolution::{ScaledMaps, TAPS};
use crate::backend::cpu::gemm::{Accumulate, Matrix, multiply_transposed};
use crate::backend::cpu::tiles::{Maps, POSITIONS, SIDE};
use crate::backend::cpu::winograd::{FREQUENCIES, InputTransform, ResponseTransform, TapTransform};
use crate::backend::cpu::workspace::Workspace;
use std::ops::Range;

/// Tiles summed in one float32 accumulator.
pub const CHUNK: usize = super::CHUNK / POSITIONS;
/// Tiles transformed at a time: both operands and the sums of 64 neurons and 64 channels stay near the L2 cache.
const TRANSFORMED: usize = 64;
/// Floats between the ends and starts of frequencies: strides of a multiple of 4096 bytes would share cache sets.
const PADDING: usize = 16;

/// Sums over a span of the flat list of all valid images' tiles: \[neurons, 3, slice, taps\].
pub fn sum(block: &Block, span: Range<usize>, workspace: &Workspace) -> Vec<f64> {
    let Input::Maps { values, maps } = block.responses.input else { return Vec::new() };
    let input = ScaledMaps { values, maps, scales: &[] };
    let (columns, channels) = (block.columns(), block.slice.len());
    let pilots = block.pilots();
    let transformed = TRANSFORMED.min(span.len());
    let patch_stride = transformed * channels + PADDING;
    let response_stride = transformed * columns + PADDING;
    let product_stride = columns * channels + PADDING;
    let mut patches = workspace.take(FREQUENCIES * patch_stride);
    let mut responses = workspace.take(FREQUENCIES * response_stride);
    let mut products = workspace.take(FREQUENCIES * product_stride);
    let mut tile_responses = vec![0.0; POSITIONS * columns];
    let mut sums = vec![0.0; TAPS * channels];
    let mut total = vec![0.0; columns * channels * TAPS];
    let zeros = vec![0.0; channels];
    for chunk in pieces(span, CHUNK) {
        for (index, piece) in pieces(chunk, TRANSFORMED).enumerate() {
            for (row, tile) in piece.clone().enumerate() {
                let tile = Tile::new(block, maps, tile);
                pulp::Arch::new().dispatch(InputTransform {
                    patch: tile.patch(input, block.slice.start, &zeros),
                    scale: 1.0,
                    transformed: &mut patches[row * channels..],
                    frequency_stride: patch_stride,
                });
                tile.responses(block, maps, &pilots, &mut tile_responses);
                pulp::Arch::new().dispatch(ResponseTransform {
                    responses: &tile_responses,
                    channels: columns,
                    transformed: &mut responses[row * columns..],
                    frequency_stride: response_stride,
                });
            }
            for frequency in 0..FREQUENCIES {
                multiply_transposed(
                    (columns, piece.len(), channels),
                    Matrix { values: &responses[frequency * response_stride..], stride: columns },
                    Matrix { values: &patches[frequency * patch_stride..], stride: channels },
                    &mut products[frequency * product_stride..],
                    channels,
                    if index == 0 { Accumulate::Replace } else { Accumulate::Add },
                );
            }
        }
        for row in 0..columns {
            pulp::Arch::new().dispatch(TapTransform {
                products: &products[row * channels..],
                frequency_stride: product_stride,
                channels,
                sums: &mut sums,
            });
            block.flush(row, &sums, &mut total);
        }
    }
    total
}

/// A tile of 4×4 positions.
struct Tile {
    image: usize,
    top: usize,
    left: usize,
}

impl Tile {
    /// Number `tile` of those of all valid images.
    fn new(block: &Block, maps: Maps, tile: usize) -> Self {
        let per_row = maps.tiles_per_row();
        let per_image = maps.tile_rows_per_image() * per_row;
        let within = tile % per_image;
        Tile {
            image: block.responses.valid[tile / per_image],
            top: within / per_row * SIDE,
            left: within % per_row * SIDE,
        }
    }

    /// The 6×6 patch around it, channels `first..first + zeros.len()`.
    fn patch<'a>(&self, input: ScaledMaps<'a>, first: usize, zeros: &'a [f32]) -> [&'a [f32]; FREQUENCIES] {
        let (top, left) = (self.top as isize - 1, self.left as isize - 1);
        std::array::from_fn(|index| {
            let side = crate::backend::cpu::winograd::SIDE;
            let (y, x) = (top + (index / side) as isize, left + (index % side) as isize);
            input.position(self.image, y, x).map_or(zeros, |values| &values[first..first + zeros.len()])
        })
    }

    /// g₊, m, g₋ at its positions, zeros beside the map: \[16, 3, neurons\].
    fn responses(&self, block: &Block, maps: Maps, pilots: &[Vec<f32>; 2], responses: &mut [f32]) {
        for (position, row) in responses.chunks_exact_mut(block.columns()).enumerate() {
            let (y, x) = (self.top + position / SIDE, self.left + position % SIDE);
            if y < maps.height && x < maps.width {
                block.regimes(pilots, self.image, y * maps.width + x, row);
            } else {
                row.fill(0.0);
            }
        }
    }
}
