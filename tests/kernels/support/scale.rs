//! Powers of two of images, as kernels/scale.cuh describes them.

use super::device::{Buffer, Gpu};
use vggx::backend::cuda::params::VggxScale;

/// `largest` and `exponent` of a map on the device.
pub struct Scale {
    largest: Buffer,
    exponent: Buffer,
}

impl Scale {
    pub fn parameters(&self) -> VggxScale {
        VggxScale { largest: self.largest.address(), exponent: self.exponent.address() }
    }

    /// Bits of the largest magnitudes.
    pub fn largest(&self, gpu: &Gpu) -> Vec<u32> {
        gpu.download(&self.largest)
    }

    pub fn exponents(&self, gpu: &Gpu) -> Vec<i32> {
        gpu.download(&self.exponent)
    }
}

impl Gpu {
    /// The scale of an input, image by image.
    pub fn upload_scale(&self, largest: &[f64], exponents: &[i32]) -> Scale {
        let bits: Vec<u32> = largest.iter().map(|&value| (value as f32).to_bits()).collect();
        Scale { largest: self.upload(&bits), exponent: self.upload(exponents) }
    }

    /// The scale of an output: as a kernel wants it before it writes.
    pub fn fresh_scale(&self, images: usize) -> Scale {
        Scale { largest: self.zeros(4 * images), exponent: self.poisoned(4 * images) }
    }
}

/// The smallest e with value < 2^e, but at least -126.
fn exponent_above(value: f32) -> i32 {
    let mut exponent = -126;
    while exponent < 128 && f64::from(value) >= 2_f64.powi(exponent) {
        exponent += 1;
    }
    exponent
}

/// The exponent under which `largest` * `bound` is just below 2^15, where the true sum is the sum times
/// 2^(gain + exponent). Factors end at 2^127.
pub fn expected_exponent(largest: f64, exponent: i32, bound: f32, gain: i32) -> i32 {
    let input = gain + exponent;
    if largest == 0.0 || bound == 0.0 {
        return (input - 127).max(0);
    }
    let stored = exponent_above(largest as f32) + exponent_above(bound) + input - 15;
    stored.max(input - 127)
}
