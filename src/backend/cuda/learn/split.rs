//! How a layer's sums are split into blocks and stages. Splits decide the order of additions, so that they depend on the
//! extents of the batch alone, never on the device.

use super::super::device::LaunchSize;
use super::super::options::Precision;
use super::super::params::{VGGX_CHANNELS, VGGX_CHUNK_POSITIONS, VGGX_IMAGE_DEPTH};

/// A layer as its moments see it: extents with their padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extents {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    /// Of the input; 3 in the first layer.
    pub channels: usize,
    pub outputs: usize,
    /// 9, or 1 in a dense layer.
    pub taps: usize,
}

/// Blocks that fill every device.
const ENOUGH_BLOCKS: usize = 512;
/// Fewer positions are not worth a block.
const FEWEST_POSITIONS: usize = 512;
/// Chunks are multiples of it.
const STEP: usize = 128;
/// Slices of the sums without products.
const MOST_SLICES: usize = 512;
const SHORTEST_SLICE: usize = 256;
/// Stages of the pipeline.
const CONVOLUTION_STAGES: usize = 4;
const DENSE_STAGES: usize = 2;

/// Regions that sums of a convolution's input are taken over.
pub(super) const REGIONS: usize = 9;

/// Positions in parts of equal length, but for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub length: usize,
    pub count: usize,
}

impl Split {
    fn new(positions: usize, length: usize) -> Self {
        Split { length, count: positions.div_ceil(length).max(1) }
    }
}

impl Extents {
    pub fn is_image(&self) -> bool {
        self.channels == 3
    }

    pub fn positions(&self) -> usize {
        [self.images, self.height, self.width].into_iter().fold(1, usize::saturating_mul)
    }

    /// Rows of the products: the fan-in as the device has it.
    pub fn fan_in(&self) -> usize {
        if self.is_image() { VGGX_IMAGE_DEPTH as usize } else { self.taps * self.channels }
    }

    pub fn regions(&self) -> usize {
        if self.taps == 1 { 1 } else { REGIONS }
    }

    /// Groups of 64 input channels.
    pub fn groups(&self) -> usize {
        self.channels.div_ceil(VGGX_CHANNELS as usize)
    }

    /// Parts of the products of one chunk, each of which a block makes.
    pub fn tiles(&self) -> usize {
        let rows = match (self.is_image(), self.taps) {
            (true, _) => 1,
            (false, 1) => self.groups().div_ceil(3),
            _ => 3 * self.groups(),
        };
        rows * (self.outputs / VGGX_CHANNELS as usize)
    }

    /// Positions that one float32 sum goes over.
    pub fn chunks(&self) -> Split {
        let positions = self.positions();
        Split::new(positions, positions.div_ceil(self.wanted_chunks(positions)).next_multiple_of(STEP))
    }

    /// Tiles of [`STEP`] positions that one float32 sum goes over, where all positions are put together to so many.
    pub fn chunks_of_tiles(&self, tiles: usize) -> Split {
        Split::new(tiles, tiles.div_ceil(self.wanted_chunks(tiles.saturating_mul(STEP))))
    }

    fn wanted_chunks(&self, positions: usize) -> usize {
        let least = positions.div_ceil(VGGX_CHUNK_POSITIONS as usize);
        let wanted = ENOUGH_BLOCKS.div_ceil(self.tiles()).min(positions.div_ceil(FEWEST_POSITIONS));
        wanted.max(least).max(1)
    }

    /// Positions that a block of the sums without products goes over.
    pub fn slices(&self) -> Split {
        let positions = self.positions();
        Split::new(positions, positions.div_ceil(MOST_SLICES).max(SHORTEST_SLICE))
    }

    /// The kernel that makes the products, without its elements.
    pub fn kernel(&self) -> &'static str {
        match (self.is_image(), self.taps) {
            (true, _) => "moments_image",
            (false, 1) => "moments_dense",
            _ => "moments_convolution",
        }
    }

    pub fn stages(&self) -> usize {
        if self.taps == 1 { DENSE_STAGES } else { CONVOLUTION_STAGES }
    }

    /// Of that kernel, as `params.h` says.
    pub fn product_size(&self, precision: Precision) -> LaunchSize {
        let element = precision.bytes();
        let (threads, shared) = if self.is_image() {
            (128, 128 * (VGGX_IMAGE_DEPTH as usize + 64) * element + 128 * 8 + 128 * element)
        } else {
            let (stages, positions) = (self.stages(), 128 / element);
            let rows = if self.taps == 1 { 3 * positions } else { positions + 2 };
            let terms = [
                stages * (rows + positions) * 64 * element,
                stages * positions * 8,
                stages * positions * element,
                stages * positions,
                64 * element,
            ];
            (384, terms.iter().map(|term| term.next_multiple_of(128)).sum())
        };
        let blocks = self.chunks().count * self.tiles();
        LaunchSize { grid: [blocks as u32, 1, 1], threads, shared: shared as u32 }
    }

    /// Bytes of what blocks leave for each other: the largest of the steps'. `chunks`: those of the products that are left, not added
    /// at once.
    pub fn partial_bytes(&self, chunks: usize) -> usize {
        let product =
            |factors: &[usize]| factors.iter().fold(1usize, |all, &factor| all.saturating_mul(factor));
        let slices = self.slices().count;
        let inputs = product(&[self.regions(), slices, self.channels, size_of::<f64>()]);
        let responses = product(&[4, slices, self.outputs, size_of::<f64>()]);
        let products = product(&[chunks, 3, self.fan_in(), self.outputs, size_of::<f32>()]);
        inputs.max(responses).max(products)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(images: usize, side: usize, channels: usize, outputs: usize) -> Extents {
        Extents { images, height: side, width: side, channels, outputs, taps: 9 }
    }

    #[test]
    fn float32_sums_never_go_over_more_than_4096_positions() {
        for images in [1, 3, 33, 64] {
            for (side, channels, outputs) in
                [(224, 3, 64), (224, 64, 64), (28, 256, 512), (14, 512, 512), (1, 64, 64)]
            {
                let extents = layer(images, side, channels, outputs);
                let Split { length, count } = extents.chunks();
                assert!(length <= 4096 && length.is_multiple_of(128), "{extents:?}: {length}");
                assert!(length * (count - 1) < extents.positions() && extents.positions() <= length * count);
                let Split { length, count } = extents.slices();
                assert!(length * (count - 1) < extents.positions() && extents.positions() <= length * count);
            }
        }
    }

    #[test]
    fn deep_layers_are_split_until_every_device_is_full() {
        // 24 · 8 tiles: three chunks are enough, and 64 · 196 positions need four.
        assert_eq!(layer(64, 14, 512, 512).chunks(), Split { length: 3200, count: 4 });
        // Three tiles of 64 · 50176 positions.
        assert_eq!(layer(64, 224, 64, 64).chunks(), Split { length: 4096, count: 784 });
        // One block for the little there is.
        assert_eq!(layer(1, 7, 64, 64).chunks(), Split { length: 128, count: 1 });
        let dense = Extents { taps: 1, ..layer(64, 1, 25088, 4096) };
        assert_eq!((dense.chunks().count, dense.tiles()), (1, 131 * 64));
    }

    #[test]
    fn every_block_fits_into_the_shared_memory_of_all_devices() {
        for precision in [Precision::F16, Precision::Bf16, Precision::F32] {
            for extents in
                [layer(2, 9, 3, 64), layer(2, 9, 64, 64), Extents { taps: 1, ..layer(2, 1, 64, 64) }]
            {
                assert!(extents.product_size(precision).shared <= 99 << 10);
            }
        }
    }
}
