//! What lies below a layer on the way back: gates and unpooling, written plainly.

use super::bits::{pack_argmax, pack_mask, random_argmax, random_mask};
use super::device::{Buffer, Gpu};
use super::element::Element;
use super::random::Random;
use super::scale::Scale;
use vggx::backend::cuda::params::{
    VGGX_BELOW_NOTHING, VGGX_BELOW_POOL, VGGX_BELOW_RECTIFIER, VGGX_GATE_MASK, VGGX_GATE_SIGN, VggxBelow,
};

/// Extents of a map [images, height, width, channels].
#[derive(Clone, Copy, Debug)]
pub struct Maps {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Maps {
    pub fn elements(self) -> usize {
        self.images * self.of_image()
    }

    /// Elements of one image.
    pub fn of_image(self) -> usize {
        self.height * self.width * self.channels
    }
}

/// The layer below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nothing,
    Rectifier,
    /// With whether the unpooled map has an odd last row and an odd last column.
    Pool(bool, bool),
}

/// All gates with all layers below.
pub fn below_cases() -> Vec<(i32, Kind)> {
    let mut cases = vec![(VGGX_GATE_MASK, Kind::Nothing)];
    let pools = [(false, false), (false, true), (true, false), (true, true)];
    for gate in [VGGX_GATE_MASK, VGGX_GATE_SIGN, VGGX_GATE_MASK | VGGX_GATE_SIGN] {
        cases.push((gate, Kind::Rectifier));
        cases.extend(pools.map(|(row, column)| (gate, Kind::Pool(row, column))));
    }
    cases
}

/// A gate and a layer below, with random masks and argmaxes.
pub struct Below {
    gate: i32,
    kind: Kind,
    maps: Maps,
    mask: Vec<bool>,
    argmax: Vec<u8>,
}

/// Its side on the device.
pub struct BelowBuffers {
    mask: Buffer,
    argmax: Buffer,
    pub output: Buffer,
    pub scale: Scale,
}

impl Below {
    pub fn random(random: &mut Random, (gate, kind): (i32, Kind), maps: Maps) -> Self {
        let mask = random_mask(random, maps.elements());
        let argmax = random_argmax(random, maps.elements());
        Below { gate, kind, maps, mask, argmax }
    }

    /// The same for some of the images.
    pub fn of_images(&self, first: usize, count: usize) -> Self {
        let range = first * self.maps.of_image()..(first + count) * self.maps.of_image();
        let maps = Maps { images: count, ..self.maps };
        let (mask, argmax) = (self.mask[range.clone()].to_vec(), self.argmax[range].to_vec());
        Below { gate: self.gate, kind: self.kind, maps, mask, argmax }
    }

    /// The map that is stored.
    pub fn stored(&self) -> Maps {
        match self.kind {
            Kind::Pool(row, column) => Maps {
                height: 2 * self.maps.height + usize::from(row),
                width: 2 * self.maps.width + usize::from(column),
                ..self.maps
            },
            _ => self.maps,
        }
    }

    /// Gates signals [images, height, width, channels] and puts them where they go.
    pub fn apply(&self, signals: &[f64]) -> Vec<f64> {
        self.put(signals, self.gate)
    }

    /// Puts something where the signals go, without gates.
    pub fn scattered(&self, values: &[f64]) -> Vec<f64> {
        self.put(values, 0)
    }

    fn put(&self, signals: &[f64], gate: i32) -> Vec<f64> {
        if self.kind == Kind::Nothing {
            return signals.to_vec();
        }
        let (maps, stored) = (self.maps, self.stored());
        let mut output = vec![0.0; stored.elements()];
        for image in 0..maps.images {
            for y in 0..maps.height {
                for x in 0..maps.width {
                    for channel in 0..maps.channels {
                        let from = ((image * maps.height + y) * maps.width + x) * maps.channels + channel;
                        let masked = gate & VGGX_GATE_MASK != 0 && !self.mask[from];
                        let negative = gate & VGGX_GATE_SIGN != 0 && signals[from] <= 0.0;
                        if masked || negative {
                            continue;
                        }
                        let (y, x) = match self.kind {
                            Kind::Pool(..) => {
                                let source = usize::from(self.argmax[from]);
                                (2 * y + source / 2, 2 * x + source % 2)
                            }
                            _ => (y, x),
                        };
                        let to = ((image * stored.height + y) * stored.width + x) * maps.channels + channel;
                        output[to] = signals[from];
                    }
                }
            }
        }
        output
    }

    /// Uploads masks and argmaxes (poisoned where they must not be read), and makes room for the output.
    pub fn upload(&self, gpu: &Gpu, element: Element) -> BelowBuffers {
        let needs_mask = self.kind != Kind::Nothing && self.gate & VGGX_GATE_MASK != 0;
        let needs_argmax = matches!(self.kind, Kind::Pool(..));
        let unread = || gpu.poisoned(0);
        BelowBuffers {
            mask: if needs_mask { gpu.upload(&pack_mask(&self.mask, self.maps.channels)) } else { unread() },
            argmax: if needs_argmax {
                gpu.upload(&pack_argmax(&self.argmax, self.maps.channels))
            } else {
                unread()
            },
            output: gpu.poisoned_elements(element, self.stored().elements()),
            scale: gpu.fresh_scale(self.maps.images),
        }
    }

    pub fn parameters(&self, buffers: &BelowBuffers) -> VggxBelow {
        let stored = self.stored();
        VggxBelow {
            gate: self.gate,
            below: match self.kind {
                Kind::Nothing => VGGX_BELOW_NOTHING,
                Kind::Rectifier => VGGX_BELOW_RECTIFIER,
                Kind::Pool(..) => VGGX_BELOW_POOL,
            },
            mask: buffers.mask.address(),
            argmax: buffers.argmax.address(),
            unpooled_height: stored.height as i32,
            unpooled_width: stored.width as i32,
            output: buffers.output.address(),
            output_scale: buffers.scale.parameters(),
        }
    }
}
