//! Moments of convolutions by warpgroups (`kernels/hopper_moments.cu`): which layers they run, with which tile, in which chunks. Tiles and
//! chunks decide the order of additions, so that they depend on the extents of the batch alone; whether a layer runs this way depends on
//! those of its maps.

use super::super::device::{DeviceError, LaunchSize};
use super::super::options::Precision;
use super::super::params::{VGGX_HOPPER_MOMENT_THREADS, VggxHopperMoments, VggxMoments};
use super::super::tiles::Limits;
use super::super::warpgroups::{BoxTile, BoxVariant, POSITIONS, ROW, TILES};
use super::split::{Extents, Split};

/// Slots of the ring; a tile of a slot is multiplied for longer than memory takes to answer.
const MOST_SLOTS: usize = 4;

/// A tile with the split of a layer's positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MomentBoxes {
    tile: BoxTile,
    /// In tiles.
    pub chunks: Split,
    pub slots: usize,
    pub size: LaunchSize,
}

impl MomentBoxes {
    /// For a layer; none where the portable kernels are to run.
    pub fn choose(precision: Precision, layer: &Extents, limits: Limits) -> Option<Self> {
        let runs = BoxVariant::runs(precision, (layer.height, layer.width), false, limits);
        if layer.is_image() || layer.taps == 1 || !runs {
            return None;
        }
        // Products bound all of them (docs/performance.md): the fewest; among equals, the smallest boxes.
        let extents = (layer.images, layer.height, layer.width);
        let count = |tile: &BoxTile| tile.counts(extents).into_iter().fold(1, usize::saturating_mul);
        let tile = TILES.into_iter().min_by_key(|tile| (count(tile), tile.box_bytes()))?;
        let slots =
            (2..=MOST_SLOTS).rev().find(|&slots| shared_bytes(tile, slots) <= limits.shared_memory)?;
        let chunks = layer.chunks_of_tiles(count(&tile));
        let parts = chunks.count.saturating_mul(layer.tiles());
        let size = LaunchSize {
            grid: [parts.min(limits.multiprocessors).max(1) as u32, 1, 1],
            threads: VGGX_HOPPER_MOMENT_THREADS as u32,
            shared: shared_bytes(tile, slots) as u32,
        };
        Some(MomentBoxes { tile, chunks, slots, size })
    }

    /// The chunks in positions, with those of tiles that lie beside the maps.
    pub fn chunk_positions(&self) -> Split {
        Split { length: self.chunks.length * POSITIONS, count: self.chunks.count }
    }

    /// What the kernel takes, for a layer that lies on a device.
    pub fn parameters(&self, layer: VggxMoments) -> Result<VggxHopperMoments, DeviceError> {
        let extent = |extent: i32| extent as usize;
        let maps = &layer.maps;
        let extents = (extent(maps.images), extent(maps.height), extent(maps.width));
        Ok(VggxHopperMoments {
            input: self.tile.map(maps.input, extents, extent(maps.channels), 2, false)?,
            pre_activation: self.tile.map(maps.pre_activation, extents, extent(maps.outputs), 0, false)?,
            tile_width_log2: self.tile.width_log2 as i32,
            tile_height_log2: self.tile.height_log2 as i32,
            tile_images_log2: self.tile.images_log2 as i32,
            images_between: i32::from(self.tile.images_between),
            layer,
        })
    }
}

/// As `params.h` says: boxes of x and z, factors and ones of positions, barriers.
fn shared_bytes(tile: BoxTile, slots: usize) -> usize {
    let terms = [
        tile.box_bytes() + POSITIONS * ROW,
        POSITIONS * 8,
        POSITIONS * size_of::<u16>(),
        2 * size_of::<u64>(),
    ];
    terms.iter().map(|bytes| (slots * bytes).next_multiple_of(128)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Limits =
        Limits { multiprocessors: 132, shared_memory: 227 << 10, warpgroups: true, clusters: true };

    fn layer(images: usize, side: usize, channels: usize, outputs: usize) -> Extents {
        Extents { images, height: side, width: side, channels, outputs, taps: 9 }
    }

    fn chosen(layer: Extents, limits: Limits) -> Option<MomentBoxes> {
        MomentBoxes::choose(Precision::F16, &layer, limits)
    }

    #[test]
    fn positions_are_put_together_to_as_few_tiles_as_possible() {
        let tiles = |side| {
            let boxes = chosen(layer(64, side, 64, 64), H200).expect("it runs by warpgroups");
            let BoxTile { width_log2, height_log2, images_log2, .. } = boxes.tile;
            [width_log2, height_log2, images_log2]
        };
        assert_eq!(
            [224, 112, 56, 28, 14].map(tiles),
            [[3, 4, 0], [3, 4, 0], [3, 3, 1], [2, 2, 3], [1, 1, 5]]
        );
        // 98 tiles in four chunks.
        let last = chosen(layer(64, 14, 512, 512), H200).expect("it runs by warpgroups");
        assert_eq!(last.chunks, Split { length: 25, count: 4 });
        assert_eq!((last.slots, last.size.grid), (4, [132, 1, 1]));
    }

    #[test]
    fn neither_the_device_nor_the_batch_decides_what_it_must_not() {
        let other =
            Limits { multiprocessors: 78, shared_memory: 160 << 10, warpgroups: true, clusters: true };
        for side in [1, 2, 7, 14, 28, 56, 224] {
            let runs = |images| chosen(layer(images, side, 64, 128), H200);
            for images in 1..70 {
                assert_eq!(runs(images).is_some(), runs(1).is_some(), "{images} of {side}");
                let Some(boxes) = runs(images) else { continue };
                let same = chosen(layer(images, side, 64, 128), other).expect("the same choice");
                assert_eq!((boxes.tile, boxes.chunks), (same.tile, same.chunks), "{images} of {side}");
                assert!(boxes.size.shared as usize <= H200.shared_memory && same.size.shared <= 160 << 10);
                assert!(boxes.chunk_positions().length <= 4096);
            }
        }
        assert!(chosen(layer(64, 1, 64, 64), H200).is_none());
        assert!(chosen(layer(64, 224, 3, 64), H200).is_none());
        assert!(chosen(Extents { taps: 1, ..layer(64, 1, 64, 64) }, H200).is_none());
        assert!(MomentBoxes::choose(Precision::F32, &layer(64, 56, 64, 64), H200).is_none());
        assert!(chosen(layer(64, 56, 64, 64), Limits { warpgroups: false, ..H200 }).is_none());
    }
}
