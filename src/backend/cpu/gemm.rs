//! One call to a library's float32 matrix product, chosen at run time.
//!
//! On x86-64 with AVX2 or AVX-512 the kernels are `private-gemm-x86`, the ones behind `faer` (used without the rest
//! of faer, which takes longer to compile than all of vggx). Elsewhere `matrixmultiply` serves.
//!
//! Both accumulate every element of the product over k in the same order whatever the number of rows, so that a result
//! does not depend on how many images share a batch or how many threads share the work.

/// A row-major matrix view.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements, from the first row's first on.
    pub values: &'a [f32],
    /// Elements between the starts of rows.
    pub stride: usize,
}

/// How A lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// \[m, k\], row-major.
    Rows,
    /// \[k, m\], row-major: A is the transpose of what is stored.
    Transposed,
}

impl Order {
    /// Elements between A's rows and between its columns.
    fn strides(self, stride: usize) -> (isize, isize) {
        match self {
            Order::Rows => (stride as isize, 1),
            Order::Transposed => (1, stride as isize),
        }
    }
}

/// Whether a product replaces or adds to the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accumulate {
    Replace,
    Add,
}

/// Rows of a product up to which the library reads B in place; with more it copies B into panels first, which for the
/// short products of a Winograd convolution took half of the time.
#[cfg(target_arch = "x86_64")]
const UNPACKED_ROWS: usize = 12;
/// Elements of B up to which it is read in place again and again.
#[cfg(target_arch = "x86_64")]
const IN_PLACE: usize = 1 << 15;

/// Whether every element that a shape and a stride address lies within `len` elements. A slice holds at most
/// `isize::MAX` bytes, so strides that pass are representable wherever they are used.
fn fits(len: usize, rows: usize, columns: usize, stride: usize) -> bool {
    let last = rows.saturating_sub(1).checked_mul(stride).and_then(|start| start.checked_add(columns));
    stride >= columns
        && stride <= isize::MAX as usize / 4
        && last.is_some_and(|last| rows == 0 || last <= len)
}

/// C \[m, n\] = A \[m, k\] · B \[k, n\], or C += A · B; all row-major.
///
/// # Panics
/// When a slice is shorter than its shape and stride demand (a defect of the caller, never of a user's input).
pub fn multiply(
    (m, k, n): (usize, usize, usize),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    assert!(fits(a.values.len(), m, k, a.stride), "A is shorter than its shape");
    assert!(fits(b.values.len(), k, n, b.stride), "B is shorter than its shape");
    assert!(fits(c.len(), m, n, c_stride), "C is shorter than its shape");
    if m == 0 || n == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(instructions) = x86_instructions() {
        // A contiguous B that stays in the cache is best read where it is.
        let rows = if b.stride == n && k * n <= IN_PLACE { UNPACKED_ROWS } else { m };
        let mut first = 0;
        while first < m {
            let a = Matrix { values: &a.values[first * a.stride..], stride: a.stride };
            let shape = (rows.min(m - first), k, n);
            let c = &mut c[first * c_stride..];
            // SAFETY: the assertions above hold for every block of rows too; the instructions were detected.
            unsafe { x86_multiply(instructions, shape, (a, Order::Rows), b, c, c_stride, accumulate) };
            first += rows;
        }
        return;
    }
    // SAFETY: the assertions above.
    unsafe { portable_multiply((m, k, n), (a, Order::Rows), b, c, c_stride, accumulate) };
}

/// C \[m, n\] = Aᵀ · B for A \[k, m\] and B \[k, n\], or C += Aᵀ · B; all row-major.
///
/// # Panics
/// As [`multiply`].
pub fn multiply_transposed(
    (m, k, n): (usize, usize, usize),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    assert!(fits(a.values.len(), k, m, a.stride), "A is shorter than its shape");
    assert!(fits(b.values.len(), k, n, b.stride), "B is shorter than its shape");
    assert!(fits(c.len(), m, n, c_stride), "C is shorter than its shape");
    if m == 0 || n == 0 {
        return;
    }
    let a = (a, Order::Transposed);
    #[cfg(target_arch = "x86_64")]
    if let Some(instructions) = x86_instructions() {
        // SAFETY: the assertions above; the instructions were detected.
        unsafe { x86_multiply(instructions, (m, k, n), a, b, c, c_stride, accumulate) };
        return;
    }
    // SAFETY: the assertions above.
    unsafe { portable_multiply((m, k, n), a, b, c, c_stride, accumulate) };
}

/// The product where there is no AVX2.
///
/// # Safety
/// Shapes and strides address elements of their slices only.
unsafe fn portable_multiply(
    (m, k, n): (usize, usize, usize),
    (a, order): (Matrix, Order),
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    let (a_rows, a_columns) = order.strides(a.stride);
    let beta = match accumulate {
        Accumulate::Replace => 0.0,
        Accumulate::Add => 1.0,
    };
    // SAFETY: the caller promises that every addressed element lies inside its slice; `c` is borrowed mutably, so
    // nothing else aliases it.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.values.as_ptr(),
            a_rows,
            a_columns,
            b.values.as_ptr(),
            b.stride as isize,
            1,
            beta,
            c.as_mut_ptr(),
            c_stride as isize,
            1,
        );
    }
}

