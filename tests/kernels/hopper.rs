//! The convolutions by warpgroups: every tile, forward and backward, judged as the portable kernels are, and the same bits for all tiles.

use super::convolution::{
    Backward, Below, Channels, Extents, Forward, Operand, backward_by, backward_to, check_backward,
    check_backward_sums, check_forward, forward_by,
};
use crate::support::{Element, Gpu, gpu, power_of_two};
use vggx::backend::cuda::device::{tensor_map, tensor_map_of_bytes};
use vggx::backend::cuda::params::{
    VGGX_BELOW_NOTHING, VGGX_BELOW_POOL, VGGX_BELOW_RECTIFIER, VGGX_GATE_MASK, VGGX_GATE_SIGN,
    VGGX_HOPPER_SLOTS, VGGX_HOPPER_STAGING, VGGX_HOPPER_THREADS, VGGX_RECTIFY, VGGX_RECTIFY_POOL, VggxBoxes,
    VggxHopperBackward, VggxHopperForward, VggxOperand, VggxTensorMap,
};

/// A tile as params.h describes it, with a ring of boxes of the map and one of boxes of the operator.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// Width, height and images, as powers of two.
    pub log2: [usize; 3],
    pub images_between: bool,
    pub slots: [usize; 2],
    /// Blocks at most: each takes several pairs of tiles where there are fewer.
    pub blocks: usize,
    /// Blocks of a cluster, or 1.
    pub cluster: usize,
}

const fn tile(log2: [usize; 3], images_between: bool, slots: [usize; 2], blocks: usize) -> Tile {
    Tile { log2, images_between, slots, blocks, cluster: 1 }
}

/// By clusters of two blocks.
const fn clusters(tile: Tile) -> Tile {
    Tile { cluster: 2, ..tile }
}

/// Those that the engine uses, and others; rings of different lengths.
pub const TILES: [Tile; 9] = [
    tile([3, 4, 0], false, [2, 7], 1),
    tile([3, 3, 1], false, [2, 3], 3),
    tile([2, 2, 3], true, [2, 6], 2),
    tile([1, 1, 5], true, [2, 4], 100),
    tile([3, 1, 3], true, [2, 3], 2),
    tile([0, 4, 3], true, [2, 5], 2),
    clusters(tile([3, 4, 0], false, [2, 2], 2)),
    clusters(tile([2, 2, 3], true, [2, 6], 4)),
    clusters(tile([1, 1, 5], true, [2, 4], 50)),
];

fn extents_of(operand: &VggxOperand) -> Extents {
    let extent = |extent: i32| extent as usize;
    (extent(operand.images), extent(operand.height), extent(operand.width))
}

impl Tile {
    fn pools(self) -> bool {
        !self.images_between
    }

    /// Bytes of 64 channels of a box with two rows more.
    pub fn box_bytes(self) -> usize {
        let [width, height, images] = self.log2;
        128 * (((1 << height) + 2) << (width + images))
    }

    /// Boxes of a tile with so many rows more, of a map [images, height, width, channels].
    pub fn map(
        self,
        element: Element,
        address: u64,
        extents: (Extents, usize),
        more: usize,
    ) -> VggxTensorMap {
        let [width_log2, height_log2, images_log2] = self.log2;
        let positions = [1 << width_log2, (1 << height_log2) + more, 1 << images_log2];
        self.tensor(element, address, extents, positions)
    }

    /// Boxes of so many positions along x, y and the images, of the same maps.
    fn tensor(
        self,
        element: Element,
        address: u64,
        ((images, height, width), channels): (Extents, usize),
        positions: [usize; 3],
    ) -> VggxTensorMap {
        let x = (width, channels, positions[0]);
        let y = (height, width * channels, positions[1]);
        let n = (images, height * width * channels, positions[2]);
        let (third, fourth) = if self.images_between { (n, y) } else { (y, n) };
        // A row of a box has 128 bytes.
        let map = match element {
            Element::F8 => tensor_map_of_bytes(address, [(channels, 1, 128), x, third, fourth]),
            _ => tensor_map(address, [(channels, 1, 64), x, third, fourth]),
        };
        map.expect("a map")
    }

    /// Of what leaves: the 16 rows of a warp, which are the first of a tile.
    fn leaving(self, address: u64, operand: &VggxOperand) -> VggxTensorMap {
        let mut positions = [0usize; 3];
        for row in 0..16 {
            let x = row % (1 << self.log2[0]);
            let rest = row >> self.log2[0];
            let along = if self.images_between { self.log2[2] } else { self.log2[1] };
            let (middle, outer) = (rest % (1 << along), rest >> along);
            let (y, n) = if self.images_between { (outer, middle) } else { (middle, outer) };
            for (most, at) in positions.iter_mut().zip([x, y, n]) {
                *most = at.max(*most);
            }
        }
        match address {
            0 => VggxTensorMap::default(),
            _ => {
                let channels = operand.outputs as usize;
                let positions = positions.map(|last| last + 1);
                self.tensor(Element::F16, address, (extents_of(operand), channels), positions)
            }
        }
    }

