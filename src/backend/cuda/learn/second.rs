//! The launches that add Σxxᵀ of a batch. What the kernels do stands in `kernels/params.h`.

use super::second_sums::SecondLayout;
use crate::backend::LAGS;
use crate::backend::cuda::device::LaunchSize;
use crate::backend::cuda::options::Precision;
use crate::backend::cuda::params::{
    VGGX_SECOND_CHUNK, VGGX_SECOND_KINDS, VGGX_SECOND_PLANES, VggxSecondDense, VggxSecondMaps,
    VggxSecondPass, VggxSecondRegions, VggxSecondView,
};
use crate::backend::cuda::program::Parameters;
use crate::backend::cuda::tiles::Limits;

/// Positions, or a dense layer's images, that are summed in float32.
const CHUNK: usize = VGGX_SECOND_CHUNK as usize;
const PLANES: usize = VGGX_SECOND_PLANES as usize;
const KINDS: usize = VGGX_SECOND_KINDS as usize;
/// Images that a block of `second_borders` sums.
const SLICE_IMAGES: usize = 4;
/// Bytes of lines and partial sums that a pass over some of the images may take. Fixed, so that sums depend on the batch alone.
const PASS_BYTES: usize = 256 << 20;
/// The farthest that two taps are apart.
const FARTHEST: usize = 2;

/// A layer's input in a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecondShape {
    pub precision: Precision,
    pub images: usize,
    /// Of the map; 1 of a dense layer.
    pub height: usize,
    /// Of the map; 1 of a dense layer.
    pub width: usize,
    pub layout: SecondLayout,
}

/// Where a batch's input is (`VggxSecondMaps` says what each is), and where the sums are added.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecondAddresses {
    pub input: u64,
    pub factors: u64,
    pub common: u64,
    pub sums: u64,
    /// Buffers of [`SecondShape::scratch`] bytes; any contents.
    pub scratch: [u64; 5],
    /// [`SecondLayout::len`] float64.
    pub accumulators: u64,
}

/// The tile of a product.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    columns: usize,
    /// Blocks that the registers of a multiprocessor hold.
    resident: usize,
}

impl Tile {
    /// Stages that hide the latency of memory, as far as shared memory holds them.
    fn stages(self, limits: Limits) -> usize {
        let most = |blocks: usize| ((limits.shared_memory + 1024) / blocks - 1024) / self.stage_bytes();
        let beside_others = most(self.resident);
        let stages = if beside_others >= 3 { beside_others } else { most(1) };
        stages.clamp(2, 6)
    }

    fn stage_bytes(self) -> usize {
        (self.rows + self.columns) * 64
    }

    fn size(self, blocks: [usize; 2], stages: usize) -> LaunchSize {
        LaunchSize {
            grid: [blocks[0] as u32, blocks[1] as u32, 1],
            threads: (self.rows * self.columns / 128) as u32,
            shared: (stages * self.stage_bytes()) as u32,
        }
    }
}

const NARROW: Tile = Tile { rows: 64, columns: 256, resident: 2 };
const SQUARE: Tile = Tile { rows: 128, columns: 128, resident: 2 };
const WIDE: Tile = Tile { rows: 128, columns: 256, resident: 1 };

/// Lines of some images.
struct Lines {
    views: Vec<VggxSecondView>,
    positions: usize,
    /// Elements of the partial sums.
    partials: usize,
    /// Of `second_products`.
    blocks: usize,
}

impl SecondShape {
    fn channels(&self) -> usize {
        self.layout.channels()
    }

    fn is_dense(&self) -> bool {
        self.layout.is_dense()
    }

    fn line_channels(&self) -> usize {
        if self.layout.is_image() { 64 } else { self.channels() }
    }

    fn planes(&self) -> usize {
        if self.is_dense() { 1 } else { PLANES }
    }

    fn slices(&self) -> usize {
        self.images.div_ceil(SLICE_IMAGES)
    }

    fn tile(&self) -> Tile {
        match self.precision {
            _ if self.is_dense() => SQUARE,
            _ if self.line_channels() == 64 => NARROW,
            Precision::F32 => SQUARE,
            Precision::F16 | Precision::Bf16 | Precision::F8 => WIDE,
        }
    }

