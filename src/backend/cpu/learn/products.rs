//! Sums of products of patches and responses by one plain matrix product: for few input channels and dense layers.

use super::CHUNK;
use super::covariance::{Block, Input, pieces};
use crate::backend::cpu::convolution::{ScaledMaps, TAPS, gather_slice};
use crate::backend::cpu::gemm::{Accumulate, Matrix, multiply_transposed};
use crate::backend::cpu::workspace::Workspace;
use std::ops::Range;

/// Positions gathered at a time.
const GATHERED: usize = 512;

/// Sums over a span of the flat list of all valid images' positions: \[neurons, 3, slice, taps\].
pub fn sum(block: &Block, span: Range<usize>, workspace: &Workspace) -> Vec<f64> {
    let columns = block.columns();
    let width = block.slice.len() * block.responses.input.taps();
    let pilots = block.pilots();
    let mut total = vec![0.0; columns * width];
    let mut sums = workspace.take(columns * width);
    let gathered = GATHERED.min(span.len());
    let mut regimes = workspace.take(gathered * columns);
    let mut patches = workspace.take(gathered * width);
    for chunk in pieces(span, CHUNK) {
        for (index, piece) in pieces(chunk, GATHERED).enumerate() {
            gather_patches(block, piece.clone(), &mut patches);
            gather_regimes(block, &pilots, piece.clone(), &mut regimes);
            multiply_transposed(
                (columns, piece.len(), width),
                Matrix { values: &regimes, stride: columns },
                Matrix { values: &patches, stride: width },
                &mut sums,
                width,
                if index == 0 { Accumulate::Replace } else { Accumulate::Add },
            );
        }
        for (row, sums) in sums.chunks_exact(width).enumerate() {
            block.flush(row, sums, &mut total);
        }
    }
    total
}

/// \[positions, taps, slice\].
fn gather_patches(block: &Block, piece: Range<usize>, patches: &mut [f32]) {
    let responses = block.responses;
    match responses.input {
        Input::Maps { values, maps } => {
            let input = ScaledMaps { values, maps, scales: &[] };
            let positions = maps.height * maps.width;
            for (position, patch) in piece.zip(patches.chunks_exact_mut(block.slice.len() * TAPS)) {
                let (image, position) = (responses.valid[position / positions], position % positions);
                let place = (position / maps.width, position % maps.width);
                gather_slice(input, image, place, block.slice.clone(), patch);
            }
        }
        Input::Rows { values, inputs } => {
            for (position, row) in piece.zip(patches.chunks_exact_mut(block.slice.len())) {
                let start = responses.valid[position] * inputs + block.slice.start;
                row.copy_from_slice(&values[start..start + block.slice.len()]);
            }
        }
    }
}

/// \[positions, 3, neurons\].
fn gather_regimes(block: &Block, pilots: &[Vec<f32>; 2], piece: Range<usize>, regimes: &mut [f32]) {
    let positions = block.responses.input.positions();
    for (position, row) in piece.zip(regimes.chunks_exact_mut(block.columns())) {
        block.regimes(pilots, block.responses.valid[position / positions], position % positions, row);
    }
}
