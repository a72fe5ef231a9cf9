//! 3×3 convolutions with zero padding 1 on channels-last maps: operators, the choice of an algorithm, its parallel loops.
//!
//! A backward-data pass is the forward pass on the rotated, transposed operator, so one function serves both; what
//! differs is the [`Epilogue`].

use super::gemm::{Accumulate, Matrix, multiply};
use super::repeats::{RepeatedPatches, Repeats};
use super::tiles::{Epilogue, Maps, POSITIONS, SIDE, TileRow};
use super::winograd::{self, FREQUENCIES, InputTransform, KernelTransform, OutputTransform};
use super::workspace::{Buffer, Workspace};
use crate::backend::OperatorSource;
use crate::parallel;
use std::ops::Range;

/// Taps of a 3×3 kernel.
pub const TAPS: usize = 9;
/// Output channels of one matrix product: four AVX-512 vectors.
const CHANNEL_BLOCK: usize = 64;
/// Input channels summed at a time where transformed kernels are made on the fly: 36·128·64 floats fit the L2 cache.
/// Fixed, so that the order of a sum depends on the layer alone.
const INPUT_BLOCK: usize = 128;
/// Tiles transformed at a time where kernels are made on the fly: enough to hide the cost of making them.
const DEEP_TILES: usize = 128;
/// Transformed kernels up to this many channel pairs are kept (9.4 MB); larger ones are made when needed, which costs
/// less than reading 36/9 as much memory.
const KEPT_PAIRS: usize = 256 * 256;
/// Floats between the ends and starts of frequencies: strides of a multiple of 4096 bytes would share cache sets.
const PADDING: usize = 16;
/// Channels below which Winograd's transforms cost more than its products save.
const FEWEST_WINOGRAD_CHANNELS: usize = 16;

/// Whether an operator maps a layer's input to its output or carries a signal back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Forward,
    Backward,
}

/// The operator of one convolution, laid out for the algorithm that will run it.
pub struct ConvolutionOperator {
    inputs: usize,
    outputs: usize,
    pub gain_log2: i32,
    layout: Layout,
}

enum Layout {
    /// Few channels: transformed kernels are kept.
    Winograd { blocks: Vec<KernelBlock>, exact: bool },
    /// Many channels: kernels are transformed when needed.
    WinogradDeep { blocks: Vec<KernelBlock>, exact: bool },
    /// `[tap][input][output]`: patches are gathered, one product sums over taps and inputs.
    Im2col { matrix: Vec<f32> },
    /// `[input][tap][output]`: one product gives every tap's contribution, which are then added up. For few outputs.
    Col2im { matrix: Vec<f32> },
}

/// The kernels of a block of up to [`CHANNEL_BLOCK`] outputs.
struct KernelBlock {
    first: usize,
    count: usize,
    /// `[input][tap][output]`. In blocks, so that the memory is read from front to back, which is what the processor
    /// prefetches.
    taps: Vec<f32>,
    /// `[frequency][input][output]`, frequencies padded apart; empty where they are made when needed.
    transformed: Vec<f32>,
}

impl ConvolutionOperator {
    /// Reads the operator of parametric layer `layer`, which has `fan_in` input channels and `neurons` outputs.
    pub fn new(
        source: &dyn OperatorSource,
        layer: usize,
        (fan_in, neurons): (usize, usize),
        direction: Direction,
    ) -> Self {
        let (inputs, outputs) = match direction {
            Direction::Forward => (fan_in, neurons),
            Direction::Backward => (neurons, fan_in),
        };
        let taps = read_taps(source, layer, (fan_in, neurons), direction);
        let layout = if inputs.min(outputs) >= FEWEST_WINOGRAD_CHANNELS {
            let mut blocks = blocks_of_outputs(&taps, outputs);
            // Only the forward pass takes decisions that equal patches must take alike; a backward gate by sign is
            // continuous.
            let exact = direction == Direction::Forward;
            if inputs * outputs > KEPT_PAIRS {
                Layout::WinogradDeep { blocks, exact }
            } else {
                for block in &mut blocks {
                    block.transformed = vec![0.0; FREQUENCIES * (inputs * block.count + PADDING)];
                    transform_kernels(&block.taps, block.count, &mut block.transformed);
                    if !exact {
                        block.taps = Vec::new();
                    }
                }
                Layout::Winograd { blocks, exact }
            }
        } else if outputs < FEWEST_WINOGRAD_CHANNELS && inputs >= FEWEST_WINOGRAD_CHANNELS {
            Layout::Col2im { matrix: taps }
        } else {
            let mut matrix = vec![0.0; taps.len()];
            for (index, row) in taps.chunks_exact(outputs).enumerate() {
                let (input, tap) = (index / TAPS, index % TAPS);
                matrix[(tap * inputs + input) * outputs..][..outputs].copy_from_slice(row);
            }
            Layout::Im2col { matrix }
        };
        ConvolutionOperator { inputs, outputs, gain_log2: source.gain_log2(layer), layout }
    }

