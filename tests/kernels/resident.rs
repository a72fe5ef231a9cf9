//! The convolutions by warpgroups whose operator stays in shared memory: bit by bit what those with a ring of operators give, which are
//! judged here as all others.

use super::convolution::{
    Backward, Below, Channels, Extents, Forward, Operand, backward_by, check_backward, check_forward,
    forward_by,
};
use super::hopper::{TILES, Tile, runs};
use crate::support::{Element, Gpu, gpu};
use vggx::backend::cuda::params::{
    VGGX_BELOW_NOTHING, VGGX_BELOW_POOL, VGGX_BELOW_RECTIFIER, VGGX_GATE_MASK, VGGX_GATE_SIGN,
    VGGX_HOPPER_SLOTS, VGGX_HOPPER_THREADS, VGGX_RECTIFY, VGGX_RECTIFY_POOL, VGGX_RESIDENT_EXCHANGE,
    VggxBoxes, VggxHopperBackward, VggxHopperForward, VggxOperand, VggxTensorMap,
};

/// How a kernel is launched, as params.h says.
#[derive(Clone, Copy, Debug)]
struct Resident {
    /// As many as fit beside the operator.
    map_slots: usize,
    /// For each 64 outputs; each takes several tiles where there are fewer.
    blocks: usize,
}

/// Rings that a tile fills once, several times and in part.
const RESIDENTS: [Resident; 4] = [
    Resident { map_slots: 2, blocks: 1 },
    Resident { map_slots: 4, blocks: 2 },
    Resident { map_slots: 3, blocks: 3 },
    Resident { map_slots: 2, blocks: 100 },
];

impl Resident {
    fn tile(self, operand: &VggxOperand) -> Tile {
        let operators = 9 * operand.channels as usize / 64;
        let map_slots = if operand.channels > 64 { 2 } else { self.map_slots };
        let slots = [map_slots, operators];
        Tile { log2: [4, 4, 0], images_between: false, slots, blocks: self.blocks, cluster: 1 }
    }

    fn boxes(self, operand: &VggxOperand) -> VggxBoxes {
        self.tile(operand).boxes(Element::F16, operand, 64)
    }

    fn launch<P: Copy>(self, gpu: &Gpu, name: &str, operand: &VggxOperand, parameters: &P) {
        let tile = self.tile(operand);
        let shared = tile.slots[1] * 64 * 128
            + tile.slots[0] * tile.box_bytes()
            + 2 * VGGX_RESIDENT_EXCHANGE as usize
            + VGGX_HOPPER_SLOTS as usize * 16;
        let grid = [self.blocks, operand.outputs as usize / 64, 1];
        gpu.launch(&format!("{name}_256x64"), grid, VGGX_HOPPER_THREADS as u32, shared, parameters);
    }

    fn forward(self, element: Element, operand: &Operand, how: (i32, bool)) -> Forward {
        forward_by(gpu(), element, operand, how, 2, |layer| {
            let boxes = self.boxes(&layer.operand);
            let name = element.kernel("hopper_resident_forward");
            self.launch(
                gpu(),
                &name,
                &layer.operand,
                &VggxHopperForward {
                    boxes,
                    output: VggxTensorMap::default(),
                    pre_activation: VggxTensorMap::default(),
                    layer: *layer,
                },
            );
        })
    }

    fn backward(self, element: Element, operand: &Operand, below: &Below) -> Backward {
        backward_by(gpu(), element, operand, below, 2, |layer| {
            let boxes = self.boxes(&layer.operand);
            let name = element.kernel("hopper_resident_backward");
            self.launch(
                gpu(),
                &name,
                &layer.operand,
                &VggxHopperBackward { boxes, output: VggxTensorMap::default(), layer: *layer },
            );
        })
    }
}

/// One of everything, odd extents, several tiles along each direction and a last one that is nearly empty, many images; one and two blocks
/// of 64 channels, up to three of outputs.
const SHAPES: [(Extents, Channels); 6] = [
    ((1, 1, 1), (64, 64)),
    ((1, 7, 13), (64, 64)),
    ((3, 5, 4), (20, 70)),
    ((33, 2, 3), (64, 64)),
    ((2, 18, 17), (128, 64)),
    ((1, 17, 33), (20, 192)),
];

fn forward_agrees(element: Element, shapes: &[(Extents, Channels)]) {
    if !runs() {
        return;
    }
    for (index, &(extents, channels)) in shapes.iter().enumerate() {
        let operand = Operand::new(element, 800 + index as u64, extents, channels, 9);
        for epilogue in [VGGX_RECTIFY, VGGX_RECTIFY_POOL] {
            let ring = TILES[0].forward(element, &operand, (epilogue, true), 64);
            let what = format!("{element:?} {extents:?} {channels:?} epilogue {epilogue}");
            check_forward(element, &operand, epilogue, &ring, &what);
            for resident in RESIDENTS {
                let got = resident.forward(element, &operand, (epilogue, true));
                assert!(got == ring, "{what}, {resident:?}: other bits");
            }
            // Asking for z changes nothing else.
            let without = RESIDENTS[1].forward(element, &operand, (epilogue, false));
            let with = Forward { pre_activation: Vec::new(), ..ring };
            assert!(with == without, "{what}: without z");
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
    let mut gate = gates.iter().cycle();
    for (index, &(extents, channels)) in shapes.iter().enumerate() {
        let operand = Operand::new(element, 900 + index as u64, extents, channels, 9);
        let cases = [
            (VGGX_BELOW_NOTHING, (false, false)),
            (VGGX_BELOW_RECTIFIER, (false, false)),
            (VGGX_BELOW_RECTIFIER, (false, false)),
            (VGGX_BELOW_POOL, (false, false)),
            (VGGX_BELOW_POOL, (true, false)),
            (VGGX_BELOW_POOL, (false, true)),
            (VGGX_BELOW_POOL, (true, true)),
        ];
        for (turn, (kind, odd)) in cases.into_iter().enumerate() {
            let gate = *gate.next().expect("an endless cycle");
            let below = Below::new(&operand, kind, gate, odd);
            let ring = TILES[0].backward(element, &operand, &below, 64);
            let what = format!("{element:?} {extents:?} {channels:?} below {kind} gate {gate} odd {odd:?}");
            check_backward(element, &operand, &below, &ring, &what);
            for resident in [RESIDENTS[turn % 4], RESIDENTS[(turn + 1) % 4]] {
                let got = resident.backward(element, &operand, &below);
                assert!(got == ring, "{what}, {resident:?}: other bits");
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

/// Turns of threads decide when boxes arrive and which warpgroup is ahead.
#[test]
fn every_order_of_threads_gives_the_same_bits() {
    if !runs() {
        return;
    }
    let operand = Operand::new(Element::F16, 1000, (3, 18, 17), (128, 64), 9);
    let below = Below::new(&operand, VGGX_BELOW_POOL, VGGX_GATE_MASK, (true, false));
    for resident in RESIDENTS {
        let what = format!("{resident:?}");
        for epilogue in [VGGX_RECTIFY, VGGX_RECTIFY_POOL] {
            gpu().in_every_order(&what, || resident.forward(Element::F16, &operand, (epilogue, true)));
        }
        gpu().in_every_order(&what, || resident.backward(Element::F16, &operand, &below));
    }
}
