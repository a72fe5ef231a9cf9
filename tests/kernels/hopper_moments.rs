//! The moments of convolutions by warpgroups: every tile, judged as those of the portable kernels are.

use super::hopper::{TILES, Tile, runs};
use super::moments::{Channels, Extents, Layer, Products, Sums, check, held, run_by};
use crate::support::{Element, gpu};
use vggx::backend::cuda::params::{VGGX_HOPPER_MOMENT_THREADS, VggxHopperMoments, VggxMoments};

/// How the work is split: tiles of a chunk, slots of the ring.
#[derive(Clone, Copy, Debug)]
struct Split {
    chunk_tiles: usize,
    slots: usize,
}

/// Chunks of one tile, of a few, and as long as may be.
const SPLITS: [Split; 3] = [
    Split { chunk_tiles: 1, slots: 4 },
    Split { chunk_tiles: 3, slots: 2 },
    Split { chunk_tiles: 32, slots: 3 },
];

/// No clusters run these.
fn tiles() -> impl Iterator<Item = Tile> {
    TILES.into_iter().filter(|tile| tile.cluster == 1)
}

/// As params.h says.
fn shared_bytes(tile: Tile, slots: usize) -> usize {
    let terms = [slots * (tile.box_bytes() + 128 * 128), slots * 128 * 8, slots * 128 * 2, slots * 16];
    terms.iter().map(|bytes| bytes.next_multiple_of(128)).sum()
}

/// Runs all kernels, the products by warpgroups.
fn run(layer: &Layer, tile: Tile, split: Split) -> Sums {
    let extents = (layer.images, layer.height, layer.width);
    let [width_log2, height_log2, images_log2] = tile.log2;
    let tiles = layer.width.div_ceil(1 << width_log2)
        * layer.height.div_ceil(1 << height_log2)
        * layer.images.div_ceil(1 << images_log2);
    let chunks = tiles.div_ceil(split.chunk_tiles);
    let blocks = tile.blocks.min(chunks * 3 * (layer.channels / 64) * (layer.outputs / 64));
    let launch = |parameters: &VggxMoments| {
        let maps = &parameters.maps;
        let parameters = VggxHopperMoments {
            input: tile.map(Element::F16, maps.input, (extents, layer.channels), 2),
            pre_activation: tile.map(Element::F16, maps.pre_activation, (extents, layer.outputs), 0),
            tile_width_log2: width_log2 as i32,
            tile_height_log2: height_log2 as i32,
            tile_images_log2: images_log2 as i32,
            images_between: i32::from(tile.images_between),
            layer: VggxMoments {
                chunk_positions: 128 * split.chunk_tiles as i32,
                stages: split.slots as i32,
                ..*parameters
            },
        };
        let name = layer.element.kernel("hopper_moments");
        let (threads, shared) = (VGGX_HOPPER_MOMENT_THREADS as u32, shared_bytes(tile, split.slots));
        gpu().launch(&name, [blocks, 1, 1], threads, shared, &parameters);
    };
    run_by(gpu(), layer, 4096, &Products { chunks, partials: true, launch: &launch })
}

fn agrees(element: Element, shapes: &[(Extents, Channels)]) {
    if !runs() {
        return;
    }
    for (index, &(extents, channels)) in shapes.iter().enumerate() {
        let layer = Layer::new(element, 800 + index as u64, extents, channels, 9);
        // Half of the tiles for each shape, by turns.
        for (turn, tile) in tiles().enumerate().skip(index % 2).step_by(2) {
            let split = SPLITS[(index + turn) % SPLITS.len()];
            let what = format!("{element:?} {extents:?} {channels:?}, {tile:?}, {split:?}");
            check(&layer, &run(&layer, tile, split), &what);
        }
    }
}

/// One of everything, odd extents, batches that fill no tile, several tiles along each direction, several groups of channels and of neurons.
const SHAPES: [(Extents, Channels); 7] = [
    ((1, 1, 1), (64, 64)),
    ((1, 7, 13), (64, 64)),
    ((5, 5, 4), (20, 70)),
    ((33, 2, 2), (64, 64)),
    ((2, 18, 17), (64, 64)),
    ((2, 9, 16), (128, 128)),
    ((33, 3, 1), (64, 10)),
];

#[test]
fn moments_by_warpgroups_f16() {
    agrees(Element::F16, &SHAPES);
}

#[test]
fn moments_by_warpgroups_bf16() {
    agrees(Element::Bf16, &SHAPES[1..4]);
}

/// Turns of threads decide when boxes arrive: early, late, or in between.
#[test]
fn moments_by_warpgroups_are_the_same_bits_in_every_order() {
    if !runs() {
        return;
    }
    let layer = Layer::new(Element::F16, 820, (3, 10, 9), (128, 64), 9);
    for (tile, split) in tiles().zip(SPLITS.into_iter().cycle()) {
        gpu().in_every_order(&format!("{tile:?}, {split:?}"), || run(&layer, tile, split));
    }
}

/// Who takes which part of the sums is nothing to them.
#[test]
fn moments_by_warpgroups_do_not_depend_on_the_number_of_blocks() {
    if !runs() {
        return;
    }
    let layer = Layer::new(Element::F16, 830, (3, 10, 9), (64, 128), 9);
    let [split, ..] = SPLITS;
    for tile in tiles() {
        let one = run(&layer, Tile { blocks: 1, ..tile }, split);
        for blocks in [5, 1000] {
            assert!(run(&layer, Tile { blocks, ..tile }, split) == one, "{tile:?}, {blocks} blocks");
        }
    }
}

#[test]
fn a_batch_in_which_no_image_counts_adds_nothing_by_warpgroups() {
    if !runs() {
        return;
    }
    let mut layer = Layer::new(Element::F16, 840, (2, 5, 4), (64, 64), 9);
    let some = run(&layer, TILES[0], SPLITS[0]);
    layer.counted.fill(0);
    let none = run(&layer, TILES[0], SPLITS[0]);
    let held = held(9 * 64 * 64);
    assert!(none.products.iter().all(|sums| *sums == held));
    assert!(some.products.iter().all(|sums| *sums != held));
}