    pub fn boxes(self, element: Element, operand: &VggxOperand, columns: usize) -> VggxBoxes {
        let [width_log2, height_log2, images_log2] = self.log2;
        let channels = operand.channels as usize;
        let map = self.map(element, operand.input, (extents_of(operand), channels), 2);
        let depth = 9 * channels;
        let rows = (operand.outputs as usize, depth, columns / self.cluster);
        let operator_ = match element {
            Element::F8 => tensor_map_of_bytes(operand.operator_, [(depth, 1, 128), rows]),
            _ => tensor_map(operand.operator_, [(depth, 1, 64), rows]),
        };
        let operator_ = operator_.expect("a map");
        VggxBoxes {
            map,
            operator_,
            tile_width_log2: width_log2 as i32,
            tile_height_log2: height_log2 as i32,
            tile_images_log2: images_log2 as i32,
            images_between: i32::from(self.images_between),
            map_slots: self.slots[0] as i32,
            operator_slots: self.slots[1] as i32,
        }
    }

    /// Launches a kernel, as params.h says.
    fn launch<P: Copy>(self, gpu: &Gpu, name: &str, columns: usize, parameters: &P) {
        let shared = self.slots[0] * 2 * self.box_bytes()
            + self.slots[1] * columns * 128
            + 8 * VGGX_HOPPER_STAGING as usize
            + VGGX_HOPPER_SLOTS as usize * 16;
        let name = if self.cluster == 1 { name.to_owned() } else { format!("{name}_cluster") };
        gpu.launch(&name, [self.blocks, 1, 1], VGGX_HOPPER_THREADS as u32, shared, parameters);
    }

    pub fn forward(self, element: Element, operand: &Operand, how: (i32, bool), columns: usize) -> Forward {
        forward_by(gpu(), element, operand, how, 2, |layer| {
            let boxes = self.boxes(element, &layer.operand, columns);
            let name = format!("{}_256x{columns}", element.kernel("hopper_forward"));
            let output = if how.0 == VGGX_RECTIFY_POOL { 0 } else { layer.output };
            let parameters = VggxHopperForward {
                boxes,
                output: self.leaving(output, &layer.operand),
                pre_activation: self.leaving(if how.1 { layer.pre_activation } else { 0 }, &layer.operand),
                layer: *layer,
            };
            self.launch(gpu(), &name, columns, &parameters);
        })
    }

    pub fn backward(self, element: Element, operand: &Operand, below: &Below, columns: usize) -> Backward {
        backward_by(gpu(), element, operand, below, 2, |layer| {
            let boxes = self.boxes(element, &layer.operand, columns);
            let name = format!("{}_256x{columns}", element.kernel("hopper_backward"));
            let output = if layer.below.below == VGGX_BELOW_POOL { 0 } else { layer.below.output };
            let output = self.leaving(output, &layer.operand);
            self.launch(gpu(), &name, columns, &VggxHopperBackward { boxes, output, layer: *layer });
        })
    }

    /// Float8 that arrives, leaves, or both.
    fn backward_float8(
        self,
        (element, stored): (Element, Element),
        operand: &Operand,
        below: &Below,
        columns: usize,
    ) -> Backward {
        backward_to(gpu(), (element, stored), operand, below, 2, |layer| {
            let boxes = self.boxes(element, &layer.operand, columns);
            let types = match (element, stored) {
                (Element::F16, Element::F8) => "f16_to_f8",
                (Element::F8, Element::F8) => "f8",
                _ => "f8_to_f16",
            };
            let name = format!("hopper_backward_{types}_256x{columns}");
            // Float8 is stored by threads.
            let by_threads = layer.below.below == VGGX_BELOW_POOL || stored == Element::F8;
            let output = self.leaving(if by_threads { 0 } else { layer.below.output }, &layer.operand);
            self.launch(gpu(), &name, columns, &VggxHopperBackward { boxes, output, layer: *layer });
        })
    }
}

/// Columns of the kernels that run so many outputs.
fn columns(outputs: usize) -> Vec<usize> {
    [64, 128].into_iter().filter(|&columns| outputs.is_multiple_of(columns)).collect()
}

/// Whether this device runs the kernels.
pub fn runs() -> bool {
    let runs = gpu().capability() == (9, 0);
    if !runs {
        println!("skipped: the device has not compute capability 9.0");
    }
    runs
}

