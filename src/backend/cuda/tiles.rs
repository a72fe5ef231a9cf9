//! Which variant of the convolution runs a layer. All variants sum in the same order, so the choice never changes a bit.

use super::device::LaunchSize;
use super::options::Precision;
use super::params::VGGX_ROW_BYTES;

/// What limits a block and the number of blocks worth having.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub multiprocessors: usize,
    /// Bytes of shared memory that one block may have.
    pub shared_memory: usize,
    /// Whether the kernels for warpgroups run.
    pub warpgroups: bool,
    /// Whether those of them may run that clusters of blocks run.
    pub clusters: bool,
}

/// Rows (positions) and columns (output channels) that one block computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub rows: usize,
    pub columns: usize,
    pub threads: u32,
    /// Blocks that the registers of a multiprocessor hold.
    pub resident: usize,
}

/// For 64 outputs: nothing is wasted.
pub(super) const TALL: Tile = Tile { rows: 256, columns: 64, threads: 128, resident: 2 };
const SQUARE: Tile = Tile { rows: 128, columns: 128, threads: 128, resident: 2 };
/// Reads the least for each output, but makes few blocks. On tensor cores only.
const WIDE: Tile = Tile { rows: 128, columns: 256, threads: 256, resident: 1 };

/// Bytes of the multiprocessor's shared memory that each block takes for itself.
const RESERVED: usize = 1024;
/// Stages that hide the latency of memory; with fewer, one block a multiprocessor with more of them does better.
const ENOUGH_STAGES: usize = 3;
const MOST_STAGES: usize = 8;

/// A variant with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub tile: Tile,
    pub stages: usize,
    pub size: LaunchSize,
}

impl Variant {
    /// `rows` positions times `outputs` channels, each a sum of `depth` products.
    pub fn choose(precision: Precision, rows: usize, outputs: usize, depth: usize, limits: Limits) -> Self {
        let fills_device = rows.div_ceil(WIDE.rows) * (outputs / WIDE.columns) >= limits.multiprocessors;
        let tile = if outputs == TALL.columns {
            TALL
        } else if precision != Precision::F32 && outputs.is_multiple_of(WIDE.columns) && fills_device {
            WIDE
        } else {
            SQUARE
        };
        let stages = tile.stages(precision, depth, limits);
        Variant { tile, stages, size: tile.size(precision, stages, rows, outputs) }
    }

    /// Every variant that fits, for timing them.
    pub fn all(precision: Precision, rows: usize, outputs: usize, depth: usize, limits: Limits) -> Vec<Self> {
        let tiles = if precision == Precision::F32 { &[TALL, SQUARE][..] } else { &[TALL, SQUARE, WIDE] };
        let whole = (depth * precision.bytes()).div_ceil(VGGX_ROW_BYTES as usize);
        let of_tile = |&tile: &Tile| {
            (2..=MOST_STAGES.min(whole.max(2)))
                .filter(move |&stages| tile.shared(precision, stages) <= limits.shared_memory)
                .map(move |stages| Variant {
                    tile,
                    stages,
                    size: tile.size(precision, stages, rows, outputs),
                })
        };
        tiles.iter().flat_map(of_tile).collect()
    }

    /// What the names of the kernels end with.
    pub fn suffix(&self, precision: Precision) -> String {
        format!("{}_{}x{}", precision.suffix(), self.tile.rows, self.tile.columns)
    }
}

impl Tile {
    pub fn size(&self, precision: Precision, stages: usize, rows: usize, outputs: usize) -> LaunchSize {
        let blocks = rows.div_ceil(self.rows) * outputs.div_ceil(self.columns);
        let shared = self.shared(precision, stages);
        LaunchSize { grid: [blocks as u32, 1, 1], threads: self.threads, shared: shared as u32 }
    }

    /// The ring of stages and the staged outputs share their memory; the table of rows has its own.
    fn shared(&self, precision: Precision, stages: usize) -> usize {
        let ring = stages * (self.rows + self.columns) * VGGX_ROW_BYTES as usize;
        ring.max(self.rows * self.columns * precision.bytes()) + self.rows * 16
    }

    fn stages(&self, precision: Precision, depth: usize, limits: Limits) -> usize {
        let most_that_fit = |blocks: usize| {
            let budget = (limits.shared_memory + RESERVED) / blocks;
            let fits = |&stages: &usize| self.shared(precision, stages) + RESERVED <= budget;
            (2..=MOST_STAGES).rev().find(fits).unwrap_or(0)
        };
        let beside_others = most_that_fit(self.resident);
        let stages = if beside_others >= ENOUGH_STAGES { beside_others } else { most_that_fit(1) };
        // More than the whole depth are never filled.
        let whole = (depth * precision.bytes()).div_ceil(VGGX_ROW_BYTES as usize);
        stages.min(whole).max(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Limits =
        Limits { multiprocessors: 132, shared_memory: 227 << 10, warpgroups: false, clusters: false };
    const ADA: Limits =
        Limits { multiprocessors: 128, shared_memory: 99 << 10, warpgroups: false, clusters: false };

    #[test]
    fn narrow_layers_get_tall_tiles_and_large_ones_wide_tiles() {
        let choose = |precision, rows, outputs| Variant::choose(precision, rows, outputs, 9 * 256, H100).tile;
        assert_eq!(choose(Precision::F16, 64 * 224 * 224, 64), TALL);
        assert_eq!(choose(Precision::F16, 64 * 112 * 112, 128), SQUARE);
        assert_eq!(choose(Precision::F16, 64 * 28 * 28, 512), WIDE);
        // 64 * 14 * 14 rows make 98 tiles in each of two columns; 4 images fill nothing.
        assert_eq!(choose(Precision::Bf16, 64 * 14 * 14, 512), WIDE);
        assert_eq!(choose(Precision::F16, 4 * 14 * 14, 512), SQUARE);
        assert_eq!(choose(Precision::F32, 64 * 28 * 28, 512), SQUARE);
        assert_eq!(choose(Precision::F16, 64 * 28 * 28, 320), SQUARE);
    }

    #[test]
    fn every_variant_fits_into_shared_memory() {
        for limits in [H100, ADA] {
            for precision in [Precision::F16, Precision::Bf16, Precision::F32] {
                for tile in [TALL, SQUARE, WIDE] {
                    if tile == WIDE && precision == Precision::F32 {
                        continue; // 128 KiB of outputs alone
                    }
                    for depth in [64, 576, 4608] {
                        let stages = tile.stages(precision, depth, limits);
                        assert!((2..=MOST_STAGES).contains(&stages));
                        assert!(tile.shared(precision, stages) <= limits.shared_memory);
                    }
                }
            }
        }
        // Two blocks share a multiprocessor of 228 KiB.
        let variant = Variant::choose(Precision::F16, 1 << 20, 128, 4608, H100);
        assert_eq!((variant.stages, variant.size.shared), (6, 6 * 256 * 64 + 128 * 16));
        assert!(2 * (variant.size.shared + 1024) <= 228 << 10);
        assert_eq!(variant.size.grid, [(1 << 20) / 128, 1, 1]);
    }

    #[test]
    fn a_shallow_layer_has_no_more_stages_than_depth() {
        assert_eq!(Variant::choose(Precision::F16, 1000, 64, 64, H100).stages, 2);
        assert_eq!(Variant::choose(Precision::F16, 1000, 64, 128, H100).stages, 4);
    }
}
