//! Run-time dispatch of loops to the widest vectors of this processor.

/// Runs `work` compiled for the best instruction set of this processor.
///
/// The closure, which must be marked `#[inline(always)]`, is inlined into functions with AVX2 or AVX-512 enabled, so that
/// the compiler vectorises plain loops in it without `-C target-cpu=native`.
#[inline]
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<F: FnOnce() -> R, R> pulp::WithSimd for Work<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

/// The bit pattern of |x|: orders like the magnitude, with infinity above all numbers and NaN above infinity, so that
/// a maximum over it finds anything that is not finite.
#[inline(always)]
pub fn magnitude_bits(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// Whether a maximum of [`magnitude_bits`] was finite.
pub fn is_finite(bits: u32) -> bool {
    bits < 0x7f80_0000
}

/// 2^exponent as float32, exact for every exponent of a normal number (−126..=127); clamped outside.
pub fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent.clamp(-126, 127) + 127) as u32) << 23)
}

/// The exponent e with |x| in [2^e, 2^(e+1)) for the magnitude of `bits`; 0 for zero (nothing to scale).
pub fn exponent(bits: u32) -> i32 {
    if bits == 0 {
        0
    } else if bits >= 0x0080_0000 {
        (bits >> 23) as i32 - 127
    } else {
        -126 - (bits.leading_zeros() as i32 - 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_bracket_the_magnitude() {
        for x in [1.0f32, 1.5, 0.75, 3e38, 1e-38, 1e-44, f32::MIN_POSITIVE, 4096.0, 4095.0] {
            let e = exponent(magnitude_bits(-x));
            let (low, x) = (2f64.powi(e), f64::from(x));
            assert!(low <= x && x < 2.0 * low, "{x}: {e}");
        }
        assert_eq!(exponent(0), 0);
        assert!(!is_finite(magnitude_bits(f32::NAN)) && !is_finite(magnitude_bits(f32::NEG_INFINITY)));
        assert_eq!(power_of_two(-3), 0.125);
    }
}