/// One of everything, odd extents, batches that fill no tile, several tiles along each direction, several blocks of channels and columns.
const SHAPES: [(Extents, Channels); 7] = [
    ((1, 1, 1), (64, 64)),
    ((1, 7, 13), (64, 64)),
    ((3, 5, 4), (20, 70)),
    ((33, 2, 2), (64, 64)),
    ((2, 18, 17), (64, 128)),
    ((1, 9, 16), (128, 320)),
    ((33, 3, 1), (64, 64)),
];

fn forward_agrees(element: Element, shapes: &[(Extents, Channels)]) {
    if !runs() {
        return;
    }
    for (index, &(extents, channels)) in shapes.iter().enumerate() {
        let operand = Operand::new(element, 400 + index as u64, extents, channels, 9);
        for epilogue in [VGGX_RECTIFY, VGGX_RECTIFY_POOL] {
            let mut first: Option<Forward> = None;
            for tile in TILES {
                if epilogue == VGGX_RECTIFY_POOL && !tile.pools() {
                    continue;
                }
                for columns in columns(operand.outputs) {
                    let what = format!(
                        "{element:?} {extents:?} {channels:?} epilogue {epilogue}, {tile:?}, {columns}"
                    );
                    let got = tile.forward(element, &operand, (epilogue, true), columns);
                    match &first {
                        Some(first) => assert!(got == *first, "{what}: other bits"),
                        None => check_forward(element, &operand, epilogue, &got, &what),
                    }
                    first.get_or_insert(got);
                }
            }
            // Asking for z changes nothing else.
            let without = TILES[1].forward(element, &operand, (epilogue, false), 64);
            let with = first.map(|first| Forward { pre_activation: Vec::new(), ..first });
            assert!(
                with == Some(without),
                "{element:?} {extents:?} {channels:?} epilogue {epilogue}: without z"
            );
        }
    }
}

#[test]
fn forward_f16() {
    forward_agrees(Element::F16, &SHAPES);
}

#[test]
fn forward_bf16() {
    forward_agrees(Element::Bf16, &SHAPES[2..4]);
}

fn backward_agrees(element: Element, shapes: &[(Extents, Channels)]) {
    if !runs() {
        return;
    }
    let gates = [VGGX_GATE_MASK, VGGX_GATE_SIGN, VGGX_GATE_MASK | VGGX_GATE_SIGN];
    for (index, &(extents, channels)) in shapes.iter().enumerate() {
        let operand = Operand::new(element, 500 + index as u64, extents, channels, 9);
        let cases = [
            (VGGX_BELOW_NOTHING, (false, false)),
            (VGGX_BELOW_RECTIFIER, (false, false)),
            (VGGX_BELOW_POOL, (false, false)),
            (VGGX_BELOW_POOL, (true, false)),
            (VGGX_BELOW_POOL, (false, true)),
            (VGGX_BELOW_POOL, (true, true)),
        ];
        for (turn, (kind, odd)) in cases.into_iter().enumerate() {
            // Each case has another one for each shape.
            let gate = gates[(index + turn) % gates.len()];
            let below = Below::new(&operand, kind, gate, odd);
            let mut first: Option<Backward> = None;
            // What lies below has no say in the tiles, so all of them once and else two of them.
            let tiles = if kind == VGGX_BELOW_RECTIFIER {
                &TILES[..]
            } else {
                &TILES[(index + turn) % (TILES.len() - 1)..][..2]
            };
            for &tile in tiles {
                for columns in columns(operand.outputs) {
                    let what = format!(
                        "{element:?} {extents:?} {channels:?} below {kind} gate {gate} odd {odd:?}, {tile:?}, {columns}"
                    );
                    let got = tile.backward(element, &operand, &below, columns);
                    match &first {
                        Some(first) => assert!(got == *first, "{what}: other bits"),
                        None => check_backward(element, &operand, &below, &got, &what),
                    }
                    first.get_or_insert(got);
                }
            }
        }
    }
}

#[test]
fn backward_f16() {
    backward_agrees(Element::F16, &SHAPES);
}

#[test]
fn backward_bf16() {
    backward_agrees(Element::Bf16, &SHAPES[2..4]);
}