/// One call of the library.
///
/// # Safety
/// Shapes and strides address elements of their slices only, and this processor has the instructions.
#[cfg(target_arch = "x86_64")]
unsafe fn x86_multiply(
    instructions: private_gemm_x86::InstrSet,
    (m, k, n): (usize, usize, usize),
    (a, order): (Matrix, Order),
    b: Matrix,
    c: &mut [f32],
    c_stride: usize,
    accumulate: Accumulate,
) {
    let (a_rows, a_columns) = order.strides(a.stride);
    let alpha = 1f32;
    // SAFETY: the caller promises that every addressed element lies inside its slice and that the instructions exist;
    // `c` is borrowed mutably, so nothing else aliases it.
    unsafe {
        private_gemm_x86::gemm(
            private_gemm_x86::DType::F32,
            private_gemm_x86::IType::U64,
            instructions,
            m,
            n,
            k,
            c.as_mut_ptr().cast(),
            c_stride as isize,
            1,
            std::ptr::null(),
            std::ptr::null(),
            private_gemm_x86::DstKind::Full,
            match accumulate {
                Accumulate::Replace => private_gemm_x86::Accum::Replace,
                Accumulate::Add => private_gemm_x86::Accum::Add,
            },
            a.values.as_ptr().cast(),
            a_rows,
            a_columns,
            false,
            std::ptr::null(),
            0,
            b.values.as_ptr().cast(),
            b.stride as isize,
            1,
            false,
            (&raw const alpha).cast(),
            1,
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn x86_instructions() -> Option<private_gemm_x86::InstrSet> {
    // The kernels clear registers with an instruction of AVX512DQ.
    if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512dq") {
        Some(private_gemm_x86::InstrSet::Avx512)
    } else if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        Some(private_gemm_x86::InstrSet::Avx256)
    } else {
        None
    }
}

/// The matrix-product kernels that this processor gets, for `vggx info`.
pub fn description() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match x86_instructions() {
        Some(private_gemm_x86::InstrSet::Avx512) => return "AVX-512 (private-gemm-x86)",
        Some(private_gemm_x86::InstrSet::Avx256) => return "AVX2 and FMA (private-gemm-x86)",
        None => {}
    }
    "portable (matrixmultiply)"
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

    type Product = fn((usize, usize, usize), Matrix, Matrix, &mut [f32], usize, Accumulate);

    #[cfg(target_arch = "x86_64")]
    fn avx2(
        shape: (usize, usize, usize),
        a: Matrix,
        b: Matrix,
        c: &mut [f32],
        c_stride: usize,
        accumulate: Accumulate,
    ) {
        // SAFETY: the tests' slices fit their shapes, and AVX2 was detected.
        unsafe {
            x86_multiply(
                private_gemm_x86::InstrSet::Avx256,
                shape,
                (a, Order::Rows),
                b,
                c,
                c_stride,
                accumulate,
            );
        }
    }

    fn portable(
        shape: (usize, usize, usize),
        a: Matrix,
        b: Matrix,
        c: &mut [f32],
        c_stride: usize,
        accumulate: Accumulate,
    ) {
        // SAFETY: the tests' slices fit their shapes.
        unsafe { portable_multiply(shape, (a, Order::Rows), b, c, c_stride, accumulate) };
    }

    fn products() -> Vec<(&'static str, Product)> {
        let mut products: Vec<(&str, Product)> = vec![("best", multiply), ("portable", portable)];
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            products.push(("AVX2", avx2));
        }
        products
    }

    #[test]
    fn every_kernel_agrees_with_float64_within_the_rounding_bound() {
        let shapes = [(1, 1, 1), (7, 13, 5), (16, 512, 64), (49, 700, 33), (97, 27, 3), (3, 1030, 97)];
        for (name, product) in products() {
            for (m, k, n) in shapes {
                check(name, product, (m, k, n), (k + 2, n + 3, n + 1));
                check(name, product, (m, k, n), (k, n, n));
            }
        }
    }

    fn check(name: &str, product: Product, (m, k, n): (usize, usize, usize), strides: (usize, usize, usize)) {
        let (a_stride, b_stride, c_stride) = strides;
        let (a, b) = (values(m * a_stride, 1), values(k * b_stride, 2));
        let mut c = values(m * c_stride, 3);
        let before = c.clone();
        let view = |values, stride| Matrix { values, stride };
        product((m, k, n), view(&a, a_stride), view(&b, b_stride), &mut c, c_stride, Accumulate::Add);
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
        for (name, product) in products() {
            for (k, n) in [(27, 64), (512, 64), (700, 33), (64, 27), (2304, 64), (4608, 64)] {
                let (a, b) = (values(300 * k, 4), values(k * n, 5));
                let view = |values, stride| Matrix { values, stride };
                let rows = |first: usize, count: usize| {
                    let mut c = vec![0.0; count * n];
                    let a = view(&a[first * k..], k);
                    product((count, k, n), a, view(&b, n), &mut c, n, Accumulate::Replace);
                    c
                };
                let all = rows(0, 300);
                for (first, count) in [(0, 1), (299, 1), (5, 12), (7, 13), (100, 97)] {
                    let some = rows(first, count);
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
