//! The types that maps are stored in, with rounding of their own.

use super::device::{Buffer, Gpu};
use half::{bf16, f16};

/// The Element of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// e4m3: no infinity; what is too large becomes 448.
    F8,
    F16,
    Bf16,
    F32,
}

/// 2^power in float64.
pub fn power_of_two(power: i32) -> f64 {
    assert!((-1022..=1023).contains(&power), "2^{power}");
    f64::from_bits(((power + 1023) as u64) << 52)
}

impl Element {
    /// Those that files and all kernels have; some kernels take float8 beside them.
    pub const ALL: [Element; 3] = [Element::F16, Element::Bf16, Element::F32];

    /// What the names of its kernels end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Element::F8 => "f8",
            Element::F16 => "f16",
            Element::Bf16 => "bf16",
            Element::F32 => "f32",
        }
    }

    /// `kernel_f16` and so on.
    pub fn kernel(self, name: &str) -> String {
        format!("{name}_{}", self.suffix())
    }

    pub fn bytes(self) -> usize {
        match self {
            Element::F8 => 1,
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
        }
    }

    /// Bits of the significand after the point.
    fn precision(self) -> i32 {
        match self {
            Element::F8 => 3,
            Element::F16 => 10,
            Element::Bf16 => 7,
            Element::F32 => 23,
        }
    }

    /// Exponent of the smallest normal number.
    fn smallest(self) -> i32 {
        match self {
            Element::F8 => -6,
            Element::F16 => -14,
            Element::Bf16 | Element::F32 => -126,
        }
    }

    /// Rounding changes a normal number by at most this share of it.
    pub fn relative(self) -> f64 {
        power_of_two(-self.precision() - 1)
    }

    /// Distance of its subnormal numbers.
    pub fn quantum(self) -> f64 {
        power_of_two(self.smallest() - self.precision())
    }

    /// Rounded once, to the nearest, ties to even; subnormals included.
    pub fn round(self, value: f64) -> f64 {
        if value == 0.0 || !value.is_finite() {
            return value;
        }
        let exponent = ((value.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(self.smallest());
        let step = power_of_two(exponent - self.precision());
        let rounded = (value / step).round_ties_even() * step;
        if self == Element::F8 {
            return rounded.clamp(-448.0, 448.0);
        }
        let limit = power_of_two(if self == Element::F16 { 16 } else { 128 });
        if rounded.abs() >= limit { f64::INFINITY.copysign(value) } else { rounded }
    }

    /// The bytes of values, each of which must be one of the type's.
    pub fn encode(self, values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(values.len() * self.bytes());
        for &value in values {
            match self {
                Element::F8 => bytes.push(encode_float8(value)),
                Element::F16 => bytes.extend(f16::from_f32(value as f32).to_le_bytes()),
                Element::Bf16 => bytes.extend(bf16::from_f32(value as f32).to_le_bytes()),
                Element::F32 => bytes.extend((value as f32).to_le_bytes()),
            }
        }
        for (value, stored) in values.iter().zip(self.decode(&bytes)) {
            assert!(value.to_bits() == stored.to_bits(), "{value} is not a number of {self:?}");
        }
        bytes
    }

    /// The values of bytes.
    pub fn decode(self, bytes: &[u8]) -> Vec<f64> {
        let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        match self {
            Element::F8 => bytes.iter().map(|&bits| decode_float8(bits)).collect(),
            Element::F16 => pairs().map(|pair| f16::from_le_bytes(pair).to_f64()).collect(),
            Element::Bf16 => pairs().map(|pair| bf16::from_le_bytes(pair).to_f64()).collect(),
            Element::F32 => bytes
                .chunks_exact(4)
                .map(|four| f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]])))
                .collect(),
        }
    }
}

/// The value of four bits of exponent and three of fraction behind a sign.
fn decode_float8(bits: u8) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 3 & 15), f64::from(bits & 7));
    let magnitude = match (exponent, bits & 7) {
        (15, 7) => f64::NAN,
        (0, _) => fraction * power_of_two(-9),
        _ => (8.0 + fraction) * power_of_two(exponent - 10),
    };
    if bits & 0x80 != 0 { -magnitude } else { magnitude }
}

/// The bits of a number of the type; of any other, some.
fn encode_float8(value: f64) -> u8 {
    let magnitudes = 0..0x7f_u8;
    let bits = magnitudes.rev().find(|&bits| decode_float8(bits) <= value.abs()).unwrap_or(0x7f);
    if value.is_sign_negative() { bits | 0x80 } else { bits }
}

impl Gpu {
    /// Memory that holds the values as elements.
    pub fn upload_elements(&self, element: Element, values: &[f64]) -> Buffer {
        self.upload(&element.encode(values))
    }

    /// Memory for so many elements, each NaN.
    pub fn poisoned_elements(&self, element: Element, count: usize) -> Buffer {
        self.poisoned(count * element.bytes())
    }
}
