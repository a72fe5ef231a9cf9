//! Products of maps with themselves, shifted: Σₚ x\[p\] x\[p + d\]ᵀ at several lags d = (dy, dx).
//!
//! The positions of a group of images are put into one line, row by row, the images side by side in each row and
//! r = min(2, width − 1) zeros after each of them:
//!
//! line\[(y · images + image) · (width + r) + x\].
//!
//! There a lag is one offset for all p, positions without a partner meet a zero, and the rows that have no partner below
//! are the last ones; so a lag is a matrix product of two stretches of the line, summed over up to [`STRETCH`] positions.

use crate::backend::LAGS;
use crate::backend::cpu::convolution::ScaledMaps;
use crate::backend::cpu::gemm::{Accumulate, Matrix, multiply};
use crate::backend::cpu::simd::vectorised;
use crate::backend::cpu::tiles::split_off;
use crate::backend::cpu::workspace::{Buffer, Workspace};
use crate::parallel;
use std::ops::Range;

/// Positions summed in float32 before the sum goes on in float64.
const STRETCH: usize = 4096;
/// Channels of the left factor that a task multiplies.
const CHANNEL_BLOCK: usize = 256;
/// Runs of stretches that are added up side by side where there are few channels; fixed, so that sums depend on shapes
/// alone.
const RUNS: usize = 8;
/// Most bytes of float64 partial sums that runs may cost.
const PARTIAL_BYTES: usize = 16 << 20;
/// Positions that a task gathers.
const PIECE: usize = 512;
/// Floats between the ends and starts of rows: strides of a multiple of 4096 bytes would share cache sets.
const PADDING: usize = 16;
/// The farthest that two taps of a 3×3 kernel are apart.
const FARTHEST: usize = 2;

/// Maps of a batch, or a part of each: a row, a column, a corner.
#[derive(Clone, Copy)]
pub struct View<'a> {
    values: &'a [f32],
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Floats from an image, a row and a position to the next.
    strides: [usize; 3],
}

impl<'a> View<'a> {
    /// Whole maps.
    pub fn of_maps(input: ScaledMaps<'a>) -> Self {
        let maps = input.maps;
        View {
            values: &input.values[..maps.len()],
            images: maps.images,
            height: maps.height,
            width: maps.width,
            channels: maps.channels,
            strides: [maps.image_len(), maps.width * maps.channels, maps.channels],
        }
    }

    /// The first row of each map.
    pub fn top(self) -> Self {
        View { height: 1, ..self }
    }

    /// The last row.
    pub fn bottom(self) -> Self {
        View { values: &self.values[(self.height - 1) * self.strides[1]..], height: 1, ..self }
    }

    /// The first column, as a row.
    pub fn left(self) -> Self {
        let [image, row, position] = self.strides;
        View { height: 1, width: self.height, strides: [image, position, row], ..self }
    }

    /// The last column, as a row.
    pub fn right(self) -> Self {
        View { values: &self.values[(self.width - 1) * self.strides[2]..], ..self }.left()
    }

    /// The channels at a position.
    fn at(&self, image: usize, y: usize, x: usize) -> &'a [f32] {
        let at = image * self.strides[0] + y * self.strides[1] + x * self.strides[2];
        &self.values[at..at + self.channels]
    }

    /// The largest |dx| at which a position can have a partner, among the lags there are.
    fn reach(&self) -> usize {
        FARTHEST.min(self.width - 1)
    }
}

/// Sums of x over maps and over maps without one or two rows or columns on a side, in float64.
pub struct Borders {
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
    /// \[kinds of rows, kinds of columns, channels\].
    sums: Vec<f64>,
}

/// Kinds of rows (or columns) that sums are told apart by: the first two, the last two, those between.
fn kinds(extent: usize) -> usize {
    extent.min(2 * FARTHEST + 1)
}

/// The kind of a row (or column).
fn kind(index: usize, extent: usize) -> usize {
    let from_last = extent - 1 - index;
    if from_last < FARTHEST { kinds(extent) - 1 - from_last } else { index.min(FARTHEST) }
}

