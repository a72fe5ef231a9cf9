//! Float32 matrix products of row-major matrices, by one thread.
//!
//! The library ([`crate::products`]) accumulates every element of the product over k in the same order whatever the number of
//! rows, so that a result does not depend on how many images share a batch or how many threads share the work.

use crate::products::{self, Kernels, Strides, View};

pub use crate::products::Accumulate;

/// A row-major matrix view.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements, from the first row's first on.
    pub values: &'a [f32],
    /// Elements between the starts of rows.
    pub stride: usize,
}

impl<'a> Matrix<'a> {
    fn view(self) -> View<'a, f32> {
        View { values: self.values, strides: Strides::row_major(self.stride) }
    }
}

/// Rows of a product up to which the library reads B in place; with more it copies B into panels first, which for the
/// short products of a Winograd convolution took half of the time.
const UNPACKED_ROWS: usize = 12;
/// Elements of B up to which it is read in place again and again.
const IN_PLACE: usize = 1 << 15;

/// C \[m, n\] = A \[m, k\] · B \[k, n\], or C += A · B; all row-major.
///
/// # Panics
/// When a slice is shorter than its shape and stride demand (a defect of the caller, never of a user's input).
pub fn multiply(
    shape: (usize, usize, usize),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    multiply_with(Kernels::best(), shape, a, b, c, c_stride, accumulate);
}

fn multiply_with(
    kernels: Kernels,
    (m, k, n): (usize, usize, usize),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    // A contiguous B that stays in the cache is best read where it is.
    let in_place = !kernels.are_portable() && b.stride == n && k * n <= IN_PLACE;
    let rows = if in_place { UNPACKED_ROWS } else { m.max(1) };
    for first in (0..m).step_by(rows) {
        let shape = (rows.min(m - first), k, n);
        let a = Matrix { values: a.values.get(first * a.stride..).unwrap_or_default(), stride: a.stride };
        let into = (c.get_mut(first * c_stride..).unwrap_or_default(), Strides::row_major(c_stride));
        products::multiply(kernels, shape, 1.0, a.view(), b.view(), into, accumulate);
    }
}

/// C \[m, n\] = Aᵀ · B for A \[k, m\] and B \[k, n\], or C += Aᵀ · B; all row-major.
///
/// # Panics
/// As [`multiply`].
pub fn multiply_transposed(
    shape: (usize, usize, usize),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    let a = View { values: a.values, strides: Strides::row_major(a.stride).transposed() };
    let into = (c, Strides::row_major(c_stride));
    products::multiply(Kernels::best(), shape, 1.0, a, b.view(), into, accumulate);
}

/// The matrix-product kernels that this processor gets, for `vggx info`.
pub fn description() -> &'static str {
    Kernels::best().description()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in [-1, 1).
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn kernels() -> Vec<Kernels> {
        let mut kernels = vec![Kernels::best(), Kernels::portable()];
        #[cfg(target_arch = "x86_64")]
        kernels.extend(Kernels::avx2());
        kernels
    }

    #[test]
    fn every_kernel_agrees_with_float64_within_the_rounding_bound() {
        let shapes = [(1, 1, 1), (7, 13, 5), (16, 512, 64), (49, 700, 33), (97, 27, 3), (3, 1030, 97)];
        for kernels in kernels() {
            for (m, k, n) in shapes {
                check(kernels, (m, k, n), (k + 2, n + 3, n + 1));
                check(kernels, (m, k, n), (k, n, n));
            }
        }
    }

    fn check(kernels: Kernels, (m, k, n): (usize, usize, usize), strides: (usize, usize, usize)) {
        let (a_stride, b_stride, c_stride) = strides;
        let name = kernels.description();
        let (a, b) = (values(m * a_stride, 1), values(k * b_stride, 2));
        let mut c = values(m * c_stride, 3);
        let before = c.clone();
        let view = |values, stride| Matrix { values, stride };
        multiply_with(
            kernels,
            (m, k, n),
            view(&a, a_stride),
            view(&b, b_stride),
            &mut c,
            c_stride,
            Accumulate::Add,
        );
        for i in 0..m {
            for j in 0..n {
                let start = f64::from(before[i * c_stride + j]);
                let (mut sum, mut magnitude) = (start, start.abs());
                for l in 0..k {
                    let product = f64::from(a[i * a_stride + l]) * f64::from(b[l * b_stride + j]);
                    sum += product;
                    magnitude += product.abs();
                }
                // Sequential float32 summation: |error| ≤ (k + 2)·2⁻²⁴·Σ|a·b|.
                let bound = (k + 2) as f64 * magnitude * 2f64.powi(-24);
                let got = f64::from(c[i * c_stride + j]);
                assert!((got - sum).abs() <= bound, "{name} {m}×{k}×{n} at {i},{j}: {got} against {sum}");
            }
            for j in n..c_stride {
                assert_eq!(c[i * c_stride + j], before[i * c_stride + j], "{name} wrote between rows");
            }
        }
    }

    #[test]
    fn a_transposed_operand_gives_the_product_of_the_transpose() {
        for (m, k, n) in [(1, 1, 1), (7, 13, 5), (192, 500, 576), (33, 97, 27), (30, 1030, 3)] {
            let (a, b) = (values(m * k, 6), values(k * n, 7));
            let stored: Vec<f32> = (0..k * m).map(|at| a[at % m * k + at / m]).collect();
            let (mut got, mut expected) = (values(m * n, 8), values(m * n, 8));
            let view = |values, stride| Matrix { values, stride };
            multiply_transposed((m, k, n), view(&stored, m), view(&b, n), &mut got, n, Accumulate::Add);
            multiply((m, k, n), view(&a, k), view(&b, n), &mut expected, n, Accumulate::Add);
            for (got, expected) in got.iter().zip(&expected) {
                // Two sequential float32 sums of k products of magnitude below 1, each within (k + 2)·2⁻²⁴·k.
                let bound = 2.0 * (k + 2) as f32 * k as f32 * 2f32.powi(-24);
                assert!((got - expected).abs() <= bound, "{m}×{k}×{n}: {got} against {expected}");
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_rows_around_it() {
        for kernels in kernels() {
            for (k, n) in [(27, 64), (512, 64), (700, 33), (64, 27), (2304, 64), (4608, 64)] {
                let (a, b) = (values(300 * k, 4), values(k * n, 5));
                let view = |values, stride| Matrix { values, stride };
                let rows = |first: usize, count: usize| {
                    let mut c = vec![0.0; count * n];
                    let a = view(&a[first * k..], k);
                    multiply_with(kernels, (count, k, n), a, view(&b, n), &mut c, n, Accumulate::Replace);
                    c
                };
                let all = rows(0, 300);
                for (first, count) in [(0, 1), (299, 1), (5, 12), (7, 13), (100, 97)] {
                    let some = rows(first, count);
                    let name = kernels.description();
                    assert_eq!(
                        some,
                        all[first * n..][..count * n],
                        "{name}: {count} rows from {first}, {k}×{n}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "A is shorter")]
    fn strides_that_wrap_around_are_refused() {
        let view = |values, stride| Matrix { values, stride };
        multiply((2, 1, 1), view(&[1.0], usize::MAX), view(&[1.0], 1), &mut [0.0; 2], 1, Accumulate::Replace);
    }
}