/// Where float8 arrives, a row of a box is 128 channels; where it leaves, a block has 128 outputs.
fn backward_float8_agrees(types: (Element, Element)) {
    if !runs() {
        return;
    }
    // Tensor cores may keep fewer bits of sums of float8 than of 16-bit elements (docs/float8.md).
    let looser = if types.0 == Element::F8 && !gpu().is_host() { power_of_two(6) } else { 1.0 };
    let shapes = [
        ((1, 7, 5), (100, 70)),
        ((1, 1, 1), (128, 128)),
        ((3, 5, 4), (256, 128)),
        ((9, 2, 2), (128, if types.1 == Element::F8 { 128 } else { 64 })),
        ((2, 5, 9), (128, 256)),
    ];
    let cases = [
        (VGGX_BELOW_RECTIFIER, false),
        (VGGX_BELOW_NOTHING, false),
        (VGGX_BELOW_POOL, false),
        (VGGX_BELOW_POOL, true),
    ];
    let gates = [VGGX_GATE_MASK, VGGX_GATE_SIGN, VGGX_GATE_MASK | VGGX_GATE_SIGN];
    let mut gate = gates.iter().cycle();
    for (index, &(extents, channels)) in shapes.iter().enumerate() {
        let operand = Operand::new(types.0, 800 + index as u64, extents, channels, 9);
        let mut columns = columns(operand.outputs);
        columns.retain(|&columns| columns == 128 || types.1 == Element::F16);
        for (turn, (kind, odd)) in cases.into_iter().enumerate() {
            let gate = *gate.next().expect("an endless cycle");
            let below = Below::new(&operand, kind, gate, (odd, odd));
            let mut first: Option<Backward> = None;
            // All tiles of one shape, else one after the other.
            let tiles = if (index, turn) == (0, 0) {
                &TILES[..]
            } else {
                &TILES[4 * (index + turn) % TILES.len()..][..1]
            };
            // Of columns too.
            for (&tile, &columns) in tiles.iter().zip(columns.iter().cycle().skip(index + turn)) {
                let what = format!(
                    "{types:?} {extents:?} {channels:?} below {kind} gate {gate} odd {odd}, {tile:?}, {columns}"
                );
                let got = tile.backward_float8(types, &operand, &below, columns);
                match &first {
                    Some(first) => assert!(got == *first, "{what}: other bits"),
                    None => check_backward_sums(types.1, looser, &operand, &below, &got, &what),
                }
                first.get_or_insert(got);
            }
        }
    }
}

#[test]
fn backward_f16_to_f8() {
    backward_float8_agrees((Element::F16, Element::F8));
}

#[test]
fn backward_f8() {
    backward_float8_agrees((Element::F8, Element::F8));
}

#[test]
fn backward_f8_to_f16() {
    backward_float8_agrees((Element::F8, Element::F16));
}

/// Turns of threads decide when boxes arrive: early, late, or in between.
#[test]
fn every_order_of_threads_gives_the_same_bits() {
    if !runs() {
        return;
    }
    let operand = Operand::new(Element::F16, 600, (3, 10, 9), (128, 128), 9);
    let below = Below::new(&operand, VGGX_BELOW_POOL, VGGX_GATE_MASK, (true, false));
    for tile in TILES {
        let epilogue = if tile.pools() { VGGX_RECTIFY_POOL } else { VGGX_RECTIFY };
        let what = format!("{tile:?}");
        gpu().in_every_order(&what, || tile.forward(Element::F16, &operand, (epilogue, true), 128));
        gpu().in_every_order(&what, || tile.backward(Element::F16, &operand, &below, 64));
    }
    let operand = Operand::new(Element::F8, 601, (3, 10, 9), (128, 128), 9);
    let below = Below::new(&operand, VGGX_BELOW_POOL, VGGX_GATE_MASK, (true, false));
    // Alone, and by clusters.
    for (stored, tile) in [(Element::F8, TILES[7]), (Element::F16, TILES[1])] {
        let types = (Element::F8, stored);
        gpu().in_every_order("float8", || tile.backward_float8(types, &operand, &below, 128));
    }
}

/// An image alone and among others, at any place.
#[test]
fn an_image_alone_gives_the_same_bits_as_in_a_batch() {
    if !runs() {
        return;
    }
    let batch = Operand::new(Element::F16, 700, (5, 6, 5), (64, 128), 9);
    let per_image = batch.height * batch.width * batch.channels;
    for tile in TILES {
        let together = tile.forward(Element::F16, &batch, (VGGX_RECTIFY, true), 128);
        for n in 0..batch.images {
            let single = Operand {
                images: 1,
                input: batch.input[n * per_image..][..per_image].to_vec(),
                exponents: vec![batch.exponents[n]],
                operator: batch.operator.clone(),
                bias: batch.bias.clone(),
                ..batch
            };
            let alone = tile.forward(Element::F16, &single, (VGGX_RECTIFY, true), 128);
            let part = together.output.len() / batch.images;
            assert!(alone.output == together.output[n * part..][..part], "image {n}, {tile:?}");
            assert!(alone.mask == together.mask[n * part..][..part]);
            assert_eq!((alone.exponents[0], alone.largest[0]), (together.exponents[n], together.largest[n]));
        }
    }
}
