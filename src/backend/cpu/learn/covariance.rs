//! The masked covariance reduction: Xᵀ·[g₊, m, g₋] over the positions of a batch, for blocks of neurons and slices of the
//! fan-in, with m the mask z > 0, g₊ = (z − c₊)·m and g₋ = (z − c₋)·(1 − m).

use super::CHUNK;
use super::pilots::{Regime, Statistics};
use crate::backend::LayerMoments;
use crate::backend::cpu::convolution::{ScaledMaps, TAPS, gather_slice};
use crate::backend::cpu::gemm::{Accumulate, Matrix, multiply_transposed};
use crate::backend::cpu::simd::vectorised;
use crate::backend::cpu::tiles::Maps;
use crate::backend::cpu::workspace::Workspace;
use rayon::prelude::*;
use std::ops::Range;

/// Neurons of one product: its sums, three a neuron, and a piece of both operands stay in the L2 cache.
const NEURONS: usize = 64;
/// Sums of a neuron: Σxg₊, Σxm, Σxg₋.
const SUMS: usize = 3;
/// Input channels of one product, with all their taps.
const CHANNELS: usize = 64;
/// Inputs of a dense layer in one product.
const INPUTS: usize = 576;
/// Positions gathered at a time.
const GATHERED: usize = 512;
/// Pieces of work that a layer is cut into at least, where it has so many positions. Fixed, so that the order of a
/// sum does not depend on the number of cores.
const PIECES: usize = 64;

/// What a layer sees.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A convolution: channels-last maps.
    Maps { values: &'a [f32], maps: Maps },
    /// A dense layer: \[images, inputs\].
    Rows { values: &'a [f32], inputs: usize },
}

impl Input<'_> {
    /// Positions of one image.
    pub fn positions(&self) -> usize {
        match self {
            Input::Maps { maps, .. } => maps.height * maps.width,
            Input::Rows { .. } => 1,
        }
    }

    /// Slices of the fan-in: channels with all their taps, or inputs.
    fn slices(&self) -> Vec<Range<usize>> {
        let (count, width) = match self {
            Input::Maps { maps, .. } => (maps.channels, CHANNELS),
            Input::Rows { inputs, .. } => (*inputs, INPUTS),
        };
        (0..count).step_by(width).map(|first| first..count.min(first + width)).collect()
    }

    /// Elements of the fan-in that one element of a slice stands for.
    fn taps(&self) -> usize {
        match self {
            Input::Maps { .. } => TAPS,
            Input::Rows { .. } => 1,
        }
    }
}

/// What the responses of a batch say.
#[derive(Clone, Copy)]
pub struct Regimes<'a> {
    /// \[images, positions, outputs\].
    pub z: &'a [f32],
    pub statistics: &'a Statistics,
    pub bias: &'a [f32],
    /// Σx of the batch, \[fan-in\].
    pub x: &'a [f64],
}

/// Adds Σ₊x, Σ₊xy and Σ₋xy of the `valid` images of a batch.
pub fn add(layer: &mut LayerMoments, input: Input, regimes: Regimes, valid: &[usize], workspace: &Workspace) {
    let outputs = layer.outputs();
    let fan_in = layer.fan_in();
    let slices = input.slices();
    let work = Work { input, regimes, outputs, valid, workspace };
    let rows = NEURONS * fan_in;
    let sums = layer.positive_x.par_chunks_mut(rows).zip(layer.positive_xy.par_chunks_mut(rows));
    let blocks = outputs.div_ceil(NEURONS);
    let spans = work.spans(PIECES.div_ceil(blocks * slices.len()));
    sums.zip(layer.negative_xy.par_chunks_mut(rows)).enumerate().for_each(
        |(block, ((positive_x, positive_xy), negative_xy))| {
            let first = block * NEURONS;
            let neurons = first..outputs.min(first + NEURONS);
            let products = |slice: &Range<usize>| work.product(slice.clone(), neurons.clone(), &spans);
            let products: Vec<Vec<f64>> = slices.par_iter().map(products).collect();
            for (slice, product) in slices.iter().zip(&products) {
                let width = slice.len() * input.taps();
                let start = slice.start * input.taps();
                for (index, neuron) in neurons.clone().enumerate() {
                    let row = index * fan_in + start..index * fan_in + start + width;
                    let sums = &product[index * SUMS * width..][..SUMS * width];
                    Undo {
                        x: &regimes.x[start..start + width],
                        sums,
                        positive: regimes.statistics.positive[neuron],
                        negative: regimes.statistics.negative[neuron],
                        bias: regimes.bias[neuron],
                    }
                    .add_to(
                        &mut positive_x[row.clone()],
                        &mut positive_xy[row.clone()],
                        &mut negative_xy[row],
                    );
                }
            }
        },
    );
}

/// One neuron's sums over a slice in a batch.
struct Undo<'a> {
    x: &'a [f64],
    /// Σxg₊, Σxm, Σxg₋.
    sums: &'a [f64],
    positive: Regime,
    negative: Regime,
    bias: f32,
}

impl Undo<'_> {
    /// Takes the pilots back: Σxy = Σxg + (c − b)·Σx of each regime.
    fn add_to(&self, positive_x: &mut [f64], positive_xy: &mut [f64], negative_xy: &mut [f64]) {
        let width = self.x.len();
        let (positive, rest) = self.sums.split_at(width);
        let (masked, negative) = rest.split_at(width);
        let (above, below) = (self.positive.offset(self.bias), self.negative.offset(self.bias));
        let (no_positive, no_negative) = (self.positive.count == 0.0, self.negative.count == 0.0);
        if !no_positive {
            for i in 0..width {
                positive_x[i] += masked[i];
                positive_xy[i] += positive[i] + above * masked[i];
            }
        }
        if !no_negative {
            for i in 0..width {
                negative_xy[i] += negative[i] + below * (self.x[i] - masked[i]);
            }
        }
    }
}