    /// The algorithm that runs it, in a word.
    pub fn algorithm(&self) -> &'static str {
        match self.layout {
            Layout::Winograd { .. } | Layout::WinogradDeep { .. } => "winograd",
            Layout::Im2col { .. } => "im2col",
            Layout::Col2im { .. } => "col2im",
        }
    }
}

/// Reads an operator as `[input][tap][output]`; backward operators are rotated by 180° and transposed.
fn read_taps(
    source: &dyn OperatorSource,
    layer: usize,
    (fan_in, neurons): (usize, usize),
    direction: Direction,
) -> Vec<f32> {
    let mut taps = vec![0.0; fan_in * neurons * TAPS];
    match direction {
        Direction::Forward => {
            let inputs_at_a_time = 16;
            let blocks = taps.chunks_mut(inputs_at_a_time * TAPS * neurons).enumerate();
            parallel::each(blocks, |(block, taps)| {
                let mut row = vec![0.0; taps.len() / neurons];
                for neuron in 0..neurons {
                    source.read(layer, neuron, block * inputs_at_a_time * TAPS, &mut row);
                    for (index, &value) in row.iter().enumerate() {
                        taps[index * neurons + neuron] = value;
                    }
                }
            });
        }
        Direction::Backward => {
            parallel::each(taps.chunks_mut(TAPS * fan_in).enumerate(), |(neuron, taps)| {
                let mut row = vec![0.0; TAPS * fan_in];
                source.read(layer, neuron, 0, &mut row);
                for (index, &value) in row.iter().enumerate() {
                    let (channel, tap) = (index / TAPS, index % TAPS);
                    taps[(TAPS - 1 - tap) * fan_in + channel] = value;
                }
            });
        }
    }
    taps
}

/// Cuts `[input][tap][output]` into blocks of outputs.
fn blocks_of_outputs(rows: &[f32], outputs: usize) -> Vec<KernelBlock> {
    let block = |first: usize| {
        let count = CHANNEL_BLOCK.min(outputs - first);
        let taps = rows.chunks_exact(outputs).flat_map(|row| &row[first..first + count]).copied().collect();
        KernelBlock { first, count, taps, transformed: Vec::new() }
    };
    parallel::map((0..outputs).step_by(CHANNEL_BLOCK), block)
}

/// Transforms a block's kernels `[input][tap][output]` of `count` outputs to `[frequency][input][output]` with
/// frequencies padded apart.
fn transform_kernels(taps: &[f32], count: usize, kernels: &mut [f32]) {
    let inputs = taps.len() / (TAPS * count);
    let frequency_stride = inputs * count + PADDING;
    pulp::Arch::new().dispatch(KernelTransform {
        taps,
        channels: count,
        transformed: kernels,
        frequency_stride,
    });
}

/// A batch of channels-last maps with a power of two each, applied as they are read.
#[derive(Clone, Copy)]
pub struct ScaledMaps<'a> {
    pub values: &'a [f32],
    pub maps: Maps,
    /// One factor an image.
    pub scales: &'a [f32],
}