impl Borders {
    /// Sums over the maps of a view.
    pub fn of(view: &View) -> Self {
        let View { images, height, width, channels, .. } = *view;
        let row = kinds(width) * channels;
        let of_image = |image: usize| {
            let mut sums = vec![0.0; kinds(height) * row];
            vectorised(
                #[inline(always)]
                || {
                    for y in 0..height {
                        let rows = &mut sums[kind(y, height) * row..][..row];
                        for x in 0..width {
                            let sums = &mut rows[kind(x, width) * channels..][..channels];
                            for (sum, &value) in sums.iter_mut().zip(view.at(image, y, x)) {
                                *sum += f64::from(value);
                            }
                        }
                    }
                },
            );
            sums
        };
        let by_image: Vec<Vec<f64>> = parallel::map(0..images, of_image);
        let mut sums = vec![0.0; kinds(height) * row];
        for of_image in &by_image {
            sums.iter_mut().zip(of_image).for_each(|(sum, value)| *sum += value);
        }
        Borders { images, height, width, channels, sums }
    }

    /// Means over all positions, rounded.
    pub fn means(&self) -> Vec<f32> {
        let positions = (self.images * self.height * self.width) as f64;
        self.without([0, 0], [0, 0]).iter().map(|sum| (sum / positions) as f32).collect()
    }

    /// Σx over the positions that are left without so many first and last rows and columns.
    fn without(&self, rows: [usize; 2], columns: [usize; 2]) -> Vec<f64> {
        let left = |kind: usize, extent: usize, [first, last]: [usize; 2]| {
            kind >= first && kind < kinds(extent) - last
        };
        let mut total = vec![0.0; self.channels];
        for (index, sums) in self.sums.chunks_exact(self.channels).enumerate() {
            let (row, column) = (index / kinds(self.width), index % kinds(self.width));
            if left(row, self.height, rows) && left(column, self.width, columns) {
                total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            }
        }
        total
    }

    /// Number of p with p and p + lag on the map, Σx\[p\] and Σx\[p + lag\] over them.
    fn partners(&self, (dy, dx): (isize, isize)) -> (f64, Vec<f64>, Vec<f64>) {
        let (down, right, left) = (dy.unsigned_abs(), dx.max(0) as usize, (-dx).max(0) as usize);
        let count = self.images * (self.height - down) * (self.width - right - left);
        (count as f64, self.without([0, down], [left, right]), self.without([down, 0], [right, left]))
    }
}

/// What takes the pilot back out of a sum of products: c_i · right_j + left_i · c_j.
struct Undo {
    /// Σ x\[p\] − N c.
    left: Vec<f64>,
    /// Σ x\[p + d\].
    right: Vec<f64>,
}

/// A piece of the positions of a batch: a stretch of the line of a group of images.
#[derive(Clone)]
struct Stretch {
    images: Range<usize>,
    positions: Range<usize>,
}

/// Lines and stretches of a view.
struct Line<'a> {
    view: &'a View<'a>,
    pilot: &'a [f32],
    reach: usize,
}

impl Line<'_> {
    /// Positions that a row of a group of images takes.
    fn row(&self, images: usize) -> usize {
        images * (self.view.width + self.reach)
    }

    /// All stretches: as many images at a time as fit into one, or several of one image, of equal lengths.
    fn stretches(&self) -> Vec<Stretch> {
        let images_at_a_time = (STRETCH / (self.view.height * self.row(1))).max(1);
        let mut stretches = Vec::new();
        for first in (0..self.view.images).step_by(images_at_a_time) {
            let images = first..(first + images_at_a_time).min(self.view.images);
            let positions = self.view.height * self.row(images.len());
            let length = positions.div_ceil(positions.div_ceil(STRETCH));
            for start in (0..positions).step_by(length) {
                let positions = start..(start + length).min(positions);
                stretches.push(Stretch { images: images.clone(), positions });
            }
        }
        stretches
    }

    /// x̂ at the line's positions from `start` on, \[positions, channels\]; zero between and after the rows.
    fn gather_positions(&self, images: &Range<usize>, start: usize, values: &mut [f32]) {
        let View { height, width, channels, .. } = *self.view;
        let pitch = width + self.reach;
        let (mut position, stop) = (start, start + values.len() / channels);
        let mut values = values;
        while position < stop {
            let (run, x) = (position / pitch, position % pitch);
            let (y, image) = (run / images.len(), images.start + run % images.len());
            let end = (position + pitch - x).min(stop);
            let values = split_off(&mut values, (end - position) * channels);
            let inside = if y < height { (x + end - position).min(width).saturating_sub(x) } else { 0 };
            let (inside_values, outside) = values.split_at_mut(inside * channels);
            outside.fill(0.0);
            for (index, values) in inside_values.chunks_exact_mut(channels).enumerate() {
                let x = self.view.at(image, y, x + index);
                for ((value, x), c) in values.iter_mut().zip(x).zip(self.pilot) {
                    *value = x - c;
                }
            }
            position = end;
        }
    }
}

