//! Patterns from float64 to the elements of their file, rounded once.

use half::{bf16, f16};

use crate::weights::ElementType;

/// Rounds a pattern to nearest, ties to even, into the bytes of a row; |wᵀa − 1| of what is stored.
///
/// # Errors
/// The first value that is beyond the range of the elements, or not finite.
pub(super) fn round(
    pattern: &[f64],
    weight: &[f64],
    element: ElementType,
    row: &mut [u8],
) -> Result<f64, f64> {
    let size = element.size();
    let mut product = 0.0;
    for ((value, weight), bytes) in pattern.iter().zip(weight).zip(row.chunks_exact_mut(size)) {
        let stored = match element {
            ElementType::F32 => {
                let stored = *value as f32;
                bytes.copy_from_slice(&stored.to_le_bytes());
                f64::from(stored)
            }
            ElementType::F16 => {
                let stored = f16::from_f32(to_odd(*value));
                bytes.copy_from_slice(&stored.to_le_bytes());
                stored.to_f64()
            }
            ElementType::Bf16 => {
                let stored = bf16::from_f32(to_odd(*value));
                bytes.copy_from_slice(&stored.to_le_bytes());
                stored.to_f64()
            }
        };
        if !stored.is_finite() {
            return Err(*value);
        }
        product += weight * stored;
    }
    Ok((product - 1.0).abs())
}

/// float32 with a sticky last bit: rounded towards zero, the last bit set where that was inexact. Rounding it once more to
/// a shorter type gives what rounding the float64 gives (Boldo and Melquiond, 2008), which rounding twice to nearest does
/// not.
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let exact = f64::from(nearest);
    if exact == value || value.is_nan() {
        return nearest;
    }
    let below = exact.abs() > value.abs();
    f32::from_bits((nearest.to_bits() - u32::from(below)) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(value: f64, element: ElementType) -> Result<Vec<u8>, f64> {
        let mut row = vec![0; element.size()];
        round(&[value], &[1.0], element, &mut row)?;
        Ok(row)
    }

    fn half_bits(value: f64) -> u16 {
        let row = rounded(value, ElementType::F16).unwrap();
        u16::from_le_bytes([row[0], row[1]])
    }

    /// Between 1 and 1 + 2⁻¹⁰ lies a tie at 1 + 2⁻¹¹, which float32 hides when the value is just above it.
    #[test]
    fn halves_are_rounded_once() {
        let tie = 1.0 + 2f64.powi(-11);
        let (one, next) = (f16::ONE.to_bits(), f16::ONE.to_bits() + 1);
        assert_eq!(half_bits(tie), one);
        assert_eq!(half_bits(tie + 2f64.powi(-40)), next);
        assert_eq!(half_bits(tie - 2f64.powi(-40)), one);
        assert_eq!(half_bits(-(tie + 2f64.powi(-40))), next | 0x8000);
        // And of the next pair, whose tie goes up.
        let tie = 1.0 + 3.0 * 2f64.powi(-11);
        assert_eq!(half_bits(tie - 2f64.powi(-40)), next);
        assert_eq!(half_bits(tie), next + 1);
        let tie = 1.0 + 2f64.powi(-8);
        let row = rounded(tie + 2f64.powi(-40), ElementType::Bf16).unwrap();
        assert_eq!(u16::from_le_bytes([row[0], row[1]]), bf16::ONE.to_bits() + 1);
    }

    /// Every finite float16 is kept, and what lies between two goes to the nearer one.
    #[test]
    fn every_half_and_its_neighbourhood() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (f16::from_bits(bits).to_f64(), f16::from_bits(bits + 1).to_f64());
            assert_eq!(half_bits(low), bits);
            let middle = (low + high) / 2.0;
            let step = (high - low) * 2f64.powi(-30);
            assert_eq!((half_bits(middle - step), half_bits(middle + step)), (bits, bits + 1));
            assert_eq!(half_bits(middle), bits + bits % 2);
        }
    }

    #[test]
    fn nothing_becomes_infinite_silently() {
        assert_eq!(half_bits(65504.0), f16::MAX.to_bits());
        assert_eq!(half_bits(65519.9), f16::MAX.to_bits());
        assert_eq!(rounded(65520.0, ElementType::F16), Err(65520.0));
        assert_eq!(rounded(-1e300, ElementType::F32), Err(-1e300));
        assert_eq!(rounded(3.4e38, ElementType::Bf16), Err(3.4e38));
        assert!(rounded(3.38e38, ElementType::Bf16).is_ok());
        assert!(rounded(f64::NAN, ElementType::F32).is_err());
    }

    #[test]
    fn the_miss_is_that_of_what_is_stored() {
        let mut row = [0; 4];
        let third = 1.0 / 3.0;
        let miss = round(&[third, third], &[1.0, 2.0], ElementType::F16, &mut row).unwrap();
        assert_eq!(miss, (3.0 * f16::from_f64(third).to_f64() - 1.0).abs());
    }
}