impl<'a> ScaledMaps<'a> {
    /// The channels of one position, or nothing outside the map (the zero padding).
    #[inline]
    pub fn position(&self, image: usize, y: isize, x: isize) -> Option<&'a [f32]> {
        let Maps { height, width, channels, .. } = self.maps;
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        if y >= height || x >= width {
            return None;
        }
        let at = ((image * height + y) * width + x) * channels;
        Some(&self.values[at..at + channels])
    }

    /// The 6×6 patch around a tile, channels `first..first + zeros.len()`, padded with `zeros`.
    #[inline]
    fn patch(
        &self,
        row: &TileRow,
        tile_x: usize,
        first: usize,
        zeros: &'a [f32],
    ) -> [&'a [f32]; FREQUENCIES] {
        let (top, left) = ((row.tile_y * SIDE) as isize - 1, (tile_x * SIDE) as isize - 1);
        std::array::from_fn(|index| {
            let (y, x) = (top + (index / winograd::SIDE) as isize, left + (index % winograd::SIDE) as isize);
            match self.position(row.image, y, x) {
                Some(channels) => &channels[first..first + zeros.len()],
                None => zeros,
            }
        })
    }
}

/// Convolves a batch and hands every tile's sums to the epilogue. `rows` are all rows of tiles of the batch.
pub fn convolve(
    operator: &ConvolutionOperator,
    input: ScaledMaps,
    epilogue: &impl Epilogue,
    rows: &mut [TileRow],
    workspace: &Workspace,
) {
    debug_assert_eq!(operator.inputs, input.maps.channels);
    match &operator.layout {
        Layout::Winograd { blocks, exact } => {
            let repeats = exact.then(|| Repeats::find(input));
            winograd(blocks, repeats.as_ref(), input, epilogue, rows, workspace);
        }
        Layout::WinogradDeep { blocks, exact } => {
            let repeats = exact.then(|| Repeats::find(input));
            winograd_deep(blocks, repeats.as_ref(), input, epilogue, rows, workspace);
        }
        Layout::Im2col { matrix } => im2col(operator, matrix, input, epilogue, rows, workspace),
        Layout::Col2im { matrix } => col2im(operator, matrix, input, epilogue, rows, workspace),
    }
}

/// Rows of tiles in a group of about `tiles` tiles.
fn rows_per_group(tiles: usize, tiles_per_row: usize) -> usize {
    (tiles / tiles_per_row).max(1)
}

/// Transforms the patches of a group of rows of tiles, channels `first..first + zeros.len()`, to
/// `[frequency][tile][channel]` with frequencies `frequency_stride` apart. `zeros` is the padding.
fn transform_patches(
    input: ScaledMaps,
    group: &[TileRow],
    first: usize,
    zeros: &[f32],
    frequency_stride: usize,
    transformed: &mut [f32],
) {
    let per_row = input.maps.tiles_per_row();
    for (row_index, row) in group.iter().enumerate() {
        for tile_x in 0..per_row {
            pulp::Arch::new().dispatch(InputTransform {
                patch: input.patch(row, tile_x, first, zeros),
                scale: input.scales[row.image],
                transformed: &mut transformed[(row_index * per_row + tile_x) * zeros.len()..],
                frequency_stride,
            });
        }
    }
}