    /// Bytes of the buffers that adding a batch needs.
    pub fn scratch(&self) -> [usize; 5] {
        let channels = self.channels();
        let lines = self.lines(self.images_of_pass());
        [
            self.slices() * KINDS * channels * size_of::<f64>(),
            channels * size_of::<f32>(),
            self.planes() * 2 * channels * size_of::<f64>(),
            self.line_bytes(&lines),
            // A dense layer has none; nothing is written there.
            (lines.partials * size_of::<f32>()).max(1),
        ]
    }

    fn line_bytes(&self, lines: &Lines) -> usize {
        lines.positions * self.line_channels() * self.precision.bytes()
    }

    /// Images that a pass works on: as many as memory is meant to hold.
    fn images_of_pass(&self) -> usize {
        if self.is_dense() {
            return self.images.min(CHUNK);
        }
        let mut passes = 1;
        loop {
            let images = self.images.div_ceil(passes);
            let lines = self.lines(images);
            if images <= 1 || self.line_bytes(&lines) + lines.partials * size_of::<f32>() <= PASS_BYTES {
                return images.max(1);
            }
            passes += 1;
        }
    }

    /// The views of a layer and where their lines and partial sums are.
    fn lines(&self, images: usize) -> Lines {
        let (height, width) = (self.height, self.width);
        let rows_then_columns = |rows, length, start, row_stride, position_stride, lags| {
            (rows, length, start, row_stride, position_stride, lags)
        };
        let row = |start| rows_then_columns(1, width, start, 0, 1, 3);
        let column = |start| rows_then_columns(1, height, start, 0, width, 3);
        let corner = |start| rows_then_columns(1, 1, start, 0, 1, 1);
        let (last_row, last_column) = ((height - 1) * width, width - 1);
        let mut parts = vec![rows_then_columns(height, width, 0, width, 1, LAGS.len())];
        if self.is_dense() {
            parts[0].5 = 1;
        } else {
            parts.extend([row(0), row(last_row), column(0), column(last_column)]);
            parts.extend([0, last_column, last_row, last_row + last_column].map(corner));
        }
        let channels = self.line_channels();
        let tile = self.tile();
        let mut lines = Lines { views: Vec::new(), positions: 0, partials: 0, blocks: 0 };
        let mut plane = 0;
        for (rows, length, start, row_stride, position_stride, lags) in parts {
            // The first layer's lines hold the lags side by side.
            let image = self.layout.is_image();
            let (reach, products) = if image { (0, 1) } else { (FARTHEST.min(length - 1), lags) };
            let of_row = images * (length + reach);
            let positions = rows * of_row;
            let chunks = positions.div_ceil(CHUNK);
            lines.views.push(VggxSecondView {
                rows: rows as i32,
                length: length as i32,
                start: start as i32,
                row_stride: row_stride as i32,
                position_stride: position_stride as i32,
                reach: reach as i32,
                lags: lags as i32,
                plane,
                line: lines.positions as i32,
                positions: positions as i32,
                chunks: chunks as i32,
                block: lines.blocks as i32,
                partial: lines.partials as i64,
            });
            plane += lags as i32;
            lines.positions += positions + FARTHEST.min(rows - 1) * of_row + reach;
            if !self.is_dense() {
                lines.partials += chunks * products * channels * channels;
                lines.blocks +=
                    chunks * channels.div_ceil(tile.rows) * (products * channels).div_ceil(tile.columns);
            }
        }
        lines
    }

