//! One call to a library's matrix product, in float32 or float64, chosen at run time.
//!
//! On x86-64 with AVX2 or AVX-512 the kernels are `private-gemm-x86`, the ones behind `faer` (used without the rest
//! of faer, which takes half a minute to compile). Elsewhere `matrixmultiply` serves.

/// What matrices are made of.
pub trait Element: Copy {
    const ZERO: Self;
    const ONE: Self;
    /// What the library calls it.
    #[cfg(target_arch = "x86_64")]
    const KIND: private_gemm_x86::DType;

    /// matrixmultiply's product: C = beta C + alpha A B for A \[m, k\] and B \[k, n\], with strides of rows and columns.
    ///
    /// # Safety
    /// Shape and strides address elements of what the pointers point into only, and nothing else has a reference to C.
    unsafe fn portable(
        shape: (usize, usize, usize),
        alpha: Self,
        a: (*const Self, Strides),
        b: (*const Self, Strides),
        beta: Self,
        c: (*mut Self, Strides),
    );
}

macro_rules! element {
    ($type:ty, $kind:ident, $portable:path) => {
        impl Element for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[cfg(target_arch = "x86_64")]
            const KIND: private_gemm_x86::DType = private_gemm_x86::DType::$kind;

            unsafe fn portable(
                (m, k, n): (usize, usize, usize),
                alpha: Self,
                (a, a_strides): (*const Self, Strides),
                (b, b_strides): (*const Self, Strides),
                beta: Self,
                (c, c_strides): (*mut Self, Strides),
            ) {
                let (a_rows, a_columns) = a_strides.signed();
                let (b_rows, b_columns) = b_strides.signed();
                let (c_rows, c_columns) = c_strides.signed();
                // SAFETY: the caller's promise is what the library asks for.
                unsafe {
                    $portable(
                        m, k, n, alpha, a, a_rows, a_columns, b, b_rows, b_columns, beta, c, c_rows,
                        c_columns,
                    );
                }
            }
        }
    };
}

element!(f32, F32, matrixmultiply::sgemm);
element!(f64, F64, matrixmultiply::dgemm);

/// Elements between the starts of rows, and between those of columns.
#[derive(Clone, Copy)]
pub struct Strides {
    pub rows: usize,
    pub columns: usize,
}

impl Strides {
    /// Of a matrix that lies row after row.
    pub fn row_major(rows: usize) -> Self {
        Self { rows, columns: 1 }
    }

    /// Of a matrix that lies column after column.
    pub fn column_major(columns: usize) -> Self {
        Self { rows: 1, columns }
    }

    /// Of the transpose.
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows }
    }

    /// No stride that [`Strides::fits`] let pass is too large for it.
    fn signed(self) -> (isize, isize) {
        (self.rows as isize, self.columns as isize)
    }

    /// Whether every element that a shape addresses lies within `len` elements, which are those of a slice: at most
    /// `isize::MAX` bytes, so that every offset can be represented.
    fn fits(self, rows: usize, columns: usize, len: usize) -> bool {
        let largest = isize::MAX as usize / 8;
        if rows == 0 || columns == 0 {
            return self.rows <= largest && self.columns <= largest;
        }
        let offset = |count: usize, stride: usize| (count - 1).checked_mul(stride);
        let last =
            offset(rows, self.rows).zip(offset(columns, self.columns)).and_then(|(a, b)| a.checked_add(b));
        self.rows <= largest && self.columns <= largest && last.is_some_and(|last| last < len)
    }

    /// Whether no two elements of a shape are the same.
    fn is_distinct(self, rows: usize, columns: usize) -> bool {
        let apart = |outer: usize, inner: usize, count: usize| {
            inner >= 1 && inner.checked_mul(count).is_some_and(|length| outer >= length)
        };
        rows <= 1 && (columns <= 1 || self.columns >= 1)
            || columns <= 1 && self.rows >= 1
            || apart(self.rows, self.columns, columns)
            || apart(self.columns, self.rows, rows)
    }
}

/// A matrix view.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    /// The elements, from that of the first row and column on.
    pub values: &'a [T],
    pub strides: Strides,
}

/// Whether a product replaces or adds to the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accumulate {
    Replace,
    Add,
}