/// Many tiles, few channels: groups of tiles share the kept kernels, each group on one core, in its L2 cache.
fn winograd(
    blocks: &[KernelBlock],
    repeats: Option<&Repeats>,
    input: ScaledMaps,
    epilogue: &impl Epilogue,
    rows: &mut [TileRow],
    workspace: &Workspace,
) {
    let inputs = input.maps.channels;
    let per_row = input.maps.tiles_per_row();
    // Half a megabyte of transformed input, but at least 24 tiles for the product's kernel to work on.
    let tiles_wanted = (1 << 17) / (FREQUENCIES * inputs);
    let rows_at_a_time = rows_per_group(tiles_wanted.clamp(24, 64), per_row);
    let zeros = vec![0.0; inputs];
    parallel::each(rows.chunks_mut(rows_at_a_time), |group| {
        let tiles = group.len() * per_row;
        let input_stride = tiles * inputs + PADDING;
        let mut transformed = workspace.take(FREQUENCIES * input_stride);
        transform_patches(input, group, 0, &zeros, input_stride, &mut transformed);
        let repeated = repeats.map(|repeats| repeats.of_group(input, group, workspace));
        for &KernelBlock { first, count, ref taps, transformed: ref kernels } in blocks {
            let plain = repeated.as_ref().map(|repeated| plain_sums(repeated, taps, count, workspace));
            let mut plain = plain.iter().flatten().peekable();
            let kernel_stride = inputs * count + PADDING;
            let product_stride = tiles * count + PADDING;
            let mut products = workspace.take(FREQUENCIES * product_stride);
            for frequency in 0..FREQUENCIES {
                multiply(
                    (tiles, inputs, count),
                    Matrix { values: &transformed[frequency * input_stride..], stride: inputs },
                    Matrix { values: &kernels[frequency * kernel_stride..], stride: count },
                    &mut products[frequency * product_stride..],
                    count,
                    Accumulate::Replace,
                );
            }
            let mut sums = [0.0; POSITIONS * CHANNEL_BLOCK];
            for (row_index, row) in group.iter_mut().enumerate() {
                for tile_x in 0..per_row {
                    pulp::Arch::new().dispatch(OutputTransform {
                        products: &products[(row_index * per_row + tile_x) * count..],
                        frequency_stride: product_stride,
                        channels: count,
                        sums: &mut sums,
                    });
                    while let Some((_, position, exact)) =
                        plain.next_if(|(tile, ..)| *tile == row_index * per_row + tile_x)
                    {
                        sums[position * count..][..count].copy_from_slice(exact);
                    }
                    epilogue.tile(row, tile_x, &sums, count, first, count);
                }
            }
        }
    });
}

/// Few tiles, many channels: blocks of output channels go to the cores, each making its transformed kernels in cache.
fn winograd_deep(
    blocks: &[KernelBlock],
    repeats: Option<&Repeats>,
    input: ScaledMaps,
    epilogue: &impl Epilogue,
    rows: &mut [TileRow],
    workspace: &Workspace,
) {
    let inputs = input.maps.channels;
    let per_row = input.maps.tiles_per_row();
    let zeros = vec![0.0; INPUT_BLOCK.min(inputs)];
    for group in rows.chunks_mut(rows_per_group(DEEP_TILES, per_row)) {
        let tiles = group.len() * per_row;
        let input_stride = tiles * INPUT_BLOCK + PADDING;
        // [block of inputs][frequency][tile][input]
        let mut transformed = workspace.take(inputs.div_ceil(INPUT_BLOCK) * FREQUENCIES * input_stride);
        let shared_group = &*group;
        parallel::each(
            transformed.chunks_mut(FREQUENCIES * input_stride).enumerate(),
            |(block, transformed)| {
                let first = block * INPUT_BLOCK;
                let count = INPUT_BLOCK.min(inputs - first);
                transform_patches(input, shared_group, first, &zeros[..count], input_stride, transformed);
            },
        );
        // One buffer a block of outputs: [tile][position][output].
        let repeated = repeats.map(|repeats| repeats.of_group(input, group, workspace));
        let sums = parallel::map(blocks, |&KernelBlock { first, count, ref taps, .. }| {
            let product_stride = tiles * count + PADDING;
            let mut products = workspace.take(FREQUENCIES * product_stride);
            let mut kernels = workspace.take(FREQUENCIES * (INPUT_BLOCK * count + PADDING));
            for (block, transformed) in transformed.chunks(FREQUENCIES * input_stride).enumerate() {
                let first_input = block * INPUT_BLOCK;
                let depth = INPUT_BLOCK.min(inputs - first_input);
                let kernel_stride = depth * count + PADDING;
                let taps = &taps[first_input * TAPS * count..][..depth * TAPS * count];
                transform_kernels(taps, count, &mut kernels);
                for frequency in 0..FREQUENCIES {
                    multiply(
                        (tiles, depth, count),
                        Matrix { values: &transformed[frequency * input_stride..], stride: depth },
                        Matrix { values: &kernels[frequency * kernel_stride..], stride: count },
                        &mut products[frequency * product_stride..],
                        count,
                        if block == 0 { Accumulate::Replace } else { Accumulate::Add },
                    );
                }
            }
            let mut sums = workspace.take(tiles * POSITIONS * count);
            for (tile, sums) in sums.chunks_exact_mut(POSITIONS * count).enumerate() {
                pulp::Arch::new().dispatch(OutputTransform {
                    products: &products[tile * count..],
                    frequency_stride: product_stride,
                    channels: count,
                    sums,
                });
            }
            if let Some(repeated) = &repeated {
                for (tile, position, exact) in &plain_sums(repeated, taps, count, workspace) {
                    sums[(tile * POSITIONS + position) * count..][..count].copy_from_slice(exact);
                }
            }
            (first, count, sums)
        });
        parallel::each(group.iter_mut().enumerate(), |(row_index, row)| {
            for tile_x in 0..per_row {
                let tile = row_index * per_row + tile_x;
                for (first, count, sums) in &sums {
                    let sums = &sums[tile * POSITIONS * count..][..POSITIONS * count];
                    epilogue.tile(row, tile_x, sums, *count, *first, *count);
                }
            }
        });
    }
}