    /// Hands the launches that add a batch to `launch`, one after the other: kernel, size, what it runs on in words.
    pub fn steps(
        &self,
        at: &SecondAddresses,
        limits: Limits,
        name: &str,
        mut launch: impl FnMut(String, LaunchSize, String, Parameters),
    ) {
        let suffix = self.precision.suffix();
        let [partials_of_borders, pilots, regions, lines_address, partials] = at.scratch;
        let channels = self.channels();
        let maps = VggxSecondMaps {
            input: at.input,
            factors: at.factors,
            common: at.common,
            sums: at.sums,
            images: self.images as i32,
            height: self.height as i32,
            width: self.width as i32,
            channels: channels as i32,
        };
        let shape = format!(
            "{name}, second moments of {} images of {}×{}×{channels}",
            self.images, self.height, self.width
        );
        let mut launch = |kernel: String, size: LaunchSize, parameters: Parameters| {
            launch(kernel, size, shape.clone(), parameters);
        };
        let elementwise = |threads: usize, planes: usize, shared: usize| LaunchSize {
            grid: [threads.div_ceil(256) as u32, planes as u32, 1],
            threads: 256,
            shared: shared as u32,
        };
        let groups = channels.div_ceil(64) as u32;
        let borders = VggxSecondRegions {
            maps,
            partials: partials_of_borders,
            pilots,
            regions,
            slice_images: SLICE_IMAGES as i32,
            slices: self.slices() as i32,
            planes: self.planes() as i32,
            pilot_bits: if self.precision == Precision::F32 { 24 } else { 4 },
        };
        let size =
            LaunchSize { grid: [groups, KINDS as u32, self.slices() as u32], threads: 256, shared: 256 * 8 };
        launch(format!("second_borders_{suffix}"), size, borders.into());
        let size = LaunchSize { grid: [groups, 1, 1], threads: 256, shared: (KINDS as u32 + 1) * 64 * 8 };
        launch("second_regions".to_owned(), size, borders.into());
        let tile = self.tile();
        let stages = tile.stages(limits);
        for first in (0..self.images).step_by(self.images_of_pass()) {
            let images = self.images_of_pass().min(self.images - first);
            let lines = self.lines(images);
            let mut view = [VggxSecondView::default(); 9];
            view[..lines.views.len()].copy_from_slice(&lines.views);
            let pass = VggxSecondPass {
                maps,
                pilots,
                // Once a batch.
                regions: if first == 0 { regions } else { 0 },
                lines: lines_address,
                partials,
                planes: at.accumulators,
                first_image: first as i32,
                images: images as i32,
                line_positions: lines.positions as i32,
                line_channels: self.line_channels() as i32,
                stages: stages as i32,
                views: lines.views.len() as i32,
                view,
            };
            let octets = lines.positions * self.line_channels() / 8;
            launch(format!("second_gather_{suffix}"), elementwise(octets, 1, 0), pass.into());
            if self.is_dense() {
                let dense = VggxSecondDense {
                    maps,
                    pilots,
                    regions: pass.regions,
                    lines: lines_address,
                    triangle: at.accumulators,
                    images: images as i32,
                    stages: stages as i32,
                };
                let tiles = channels.div_ceil(tile.rows);
                launch(format!("second_dense_{suffix}"), tile.size([tiles, tiles], stages), dense.into());
            } else {
                let kernel = format!("second_products_{suffix}_{}x{}", tile.rows, tile.columns);
                launch(kernel, tile.size([lines.blocks, 1], stages), pass.into());
                launch("second_flush".to_owned(), elementwise(channels * channels, PLANES, 0), pass.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(precision: Precision, (images, side): (usize, usize), inputs: usize) -> SecondShape {
        let layout = if inputs == 3 { SecondLayout::image() } else { SecondLayout::map(inputs) };
        SecondShape { precision, images, height: side, width: side, layout }
    }

    #[test]
    fn a_pass_stays_within_its_memory() {
        for precision in [Precision::F16, Precision::F32] {
            for (side, inputs) in [(224, 3), (224, 64), (112, 128), (28, 512), (14, 512)] {
                for images in [1, 7, 64, 200] {
                    let shape = shape(precision, (images, side), inputs);
                    let [.., lines, partials] = shape.scratch();
                    assert!(lines + partials <= PASS_BYTES, "{shape:?}: {lines} + {partials}");
                    let pass = shape.images_of_pass();
                    assert!(pass >= 1 && pass <= images);
                }
            }
        }
        let deep = shape(Precision::F16, (64, 14), 512);
        assert_eq!(deep.images_of_pass(), 64);
    }

    #[test]
    fn every_tile_fits_into_shared_memory() {
        for shared_memory in [227 << 10, 163 << 10, 99 << 10] {
            for tile in [NARROW, SQUARE, WIDE] {
                let stages = tile.stages(Limits {
                    multiprocessors: 100,
                    shared_memory,
                    warpgroups: false,
                    clusters: false,
                });
                assert!(stages >= 3 && stages * tile.stage_bytes() <= shared_memory, "{stages}");
            }
        }
    }
}