/// Adds Σ x\[p\] x\[p + lag\]ᵀ to `sums` \[lags, channels, channels\], for the first lags of [`LAGS`]. `borders` are the
/// view's own; the pilot is any value near each channel's mean.
pub fn add(sums: &mut [f64], view: &View, borders: &Borders, pilot: &[f32], workspace: &Workspace) {
    let channels = view.channels;
    let plane = channels * channels;
    let line = Line { view, pilot, reach: view.reach() };
    let on_map = |(dy, dx): (isize, isize)| dy.unsigned_abs() < view.height && dx.unsigned_abs() < view.width;
    let undo: Vec<Option<Undo>> = LAGS[..sums.len() / plane]
        .iter()
        .map(|&lag| {
            on_map(lag).then(|| {
                let (count, mut left, right) = borders.partners(lag);
                left.iter_mut().zip(pilot).for_each(|(left, &c)| *left -= count * f64::from(c));
                Undo { left, right }
            })
        })
        .collect();

    let stretches = line.stretches();
    let len = sums.len();
    let runs = RUNS.min(PARTIAL_BYTES / size_of_val(sums)).clamp(1, stretches.len());
    // Runs after the first add to zeros, and their sums to the others' afterwards.
    let mut partial = vec![0.0; (runs - 1) * len];
    let all = std::iter::once(&mut *sums).chain(partial.chunks_exact_mut(len));
    parallel::each(all.enumerate(), |(run, sums)| {
        let share = stretches.len() * run / runs..stretches.len() * (run + 1) / runs;
        for (index, stretch) in stretches[share].iter().enumerate() {
            let gathered = line.gather(stretch, workspace);
            let blocks =
                sums.chunks_exact_mut(plane).zip(&undo).enumerate().flat_map(|(lag, (sums, undo))| {
                    let blocks = sums.chunks_mut(CHANNEL_BLOCK * channels).enumerate();
                    let undo = undo.as_ref();
                    blocks.filter_map(move |(block, sums)| Some((lag, block * CHANNEL_BLOCK, sums, undo?)))
                });
            parallel::each(blocks, |(lag, first, sums, undo)| {
                let undo = Some(undo).filter(|_| run == 0 && index == 0);
                line.add(&gathered, LAGS[lag], first, sums, undo, workspace);
            });
        }
    });
    for partial in partial.chunks_exact(len) {
        let pieces = sums.chunks_mut(1 << 14).zip(partial.chunks(1 << 14));
        parallel::each(pieces, |(sums, partial)| {
            sums.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
        });
    }
    mirror(&mut sums[..plane], channels);
}

/// A stretch with what it can have as partners.
struct Gathered<'a> {
    /// Positions on which the left factor lies.
    positions: Range<usize>,
    /// Positions of a row of all images.
    row: usize,
    /// x̂ from the first of the positions on, to their farthest partners: \[positions and more, channels\].
    values: Buffer<'a>,
    /// x̂ at the positions, \[channels, `stride`\].
    transposed: Buffer<'a>,
    stride: usize,
}

