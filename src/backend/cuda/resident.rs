//! Convolutions by warpgroups whose operator stays in shared memory (`kernels/hopper_resident.cuh`): which layers they run. Their
//! warpgroups take turns at a tile of 256 positions each, with 64 outputs as rows of the product.

use super::device::LaunchSize;
use super::params::{VGGX_CHANNELS, VGGX_HOPPER_SLOTS, VGGX_HOPPER_THREADS, VGGX_RESIDENT_EXCHANGE};
use super::tiles::Limits;
use super::warpgroups::{BoxTile, BoxVariant, Operators, ROW};

/// Rows of the box are a multiple of eight apart, and the columns of the product lie without gaps: one image.
const TILE: BoxTile = BoxTile { width_log2: 4, height_log2: 4, images_log2: 0, images_between: false };
/// Output channels of a block.
const COLUMNS: usize = 64;
/// Slots that hide the latency of memory beside the products of one.
const ENOUGH_SLOTS: usize = 3;
const MOST_SLOTS: usize = 4;
/// The share of what the best other tile uses along the map that is enough: the others are predicted to take 1.25 times as long and more
/// for the same positions (docs/performance.md).
const ENOUGH_USE: f64 = 0.8;

/// For maps of these extents \[images, height, width\] with so many channels, and so many output channels; none where shared memory does
/// not hold the operator of 64 outputs and two boxes, and for images, whose channels are not padded.
pub(super) fn variant(
    extents: (usize, usize, usize),
    (channels, outputs): (usize, usize),
    limits: Limits,
) -> Option<BoxVariant> {
    let padded = |channels: usize| channels.is_multiple_of(VGGX_CHANNELS as usize);
    if !padded(channels) || !padded(outputs) {
        return None;
    }
    let operator_slots = 9 * channels / 64;
    let beside = operator_slots * COLUMNS * ROW
        + 2 * VGGX_RESIDENT_EXCHANGE as usize
        + VGGX_HOPPER_SLOTS as usize * 16;
    let map_slot = TILE.box_bytes();
    let map_slots = (limits.shared_memory.checked_sub(beside)? / map_slot).min(MOST_SLOTS);
    if map_slots < 2 {
        return None;
    }
    let tiles = TILE.counts(extents).iter().product::<usize>();
    let column_tiles = outputs / COLUMNS;
    let blocks = tiles.min(limits.multiprocessors / column_tiles).max(1);
    let size = LaunchSize {
        grid: [blocks as u32, column_tiles as u32, 1],
        threads: VGGX_HOPPER_THREADS as u32,
        shared: (beside + map_slots * map_slot) as u32,
    };
    let operators = Operators::Resident;
    Some(BoxVariant { tile: TILE, operators, columns: COLUMNS, map_slots, operator_slots, size })
}

/// Whether it is to run a layer whose map another tile uses to such a share. With more outputs each block of them reads the map for itself:
/// then only where boxes arrive in time for sure.
pub(super) fn pays(
    variant: &BoxVariant,
    (_, height, width): (usize, usize, usize),
    used_otherwise: f64,
) -> bool {
    let [_, column_tiles, _] = variant.size.grid;
    let arrives = column_tiles == 1 || (column_tiles == 2 && variant.map_slots >= ENOUGH_SLOTS);
    arrives && variant.tile.used(height, width) >= ENOUGH_USE * used_otherwise
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::options::Precision;

    const H200: Limits =
        Limits { multiprocessors: 132, shared_memory: 227 << 10, warpgroups: true, clusters: true };

    fn chosen(side: usize, channels: (usize, usize)) -> BoxVariant {
        BoxVariant::choose(Precision::F16, (64, side, side), channels, false, H200)
            .expect("it runs by warpgroups")
    }

    #[test]
    fn the_layers_of_a_vgg_with_small_operators_keep_them() {
        // conv1_2, conv2_1 forward and backward.
        for (side, channels, slots, grid) in [
            (224, (64, 64), 4, [132, 1, 1]),
            (112, (64, 128), 4, [66, 2, 1]),
            (112, (128, 64), 2, [132, 1, 1]),
        ] {
            let variant = chosen(side, channels);
            assert_eq!(variant.operators, Operators::Resident, "{channels:?}");
            assert_eq!((variant.map_slots, variant.size.grid), (slots, grid));
            assert!(variant.size.shared as usize <= H200.shared_memory);
            assert_eq!(
                variant.kernel("backward", Precision::F16.suffix()),
                "hopper_resident_backward_f16_256x64"
            );
        }
        for (side, channels) in [(112, (128, 128)), (56, (128, 256)), (56, (256, 128)), (28, (512, 512))] {
            assert!(matches!(chosen(side, channels).operators, Operators::Ring { .. }), "{channels:?}");
        }
    }

    #[test]
    fn maps_that_waste_tiles_of_sixteen_keep_the_ring() {
        for (side, resident) in [(17, false), (15, true), (7, false)] {
            assert_eq!(chosen(side, (64, 64)).operators == Operators::Resident, resident, "{side}");
        }
    }

    #[test]
    fn operators_that_do_not_fit_and_images_are_refused() {
        assert!(variant((1, 16, 16), (128, 64), H200).is_some());
        assert!(variant((1, 16, 16), (192, 64), H200).is_none());
        let small = Limits { shared_memory: 99 << 10, ..H200 };
        assert!(variant((1, 16, 16), (64, 64), small).is_none());
        assert!(variant((1, 16, 16), (64, 3), H200).is_none());
        let few = Limits { multiprocessors: 1, ..H200 };
        assert_eq!(variant((3, 16, 16), (64, 192), few).expect("it fits").size.grid, [1, 3, 1]);
    }
}
