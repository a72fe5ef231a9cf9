//! The masked covariance reduction: Xᵀ·[g₊, n, g₋] over the positions of a batch, for blocks of neurons and slices of the
//! fan-in, with m the mask z > 0, g₊ = (z − c₊)·m, g₋ = (z − c₋)·(1 − m), and n the mask of the regime that has fewer
//! positions, m or 1 − m: Σx of the other regime is what it leaves of all, which loses nothing that way around.

use super::pilots::{Regime, Statistics};
use super::{products, winograd};
use crate::backend::LayerMoments;
use crate::backend::cpu::convolution::TAPS;
use crate::backend::cpu::simd::vectorised;
use crate::backend::cpu::tiles::Maps;
use crate::backend::cpu::workspace::Workspace;
use crate::parallel;
use std::ops::Range;

/// Neurons of one product: its sums and a piece of both operands stay in the L2 cache.
const NEURONS: usize = 64;
/// Sums of a neuron: Σxg₊, Σxn, Σxg₋.
pub const SUMS: usize = 3;
/// Input channels of one product, with all their taps.
const CHANNELS: usize = 64;
/// Inputs of a dense layer in one product.
const INPUTS: usize = 576;
/// Channels below which Winograd's transforms cost more than they save.
const FEWEST_WINOGRAD_CHANNELS: usize = 16;
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
    pub fn taps(&self) -> usize {
        match self {
            Input::Maps { .. } => TAPS,
            Input::Rows { .. } => 1,
        }
    }

    /// How its products are computed.
    fn algorithm(&self) -> Algorithm {
        match self {
            Input::Maps { maps, .. } if maps.channels >= FEWEST_WINOGRAD_CHANNELS => Algorithm::Winograd,
            _ => Algorithm::Plain,
        }
    }
}

#[derive(Clone, Copy)]
enum Algorithm {
    /// Patches are gathered, one product sums over positions.
    Plain,
    /// Patches and responses are transformed, one product a frequency sums over tiles.
    Winograd,
}

/// A layer's input and responses in a batch.
#[derive(Clone, Copy)]
pub struct Responses<'a> {
    pub input: Input<'a>,
    /// z \[images, positions, outputs\].
    pub z: &'a [f32],
    pub outputs: usize,
    /// Images that are summed, in their order.
    pub valid: &'a [usize],
    pub statistics: &'a Statistics,
    pub bias: &'a [f32],
    /// Σx of the batch, \[fan-in\].
    pub x: &'a [f64],
}

/// Adds Σ₊x, Σ₊xy and Σ₋xy of a batch.
pub fn add(layer: &mut LayerMoments, responses: &Responses, workspace: &Workspace) {
    let Responses { input, outputs, .. } = *responses;
    let fan_in = layer.fan_in();
    let slices = input.slices();
    let rows = NEURONS * fan_in;
    let spans = spans(responses, PIECES.div_ceil(outputs.div_ceil(NEURONS) * slices.len()));
    let sums = layer.positive_x.chunks_mut(rows).zip(layer.positive_xy.chunks_mut(rows));
    parallel::each(
        sums.zip(layer.negative_xy.chunks_mut(rows)).enumerate(),
        |(block, ((positive_x, positive_xy), negative_xy))| {
            let first = block * NEURONS;
            let neurons = first..outputs.min(first + NEURONS);
            let product = |slice: &Range<usize>| {
                let block = Block { responses, slice: slice.clone(), neurons: neurons.clone() };
                block.product(&spans, workspace)
            };
            let products: Vec<Vec<f64>> = parallel::map(&slices, product);
            for (slice, product) in slices.iter().zip(&products) {
                let width = slice.len() * input.taps();
                let start = slice.start * input.taps();
                for (index, neuron) in neurons.clone().enumerate() {
                    let row = index * fan_in + start..index * fan_in + start + width;
                    let sums = &product[index * SUMS * width..][..SUMS * width];
                    Undo::new(responses, neuron, start, sums).add_to(
                        &mut positive_x[row.clone()],
                        &mut positive_xy[row.clone()],
                        &mut negative_xy[row],
                    );
                }
            }
        },
    );
}

/// About `count` spans of whole chunks: of positions, or of tiles where the algorithm works on them.
fn spans(responses: &Responses, count: usize) -> Vec<Range<usize>> {
    let images = responses.valid.len();
    let (units, chunk) = match (responses.input, responses.input.algorithm()) {
        (Input::Maps { maps, .. }, Algorithm::Winograd) => {
            (images * maps.tile_rows_per_image() * maps.tiles_per_row(), winograd::CHUNK)
        }
        (input, _) => (images * input.positions(), super::CHUNK),
    };
    let per_span = units.div_ceil(chunk).div_ceil(count.max(1)).max(1) * chunk;
    pieces(0..units, per_span).collect()
}

/// Some neurons and a slice of their fan-in.
pub struct Block<'a> {
    pub responses: &'a Responses<'a>,
    pub slice: Range<usize>,
    pub neurons: Range<usize>,
}

