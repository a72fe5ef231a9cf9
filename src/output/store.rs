//! How the numbers of explanations are stored in arrays.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use half::f16;
use safetensors::tensor::Dtype;

use super::Rendering;
use super::explanation::Explanation;
use super::picture::channel_sums;

/// What arrays hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Store {
    /// The type of their numbers.
    pub element: Element,
    /// Whether those of attributions hold the sum over the channels, (H, W), instead of the channels, (3, H, W).
    pub heat_maps: bool,
}

/// The type of the numbers of an array. The value is number · 2^`scale_log2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Element {
    /// float32; the exponent is 0 unless float32 would overflow.
    #[default]
    F32,
    /// float16. The exponent is such that the largest magnitude is from 2¹⁴ to below 2¹⁵: values down to 2⁻²⁸ of it are
    /// within 2⁻¹¹ of themselves, smaller ones within 2⁻³⁹ of the largest.
    F16,
    /// 8 bits: the value is (number − 128) · 2^`scale_log2`, with the smallest exponent whose steps reach the largest
    /// magnitude in 127. Values are within half a step, which is at most 1/127 of the largest.
    U8,
}

impl Element {
    /// Every type by its name.
    pub const NAMES: [&str; 3] = ["f32", "f16", "u8"];
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::NAMES[*self as usize])
    }
}

impl FromStr for Element {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "u8" => Ok(Self::U8),
            _ => Err("expected f32, f16 or u8".to_owned()),
        }
    }
}

/// One method's array and its power of two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array<'a> {
    /// (3, height, width) or (height, width).
    pub(super) shape: Vec<usize>,
    pub(super) values: Values<'a>,
    pub(super) scale_log2: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [f16]>),
    U8(Cow<'a, [u8]>),
}

impl Values<'_> {
    pub(super) fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::U8(_) => Dtype::U8,
        }
    }

    pub(super) fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::U8(values) => values.to_vec(),
        }
    }
}

impl Store {
    /// The array of an explanation, whose number of values has been checked.
    pub(super) fn array<'a>(self, explanation: &'a Explanation) -> Array<'a> {
        let Explanation { height, width, ref values, scale_log2, .. } = *explanation;
        let wanted = self.heat_maps && explanation.rendering == Rendering::HeatMap;
        let (shape, values, scale_log2): (_, Cow<[f32]>, _) = if explanation.holds_sums() {
            (vec![height, width], values.into(), scale_log2)
        } else if wanted {
            let (sums, exponent) = single(&channel_sums(values));
            (vec![height, width], sums.into(), scale_log2 + exponent)
        } else {
            (vec![3, height, width], values.into(), scale_log2)
        };
        match self.element {
            Element::F32 => Array { shape, values: Values::F32(values), scale_log2 },
            Element::F16 => {
                let (values, exponent) = halves(&values);
                Array { shape, values: Values::F16(values.into()), scale_log2: scale_log2 + exponent }
            }
            Element::U8 => {
                let (values, exponent) = levels(&values);
                Array { shape, values: Values::U8(values.into()), scale_log2: scale_log2 + exponent }
            }
        }
    }
}

/// Sums of three float32 values as float32, with the power of two that keeps them from overflowing.
fn single(sums: &[f64]) -> (Vec<f32>, i32) {
    let overflows = sums.iter().any(|sum| sum.is_finite() && !(*sum as f32).is_finite());
    let (factor, exponent) = if overflows { (0.25, 2) } else { (1.0, 0) };
    (sums.iter().map(|sum| (sum * factor) as f32).collect(), exponent)
}

