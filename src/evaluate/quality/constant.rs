//! When a response does not vary.

/// Share of a scale up to which a variance of y is none.
const CONSTANT: f64 = 1e-10;

/// Whether a variance is only what rounding left: of E\[y²\], and of what it would be if all inputs varied alike and by
/// themselves, |w|² times their mean variance.
pub fn is_constant(variance: f64, mean_square: f64, alike: f64) -> bool {
    // What is not a number is no variance either.
    !(variance > CONSTANT * mean_square.max(alike) && variance > 0.0 && variance.is_finite())
}