impl Line<'_> {
    fn gather<'a>(&self, stretch: &Stretch, workspace: &'a Workspace) -> Gathered<'a> {
        let channels = self.view.channels;
        let (positions, row) = (stretch.positions.clone(), self.row(stretch.images.len()));
        let ahead = FARTHEST.min(self.view.height - 1) * row + self.reach;
        let mut values = workspace.take((positions.len() + ahead) * channels);
        parallel::each(values.chunks_mut(PIECE * channels).enumerate(), |(piece, values)| {
            self.gather_positions(&stretch.images, positions.start + piece * PIECE, values);
        });
        let stride = positions.len() + PADDING;
        let mut transposed = workspace.take(channels * stride);
        parallel::each(transposed.chunks_mut(CHANNEL_BLOCK * stride).enumerate(), |(block, rows)| {
            let first = block * CHANNEL_BLOCK;
            let values = &values[..positions.len() * channels];
            transpose(values, channels, first..(first + CHANNEL_BLOCK).min(channels), rows, stride);
        });
        Gathered { positions, row, values, transposed, stride }
    }

    /// Adds a stretch's products at a lag to the sums \[rows, channels\] of channels `first_row` and on, and takes the
    /// pilot back out where `undo` says how.
    fn add(
        &self,
        gathered: &Gathered,
        (dy, dx): (isize, isize),
        first_row: usize,
        sums: &mut [f64],
        undo: Option<&Undo>,
        workspace: &Workspace,
    ) {
        let channels = self.view.channels;
        let rows = sums.len() / channels;
        // Rows whose partner is below the map have none.
        let with_partner = (self.view.height - dy as usize) * gathered.row;
        let count = gathered.positions.len().min(with_partner.saturating_sub(gathered.positions.start));
        if count == 0 {
            return;
        }
        // At lag (0, 0) what is left of the diagonal follows from symmetry.
        let first = if (dy, dx) == (0, 0) { first_row } else { 0 };
        let columns = channels - first;
        let offset = (dy * gathered.row as isize + dx) as usize;
        let mut products = workspace.take(rows * columns);
        multiply(
            (rows, count, columns),
            Matrix { values: &gathered.transposed[first_row * gathered.stride..], stride: gathered.stride },
            Matrix { values: &gathered.values[offset * channels + first..], stride: channels },
            &mut products,
            columns,
            Accumulate::Replace,
        );
        let lines = sums.chunks_exact_mut(channels).zip(products.chunks_exact(columns));
        vectorised(
            #[inline(always)]
            || {
                for (channel, (sums, products)) in (first_row..).zip(lines) {
                    let sums = sums[first..].iter_mut().zip(products);
                    match undo {
                        None => sums.for_each(|(sum, &product)| *sum += f64::from(product)),
                        Some(undo) => {
                            let (c, left) = (f64::from(self.pilot[channel]), undo.left[channel]);
                            let right = undo.right[first..].iter().zip(&self.pilot[first..]);
                            for ((sum, &product), (right, &d)) in sums.zip(right) {
                                *sum += f64::from(product) + (c * right + left * f64::from(d));
                            }
                        }
                    }
                }
            },
        );
    }
}

/// Side of the squares that are transposed at a time.
const SQUARE: usize = 16;

/// Columns of a matrix with `width` columns as rows `stride` apart.
fn transpose(matrix: &[f32], width: usize, columns: Range<usize>, rows: &mut [f32], stride: usize) {
    let height = matrix.len() / width;
    for first_row in (0..height).step_by(SQUARE) {
        for first_column in columns.clone().step_by(SQUARE) {
            for column in first_column..(first_column + SQUARE).min(columns.end) {
                let row = &mut rows[(column - columns.start) * stride..];
                for index in first_row..(first_row + SQUARE).min(height) {
                    row[index] = matrix[index * width + column];
                }
            }
        }
    }
}

/// Makes a square matrix symmetric from what is right of its diagonal.
fn mirror(matrix: &mut [f64], side: usize) {
    for first_row in (0..side).step_by(SQUARE) {
        for first_column in (0..=first_row).step_by(SQUARE) {
            for row in first_row..(first_row + SQUARE).min(side) {
                for column in first_column..(first_column + SQUARE).min(row) {
                    matrix[row * side + column] = matrix[column * side + row];
                }
            }
        }
    }
}