/// The largest finite magnitude as mantissa and exponent, mantissa in \[1, 2): none where all is zero.
fn largest(values: &[f32]) -> Option<(f64, i32)> {
    let finite = values.iter().map(|value| f64::from(value.abs())).filter(|value| value.is_finite());
    let largest = finite.fold(0.0, f64::max);
    // Subnormal float32 values are normal in float64: its exponent field tells.
    let exponent = ((largest.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    (largest > 0.0).then(|| (largest * power_of_two(-exponent), exponent))
}

/// 2^exponent for exponents that float32's own are.
fn power_of_two(exponent: i32) -> f64 {
    2_f64.powi(exponent)
}

fn halves(values: &[f32]) -> (Vec<f16>, i32) {
    let exponent = largest(values).map_or(0, |(_, exponent)| exponent - 14);
    let scale = power_of_two(-exponent);
    (values.iter().map(|&value| f16::from_f64(f64::from(value) * scale)).collect(), exponent)
}

fn levels(values: &[f32]) -> (Vec<u8>, i32) {
    // 127 steps of 2^(exponent − 6) reach 1.984·2^exponent.
    let exponent = largest(values)
        .map_or(0, |(mantissa, exponent)| if mantissa * 64.0 <= 127.0 { exponent - 6 } else { exponent - 5 });
    let scale = power_of_two(-exponent);
    let level = |value: f32| {
        let steps = (f64::from(value) * scale).round_ties_even().clamp(-127.0, 127.0);
        // What is no number is drawn as nothing, and stored as nothing.
        if steps.is_nan() { 128 } else { (steps + 128.0) as u8 }
    };
    (values.iter().map(|&value| level(value)).collect(), exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values over many magnitudes, and their largest.
    fn samples(scale: f32) -> (Vec<f32>, f64) {
        let values: Vec<f32> = (0..3 * 7 * 13)
            .map(|index| {
                let sign = if index % 3 == 0 { -1.0 } else { 1.0 };
                sign * scale * (index as f32 * 0.37).sin().abs() * 2_f32.powi(-(index % 40))
            })
            .collect();
        let largest = values.iter().fold(0.0, |largest: f64, &value| largest.max(f64::from(value).abs()));
        (values, largest)
    }

    const SCALES: [f32; 8] = [1.0, 0.5, 1.99, 1.7e38, 1e-37, 1e-42, 1.4e-45, 1.984_375];

    #[test]
    fn half_precision_is_as_exact_as_promised() {
        for scale in SCALES {
            let (values, largest) = samples(scale);
            let (halves, exponent) = halves(&values);
            let top = halves.iter().map(|half| half.to_f64().abs()).fold(0.0, f64::max);
            assert!((16384.0..32768.1).contains(&top), "{scale:e}: {top}");
            for (&value, half) in values.iter().zip(halves) {
                let (value, back) = (f64::from(value), half.to_f64() * power_of_two(exponent));
                let bound = (value.abs() * 2_f64.powi(-11)).max(largest * 2_f64.powi(-39));
                assert!((value - back).abs() <= bound, "{scale:e}: {value:e} became {back:e}");
            }
        }
    }

    #[test]
    fn levels_are_within_half_a_step() {
        for scale in SCALES {
            let (values, largest) = samples(scale);
            let (levels, exponent) = levels(&values);
            let step = power_of_two(exponent);
            assert!(step <= largest / 63.5 && 127.5 * step >= largest, "{scale:e}: {step:e} for {largest:e}");
            for (&value, level) in values.iter().zip(levels) {
                let back = (f64::from(level) - 128.0) * step;
                let error = (f64::from(value) - back).abs();
                assert!(error <= 0.5 * step, "{scale:e}: {value:e} became {back:e}, step {step:e}");
            }
        }
    }

    #[test]
    fn nothing_and_what_is_not_finite() {
        let values = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let (halves, exponent) = halves(&values);
        assert_eq!(exponent, 0);
        assert!(halves[2].is_nan() && halves[3] == f16::INFINITY && halves[4] == f16::NEG_INFINITY);
        assert_eq!(levels(&values), (vec![128, 128, 128, 255, 1], 0));
        assert_eq!(levels(&[f32::NAN, 2.0]).0, [128, 192]);
    }

    #[test]
    fn attributions_are_summed_where_that_is_wanted() {
        let explanation = |rendering, values: Vec<f32>| Explanation {
            method: "m".to_owned(),
            rendering,
            height: 1,
            width: 2,
            values,
            scale_log2: 3,
        };
        let planes = vec![1.0, 2.0, 10.0, 20.0, 100.0, 200.0];
        let store = Store { element: Element::F32, heat_maps: true };
        let heat_map = explanation(Rendering::HeatMap, planes.clone());
        let array = store.array(&heat_map);
        assert_eq!(array.values, Values::F32(vec![111.0, 222.0].into()));
        assert_eq!((array.shape, array.scale_log2), (vec![1, 2], 3));
        let signal = explanation(Rendering::Signal, planes.clone());
        assert_eq!(store.array(&signal).shape, [3, 1, 2]);
        assert_eq!(Store::default().array(&heat_map).shape, [3, 1, 2]);
        let large = explanation(Rendering::HeatMap, vec![f32::MAX, 1.0, f32::MAX, 2.0, 0.0, 0.0]);
        let array = store.array(&large);
        assert_eq!(array.values, Values::F32(vec![f32::MAX / 2.0, 0.75].into()));
        assert_eq!(array.scale_log2, 5);
        let summed = explanation(Rendering::HeatMap, vec![111.0, 222.0]);
        let array = Store { element: Element::U8, heat_maps: true }.array(&summed);
        // 222 / 127 is below 2 = 2^1.
        assert_eq!((array.values, array.scale_log2), (Values::U8(vec![184, 239].into()), 4));
    }
}