/// Positions that are summed one after the other: of the flat list of all valid images' positions.
type Span = Range<usize>;

struct Work<'a> {
    input: Input<'a>,
    regimes: Regimes<'a>,
    outputs: usize,
    valid: &'a [usize],
    workspace: &'a Workspace,
}

impl Work<'_> {
    /// About `count` spans of whole chunks.
    fn spans(&self, count: usize) -> Vec<Span> {
        let positions = self.valid.len() * self.input.positions();
        let chunks = positions.div_ceil(CHUNK);
        let per_span = chunks.div_ceil(count.max(1)).max(1) * CHUNK;
        (0..positions).step_by(per_span).map(|first| first..positions.min(first + per_span)).collect()
    }

    /// Σxg₊, Σxm, Σxg₋ of a slice for some neurons: \[neurons, 3, slice in the order of the weights\].
    fn product(&self, slice: Range<usize>, neurons: Range<usize>, spans: &[Span]) -> Vec<f64> {
        let span = |span: &Span| self.span(slice.clone(), neurons.clone(), span.clone());
        let mut parts = spans.par_iter().map(span).collect::<Vec<_>>().into_iter();
        let mut total = parts.next().unwrap_or_default();
        for part in parts {
            total.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
        }
        total
    }

    fn span(&self, slice: Range<usize>, neurons: Range<usize>, span: Span) -> Vec<f64> {
        let rows = SUMS * neurons.len();
        let width = slice.len() * self.input.taps();
        let mut total = vec![0.0; rows * width];
        let mut sums = self.workspace.take(rows * width);
        let mut operand = self.workspace.take(GATHERED * rows);
        let mut patches = self.workspace.take(GATHERED * width);
        for chunk in pieces(span, CHUNK) {
            for (index, piece) in pieces(chunk.clone(), GATHERED).enumerate() {
                self.gather_patches(slice.clone(), piece.clone(), &mut patches);
                self.gather_regimes(neurons.clone(), piece.clone(), &mut operand);
                multiply_transposed(
                    (rows, piece.len(), width),
                    Matrix { values: &operand, stride: rows },
                    Matrix { values: &patches, stride: width },
                    &mut sums,
                    width,
                    if index == 0 { Accumulate::Replace } else { Accumulate::Add },
                );
            }
            self.flush(slice.len(), &sums, &mut total, neurons.len());
        }
        total
    }

    /// Adds float32 sums \[3, neurons, taps, slice\] to float64 ones \[neurons, 3, slice, taps\].
    fn flush(&self, channels: usize, sums: &[f32], total: &mut [f64], neurons: usize) {
        let taps = self.input.taps();
        let width = channels * taps;
        for (row, total) in total.chunks_exact_mut(width).enumerate() {
            let sums = &sums[(row % SUMS * neurons + row / SUMS) * width..][..width];
            for (tap, sums) in sums.chunks_exact(channels).enumerate() {
                for (channel, &sum) in sums.iter().enumerate() {
                    total[channel * taps + tap] += f64::from(sum);
                }
            }
        }
    }

    /// \[positions, taps, slice\].
    fn gather_patches(&self, slice: Range<usize>, piece: Range<usize>, patches: &mut [f32]) {
        let positions = self.input.positions();
        match self.input {
            Input::Maps { values, maps } => {
                let input = ScaledMaps { values, maps, scales: &[] };
                let width = slice.len() * TAPS;
                for (position, patch) in piece.zip(patches.chunks_exact_mut(width)) {
                    let (image, position) = (self.valid[position / positions], position % positions);
                    gather_slice(
                        input,
                        image,
                        (position / maps.width, position % maps.width),
                        slice.clone(),
                        patch,
                    );
                }
            }
            Input::Rows { values, inputs } => {
                for (position, row) in piece.zip(patches.chunks_exact_mut(slice.len())) {
                    let start = self.valid[position] * inputs + slice.start;
                    row.copy_from_slice(&values[start..start + slice.len()]);
                }
            }
        }
    }

    /// \[positions, 3, neurons\]: g₊, m, g₋.
    fn gather_regimes(&self, neurons: Range<usize>, piece: Range<usize>, operand: &mut [f32]) {
        let positions = self.input.positions();
        let count = neurons.len();
        let pilots = |regimes: &[Regime]| -> Vec<f32> {
            regimes[neurons.clone()].iter().map(|regime| regime.pilot).collect()
        };
        let above = pilots(&self.regimes.statistics.positive);
        let below = pilots(&self.regimes.statistics.negative);
        vectorised(
            #[inline(always)]
            || {
                for (position, row) in piece.zip(operand.chunks_exact_mut(SUMS * count)) {
                    let image = self.valid[position / positions];
                    let start = (image * positions + position % positions) * self.outputs + neurons.start;
                    let z = &self.regimes.z[start..start + count];
                    let (positive, rest) = row.split_at_mut(count);
                    let (mask, negative) = rest.split_at_mut(count);
                    let (above, below) = (&above[..count], &below[..count]);
                    for i in 0..count {
                        let is_positive = z[i] > 0.0;
                        positive[i] = if is_positive { z[i] - above[i] } else { 0.0 };
                        mask[i] = if is_positive { 1.0 } else { 0.0 };
                        negative[i] = if is_positive { 0.0 } else { z[i] - below[i] };
                    }
                }
            },
        );
    }
}

/// Cuts a range into pieces of at most `length`.
fn pieces(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(length).map(move |first| first..end.min(first + length))
}