/// Kernels of a library that this processor can run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernels(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    X86(private_gemm_x86::InstrSet),
}

impl Kernels {
    /// Those that every processor can run.
    pub fn portable() -> Self {
        Self(Kind::Portable)
    }

    /// Those for AVX2, where there is AVX2.
    #[cfg(target_arch = "x86_64")]
    pub fn avx2() -> Option<Self> {
        let there = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        there.then_some(Self(Kind::X86(private_gemm_x86::InstrSet::Avx256)))
    }

    /// The fastest ones.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            // The kernels clear registers with an instruction of AVX512DQ.
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512dq")
            {
                return Self(Kind::X86(private_gemm_x86::InstrSet::Avx512));
            }
            if let Some(avx2) = Self::avx2() {
                return avx2;
            }
        }
        Self::portable()
    }

    /// Whether they are matrixmultiply's.
    pub fn are_portable(self) -> bool {
        self.0 == Kind::Portable
    }

    /// For `vggx info`.
    pub fn description(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::X86(private_gemm_x86::InstrSet::Avx512) => "AVX-512 (private-gemm-x86)",
            #[cfg(target_arch = "x86_64")]
            Kind::X86(private_gemm_x86::InstrSet::Avx256) => "AVX2 and FMA (private-gemm-x86)",
            Kind::Portable => "portable (matrixmultiply)",
        }
    }
}