/// Plain sums of repeated positions for a block of outputs: a function of the patch alone.
fn plain_sums<'a>(
    repeated: &'a RepeatedPatches,
    taps: &[f32],
    count: usize,
    workspace: &'a Workspace,
) -> PlainSums<'a> {
    let depth = taps.len() / count;
    let mut sums = workspace.take(repeated.len() * count);
    multiply(
        (repeated.len(), depth, count),
        Matrix { values: repeated.patches(), stride: depth },
        Matrix { values: taps, stride: count },
        &mut sums,
        count,
        Accumulate::Replace,
    );
    PlainSums { repeated, sums, count }
}

/// Sums of repeated positions, in the order of tiles and positions.
struct PlainSums<'a> {
    repeated: &'a RepeatedPatches<'a>,
    sums: Buffer<'a>,
    count: usize,
}

impl<'a> IntoIterator for &'a PlainSums<'_> {
    /// Tile, position within the tile, and the sums of all outputs of the block.
    type Item = (usize, usize, &'a [f32]);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        let sums = self.sums.chunks_exact(self.count);
        Box::new(self.repeated.tiles().zip(sums).map(|((tile, position), sums)| (tile, position, sums)))
    }
}

/// Gathers the 3×3 patches of a group of tiles and sums over taps and inputs in one product.
fn im2col(
    operator: &ConvolutionOperator,
    matrix: &[f32],
    input: ScaledMaps,
    epilogue: &impl Epilogue,
    rows: &mut [TileRow],
    workspace: &Workspace,
) {
    let (inputs, outputs) = (operator.inputs, operator.outputs);
    let depth = TAPS * inputs;
    let per_row = input.maps.tiles_per_row();
    // A megabyte of gathered patches a task, one row of tiles at a time.
    let tiles_wanted = (1 << 18) / (POSITIONS * depth);
    parallel::each(rows.chunks_mut(rows_per_group(tiles_wanted, per_row)), |group| {
        for row in group {
            let mut patches = workspace.take(per_row * POSITIONS * depth);
            let mut sums = workspace.take(per_row * POSITIONS * outputs);
            for (position, patch) in patches.chunks_exact_mut(depth).enumerate() {
                let (tile_x, position) = (position / POSITIONS, position % POSITIONS);
                let y = (row.tile_y * SIDE + position / SIDE) as isize;
                let x = (tile_x * SIDE + position % SIDE) as isize;
                gather(input, row.image, y, x, patch);
            }
            let positions = per_row * POSITIONS;
            let (a, b) =
                (Matrix { values: &patches, stride: depth }, Matrix { values: matrix, stride: outputs });
            multiply((positions, depth, outputs), a, b, &mut sums, outputs, Accumulate::Replace);
            for (tile_x, sums) in sums.chunks_exact(POSITIONS * outputs).enumerate() {
                epilogue.tile(row, tile_x, sums, outputs, 0, outputs);
            }
        }
    });
}