impl Block<'_> {
    /// Columns of a product's operand: three a neuron.
    pub fn columns(&self) -> usize {
        SUMS * self.neurons.len()
    }

    /// Σxg₊, Σxn, Σxg₋: \[neurons, 3, slice, taps\], that is, in the order of the weights.
    fn product(&self, spans: &[Range<usize>], workspace: &Workspace) -> Vec<f64> {
        let span = |span: &Range<usize>| match self.responses.input.algorithm() {
            Algorithm::Plain => products::sum(self, span.clone(), workspace),
            Algorithm::Winograd => winograd::sum(self, span.clone(), workspace),
        };
        let mut parts = parallel::map(spans, span).into_iter();
        let mut total = parts.next().unwrap_or_default();
        for part in parts {
            total.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
        }
        total
    }

    /// Adds float32 sums \[3, neurons\] × \[taps, slice\] of a chunk, `row` by row, to float64 ones in the order of the
    /// weights.
    pub fn flush(&self, row: usize, sums: &[f32], total: &mut [f64]) {
        let (taps, count) = (self.responses.input.taps(), self.neurons.len());
        let channels = self.slice.len();
        let to = row % count * SUMS + row / count;
        let total = &mut total[to * taps * channels..][..taps * channels];
        for (tap, sums) in sums.chunks_exact(channels).enumerate() {
            for (channel, &sum) in sums.iter().enumerate() {
                total[channel * taps + tap] += f64::from(sum);
            }
        }
    }

    /// What the operands of the neurons are made with.
    pub fn pilots(&self) -> Pilots {
        let Statistics { positive, negative } = self.responses.statistics;
        let (positive, negative) = (&positive[self.neurons.clone()], &negative[self.neurons.clone()]);
        Pilots {
            positive: positive.iter().map(|regime| regime.pilot).collect(),
            negative: negative.iter().map(|regime| regime.pilot).collect(),
            few_negative: positive.iter().zip(negative).map(few_negative).collect(),
        }
    }

    /// g₊, n, g₋ of the neurons at one position, \[3, neurons\].
    #[inline]
    pub fn regimes(&self, pilots: &Pilots, image: usize, position: usize, row: &mut [f32]) {
        let Responses { input, z, outputs, .. } = *self.responses;
        let count = self.neurons.len();
        let z = &z[(image * input.positions() + position) * outputs + self.neurons.start..][..count];
        let (positive, rest) = row.split_at_mut(count);
        let (few, negative) = rest.split_at_mut(count);
        vectorised(
            #[inline(always)]
            || {
                let (above, below) = (&pilots.positive[..count], &pilots.negative[..count]);
                let few_negative = &pilots.few_negative[..count];
                let negative = &mut negative[..count];
                for i in 0..count {
                    let is_positive = z[i] > 0.0;
                    positive[i] = if is_positive { z[i] - above[i] } else { 0.0 };
                    few[i] = if is_positive != few_negative[i] { 1.0 } else { 0.0 };
                    negative[i] = if is_positive { 0.0 } else { z[i] - below[i] };
                }
            },
        );
    }
}

/// Pilots of some neurons, and whose few positions are the negative ones.
pub struct Pilots {
    positive: Vec<f32>,
    negative: Vec<f32>,
    few_negative: Vec<bool>,
}

/// Whether a neuron's negative positions are the fewer ones.
fn few_negative((positive, negative): (&Regime, &Regime)) -> bool {
    negative.count < positive.count
}

/// One neuron's sums over a slice in a batch.
struct Undo<'a> {
    x: &'a [f64],
    /// Σxg₊, Σxn, Σxg₋.
    sums: &'a [f64],
    positive: Regime,
    negative: Regime,
    bias: f32,
}

impl<'a> Undo<'a> {
    /// `start` is the slice's place in the fan-in.
    fn new(responses: &Responses<'a>, neuron: usize, start: usize, sums: &'a [f64]) -> Self {
        Undo {
            x: &responses.x[start..start + sums.len() / SUMS],
            sums,
            positive: responses.statistics.positive[neuron],
            negative: responses.statistics.negative[neuron],
            bias: responses.bias[neuron],
        }
    }

    /// Takes the pilots back: Σxy = Σxg + (c − b)·Σx of each regime. A regime without positions adds nothing, not even
    /// the rounding of its sums.
    fn add_to(&self, positive_x: &mut [f64], positive_xy: &mut [f64], negative_xy: &mut [f64]) {
        let width = self.x.len();
        let (positive, rest) = self.sums.split_at(width);
        let (few, negative) = rest.split_at(width);
        let (above, below) = (self.positive.offset(self.bias), self.negative.offset(self.bias));
        let few_negative = few_negative((&self.positive, &self.negative));
        for i in 0..width {
            let all = self.x[i];
            let few = if self.positive.count.min(self.negative.count) > 0.0 { few[i] } else { 0.0 };
            let (x_positive, x_negative) = if few_negative { (all - few, few) } else { (few, all - few) };
            if self.positive.count > 0.0 {
                positive_x[i] += x_positive;
                positive_xy[i] += positive[i] + above * x_positive;
            }
            if self.negative.count > 0.0 {
                negative_xy[i] += negative[i] + below * x_negative;
            }
        }
    }
}

/// Cuts a range into pieces of at most `length`.
pub fn pieces(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(length).map(move |first| first..end.min(first + length))
}
