//! Joining an array with its power of two.

/// Multiplies `values` by 2^`scale_log2` where the largest magnitude then is a normal float32 number, and returns the
/// exponent that is left: 0, or `scale_log2` unchanged where float32 would overflow (or lose everything to underflow).
pub fn fold(values: &mut [f32], scale_log2: i32) -> i32 {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return 0;
    }
    let folded = f64::from(largest) * 2f64.powi(scale_log2);
    if !(f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&folded) {
        return scale_log2;
    }
    if scale_log2 != 0 {
        let factor = 2f64.powi(scale_log2);
        values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn the_exponent_is_zero_unless_float32_would_overflow() {
        let folded = |values: &[f32], scale| {
            let mut values = values.to_vec();
            let left = fold(&mut values, scale);
            (values, left)
        };
        assert_eq!(folded(&[0.5, -0.75], 3), (vec![4.0, -6.0], 0));
        assert_eq!(folded(&[0.5, -0.75], 128), (vec![2f32.powi(127), -1.5 * 2f32.powi(127)], 0));
        assert_eq!(folded(&[0.5, -1.0], 128), (vec![0.5, -1.0], 128));
        assert_eq!(folded(&[0.5, -0.75], 4000), (vec![0.5, -0.75], 4000));
        assert_eq!(folded(&[0.5, -0.75], -4000), (vec![0.5, -0.75], -4000));
        assert_eq!(folded(&[0.0, 0.0], 4000), (vec![0.0, 0.0], 0));
    }
}