/// C = alpha A B or C += alpha A B, for A \[m, k\], B \[k, n\] and C \[m, n\], by one thread.
///
/// # Panics
/// When a slice is shorter than its shape and strides demand, or elements of C are the same (a defect of the caller, never
/// of a user's input).
pub fn multiply<T: Element>(
    kernels: Kernels,
    (m, k, n): (usize, usize, usize),
    alpha: T,
    a: View<T>,
    b: View<T>,
    (c, c_strides): (&mut [T], Strides),
    accumulate: Accumulate,
) {
    assert!(a.strides.fits(m, k, a.values.len()), "A is shorter than its shape");
    assert!(b.strides.fits(k, n, b.values.len()), "B is shorter than its shape");
    assert!(c_strides.fits(m, n, c.len()), "C is shorter than its shape");
    assert!(c_strides.is_distinct(m, n), "elements of C are the same");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        // Not all libraries do.
        if accumulate == Accumulate::Replace {
            (0..m).for_each(|row| {
                (0..n).for_each(|at| c[row * c_strides.rows + at * c_strides.columns] = T::ZERO)
            });
        }
        return;
    }
    match kernels.0 {
        Kind::Portable => {
            let beta = if accumulate == Accumulate::Add { T::ONE } else { T::ZERO };
            let (a, b) = ((a.values.as_ptr(), a.strides), (b.values.as_ptr(), b.strides));
            // SAFETY: the assertions above; `c` is borrowed mutably, so nothing else has a reference to it.
            unsafe { T::portable((m, k, n), alpha, a, b, beta, (c.as_mut_ptr(), c_strides)) };
        }
        #[cfg(target_arch = "x86_64")]
        Kind::X86(instructions) => {
            let (a_rows, a_columns) = a.strides.signed();
            let (b_rows, b_columns) = b.strides.signed();
            let (c_rows, c_columns) = c_strides.signed();
            // SAFETY: the assertions above; `c` is borrowed mutably, so nothing else has a reference to it; a `Kernels` has
            // instructions only that were detected.
            unsafe {
                private_gemm_x86::gemm(
                    T::KIND,
                    private_gemm_x86::IType::U64,
                    instructions,
                    m,
                    n,
                    k,
                    c.as_mut_ptr().cast(),
                    c_rows,
                    c_columns,
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
                    b_rows,
                    b_columns,
                    false,
                    (&raw const alpha).cast(),
                    1,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in [-1, 1) that depend on their place and a seed.
    fn values(count: usize, seed: u64) -> Vec<f64> {
        let value = |index| (crate::random::draw(seed, index) >> 11) as f64 * 2f64.powi(-52) - 1.0;
        (0..count as u64).map(value).collect()
    }

    #[test]
    fn float64_products_of_every_layout_agree_with_their_definition() {
        let mut all = vec![Kernels::best(), Kernels::portable()];
        #[cfg(target_arch = "x86_64")]
        all.extend(Kernels::avx2());
        for kernels in all {
            for (m, k, n) in [(1, 1, 1), (7, 13, 5), (64, 16, 33), (130, 200, 3), (3, 5, 129), (5, 0, 3)] {
                for layouts in 0..16 {
                    let accumulate = if layouts < 8 { Accumulate::Add } else { Accumulate::Replace };
                    // With room between the rows or columns.
                    let strides = |bit: u32, rows: usize, columns: usize| match layouts >> bit & 1 {
                        0 => Strides::row_major(columns + 2),
                        _ => Strides::column_major(rows + 3),
                    };
                    let length = |rows: usize, columns: usize| (rows + 3) * (columns + 3);
                    let (a, b) = (values(length(m, k), 1), values(length(k, n), 2));
                    let mut c = values(length(m, n), 3);
                    let before = c.clone();
                    let (of_a, of_b, of_c) = (strides(0, m, k), strides(1, k, n), strides(2, m, n));
                    let view = |values, strides| View { values, strides };
                    let into = (&mut c[..], of_c);
                    multiply(kernels, (m, k, n), -0.5, view(&a, of_a), view(&b, of_b), into, accumulate);
                    let at = |strides: Strides, row: usize, column: usize| {
                        row * strides.rows + column * strides.columns
                    };
                    let mut expected = before;
                    for row in 0..m {
                        for column in 0..n {
                            let products =
                                (0..k).map(|index| a[at(of_a, row, index)] * b[at(of_b, index, column)]);
                            let expected = &mut expected[at(of_c, row, column)];
                            if accumulate == Accumulate::Replace {
                                *expected = 0.0;
                            }
                            *expected -= 0.5 * products.sum::<f64>();
                        }
                    }
                    for (got, expected) in c.iter().zip(&expected) {
                        // k + 2 roundings of sums of products below 1; what lies between is not touched at all.
                        let bound = (k + 2) as f64 * (k + 1) as f64 * 2f64.powi(-53);
                        let name = kernels.description();
                        assert!(
                            (got - expected).abs() <= bound,
                            "{name} {m}×{k}×{n} layouts {layouts:b}: {got} {expected}"
                        );
                    }
                }
            }
        }
    }

    /// Libraries have ways of their own for matrices that pass the caches of the second and (if it is of usual size) third
    /// level; factors of covariances have up to 25088 rows.
    #[test]
    fn large_products_are_those_of_the_portable_kernels() {
        let (m, k, n) = (9000, 512, 9);
        let (a, b, before) = (values(m * k, 1), values(k * n, 2), values(m * n, 3));
        for strides in [Strides::row_major(k), Strides::column_major(m)] {
            let run = |kernels| {
                let mut c = before.clone();
                let (a, b) =
                    (View { values: &a, strides }, View { values: &b, strides: Strides::column_major(k) });
                let into = (&mut c[..], Strides::column_major(m));
                multiply(kernels, (m, k, n), -1.0, a, b, into, Accumulate::Add);
                c
            };
            for (got, expected) in run(Kernels::best()).iter().zip(&run(Kernels::portable())) {
                // Each within k + 2 roundings of sums of products below 1.
                let bound = 2.0 * (k + 2) as f64 * (k + 1) as f64 * 2f64.powi(-53);
                assert!((got - expected).abs() <= bound, "{got} {expected}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "C is shorter")]
    fn columns_beyond_the_slice_are_refused() {
        let one = View { values: &[1.0; 4], strides: Strides::row_major(2) };
        let into = (&mut [0.0; 3][..], Strides::column_major(2));
        multiply(Kernels::best(), (2, 2, 2), 1.0, one, one, into, Accumulate::Replace);
    }

    #[test]
    #[should_panic(expected = "are the same")]
    fn a_destination_that_overlaps_itself_is_refused() {
        let one = View { values: &[1.0; 4], strides: Strides::row_major(2) };
        let into = (&mut [0.0; 9][..], Strides { rows: 1, columns: 1 });
        multiply(Kernels::best(), (2, 2, 2), 1.0, one, one, into, Accumulate::Replace);
    }
}