/// Copies the 3×3 patch around (y, x), `[tap][channel]`, scaled.
#[inline]
fn gather(input: ScaledMaps, image: usize, y: isize, x: isize, patch: &mut [f32]) {
    let Maps { height, width, channels, .. } = input.maps;
    let three = 3 * channels;
    for (dy, out) in patch.chunks_exact_mut(three).enumerate() {
        let row = y + dy as isize - 1;
        if row < 0 || row >= height as isize {
            out.fill(0.0);
        } else if x >= 1 && x + 1 < width as isize {
            let at = ((image * height + row as usize) * width + x as usize - 1) * channels;
            out.copy_from_slice(&input.values[at..at + three]);
        } else {
            for (dx, out) in out.chunks_exact_mut(channels).enumerate() {
                match input.position(image, row, x + dx as isize - 1) {
                    Some(values) => out.copy_from_slice(values),
                    None => out.fill(0.0),
                }
            }
        }
    }
    let scale = input.scales[image];
    if scale != 1.0 {
        patch.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Copies a slice of channels of the 3×3 patch around (y, x), `[tap][channel]`, zeros outside the map.
#[inline]
pub fn gather_slice(
    input: ScaledMaps,
    image: usize,
    (y, x): (usize, usize),
    channels: Range<usize>,
    patch: &mut [f32],
) {
    for (tap, out) in patch.chunks_exact_mut(channels.len()).enumerate() {
        let (y, x) = (y as isize + tap as isize / 3 - 1, x as isize + tap as isize % 3 - 1);
        match input.position(image, y, x) {
            Some(values) => out.copy_from_slice(&values[channels.clone()]),
            None => out.fill(0.0),
        }
    }
}

/// One product gives all taps' contributions of every input position; each output adds its nine up. With three
/// outputs (the last backward layer) this is nine times as wide a matrix, which the product's kernel needs.
fn col2im(
    operator: &ConvolutionOperator,
    matrix: &[f32],
    input: ScaledMaps,
    epilogue: &impl Epilogue,
    rows: &mut [TileRow],
    workspace: &Workspace,
) {
    let (inputs, outputs) = (operator.inputs, operator.outputs);
    let Maps { height, width, .. } = input.maps;
    let columns = TAPS * outputs;
    let per_row = input.maps.tiles_per_row();
    // Neighbouring rows of tiles share the products of the two rows of positions between them.
    let rows_at_a_time = 4;
    parallel::each(rows.chunks_mut(rows_at_a_time), |group| {
        for rows in group.chunk_by_mut(|a, b| a.image == b.image) {
            let (image, first_tile_y) = (rows[0].image, rows[0].tile_y);
            let top = (first_tile_y * SIDE).saturating_sub(1);
            let bottom = ((first_tile_y + rows.len()) * SIDE + 1).min(height);
            let positions = (bottom - top) * width;
            let mut products = workspace.take(positions * columns);
            let start = (image * height + top) * width * inputs;
            multiply(
                (positions, inputs, columns),
                Matrix { values: &input.values[start..], stride: inputs },
                Matrix { values: matrix, stride: columns },
                &mut products,
                columns,
                Accumulate::Replace,
            );
            let scale = input.scales[image];
            let mut sums = vec![0.0; POSITIONS * outputs];
            for row in rows {
                for tile_x in 0..per_row {
                    for (position, sums) in sums.chunks_exact_mut(outputs).enumerate() {
                        let (y, x) = (row.tile_y * SIDE + position / SIDE, tile_x * SIDE + position % SIDE);
                        sums.fill(0.0);
                        if y >= height || x >= width {
                            continue;
                        }
                        for tap in 0..TAPS {
                            let (sy, sx) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                            if sy < height && sx < width {
                                let at = ((sy - top) * width + sx) * columns + tap * outputs;
                                for (sum, product) in sums.iter_mut().zip(&products[at..at + outputs]) {
                                    *sum += product;
                                }
                            }
                        }
                        sums.iter_mut().for_each(|sum| *sum *= scale);
                    }
                    epilogue.tile(row, tile_x, &sums, outputs, 0, outputs);
                }
            }
        }
    });
}
