//! Arrays as float16 with a power of two each.

use half::f16;

/// Rounds `values` · 2^`scale_log2` to float16 · 2^e, and returns e: the smallest with max|v| · 2^−e < 2^15, 0 where all are
/// zero. Rounding is to nearest even, once.
pub fn to_half(values: &[f32], scale_log2: i32, mut write: impl FnMut(usize, f16)) -> i32 {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        (0..values.len()).for_each(|index| write(index, f16::ZERO));
        return 0;
    }
    // max|v| = f · 2^k with f in [1/2, 1), so that e = k − 15.
    let shift = exponent(largest) - 15;
    let factor = 2f64.powi(-shift);
    for (index, &value) in values.iter().enumerate() {
        // A power of two: nothing is rounded, unless far below what float16 can tell from zero.
        write(index, f16::from_f32((f64::from(value) * factor) as f32));
    }
    scale_log2.saturating_add(shift)
}

/// The k of a positive number f · 2^k with f in [1/2, 1).
fn exponent(number: f32) -> i32 {
    // Every positive float32 is a normal float64.
    (f64::from(number).to_bits() >> 52) as i32 - 1022
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(values: &[f32], scale: i32) -> (Vec<f32>, i32) {
        let mut halves = vec![f16::NAN; values.len()];
        let exponent = to_half(values, scale, |index, value| halves[index] = value);
        (halves.into_iter().map(f32::from).collect(), exponent)
    }

    #[test]
    fn the_largest_value_is_just_below_two_to_the_fifteenth() {
        assert_eq!(halves(&[0.75, -0.5], 0), (vec![24576.0, -16384.0], -15));
        assert_eq!(halves(&[1.0, 0.5], 4000), (vec![16384.0, 8192.0], 3986));
        assert_eq!(halves(&[0.0, -0.0], 7), (vec![0.0, 0.0], 0));
        // The ends of float32: the smallest number there is, and the largest, which rounds up.
        assert_eq!(halves(&[f32::from_bits(1)], 0), (vec![16384.0], -163));
        assert_eq!(halves(&[f32::MAX], 0), (vec![32768.0], 113));
        assert_eq!(halves(&[f32::MAX, f32::from_bits(1)], 0), (vec![32768.0, 0.0], 113));
    }

    #[test]
    fn values_are_rounded_to_nearest_even() {
        // 2^14 is exact; steps above it are 16: halfway goes to the even one.
        let step = 16.0 / 16384.0;
        let values = [1.0, 1.0 + 0.5 * step, 1.0 + 1.5 * step, 1.0 + 0.51 * step, 1.0 + 0.49 * step];
        assert_eq!(halves(&values, 0).0, [16384.0, 16384.0, 16416.0, 16400.0, 16384.0]);
    }
}
