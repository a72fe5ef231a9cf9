//! Winograd's minimal filtering F(4×4, 3×3): 36 products for 16 outputs instead of 144.
//!
//! Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for a 6×6 input patch d and a 3×3 kernel g (Lavin & Gray 2016, Winograd 1980). The
//! interpolation points are 0, ±1/√2, ±√2 and ∞ rather than the customary 0, ±1, ±2, ∞: their errors are half as
//! large, about twice those of plain float32 summation (measured: relative rms 1.2e-6 against 0.6e-6 at 256 channels,
//! 2.5e-6 for the customary points), and the product of the two magnitudes is 1, which keeps the matrices short.
//!
//! Everything here transforms vectors of channels; the products between the transforms are the library's.

use pulp::{Simd, WithSimd};

/// Side of the transformed tile.
pub const SIDE: usize = 6;
/// Frequencies: the 36 independent matrix products.
pub const FREQUENCIES: usize = SIDE * SIDE;

/// 1/√2 and √2, the magnitudes of the interpolation points.
const SMALL: f32 = std::f32::consts::FRAC_1_SQRT_2;
const LARGE: f32 = std::f32::consts::SQRT_2;

/// Bᵀx: coefficients of the polynomials Π_{k≠j}(t − p_k).
#[inline(always)]
fn input_1d<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 6] {
    let c = |value| simd.splat_f32s(value);
    let fma = |a, b, d| simd.mul_add_e_f32s(a, b, d);
    let even_small = fma(c(-2.0), x[2], x[4]);
    let odd_small = fma(c(-2.0), x[1], x[3]);
    let even_large = fma(c(-0.5), x[2], x[4]);
    let odd_large = fma(c(-0.5), x[1], x[3]);
    [
        fma(c(-2.5), x[2], simd.add_f32s(x[0], x[4])),
        fma(c(SMALL), odd_small, even_small),
        fma(c(-SMALL), odd_small, even_small),
        fma(c(LARGE), odd_large, even_large),
        fma(c(-LARGE), odd_large, even_large),
        fma(c(-2.5), x[3], simd.add_f32s(x[1], x[5])),
    ]
}

/// G g: the kernel's polynomial at the points, over Π_{k≠j}(p_j − p_k) = 1, −3/2, −3/2, 6, 6.
#[inline(always)]
fn kernel_1d<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
    let c = |value| simd.splat_f32s(value);
    let fma = |a, b, d| simd.mul_add_e_f32s(a, b, d);
    let even_small = simd.mul_f32s(c(-2.0 / 3.0), fma(c(0.5), g[2], g[0]));
    let even_large = simd.mul_f32s(c(1.0 / 6.0), fma(c(2.0), g[2], g[0]));
    [
        g[0],
        fma(c(-2.0 / 3.0 * SMALL), g[1], even_small),
        fma(c(2.0 / 3.0 * SMALL), g[1], even_small),
        fma(c(LARGE / 6.0), g[1], even_large),
        fma(c(-LARGE / 6.0), g[1], even_large),
        g[2],
    ]
}

/// Aᵀm: rows are the powers 0..3 of the points.
#[inline(always)]
fn output_1d<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let c = |value| simd.splat_f32s(value);
    let fma = |a, b, d| simd.mul_add_e_f32s(a, b, d);
    let (sum_small, difference_small) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (sum_large, difference_large) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(sum_small, sum_large)),
        fma(c(SMALL), difference_small, simd.mul_f32s(c(LARGE), difference_large)),
        fma(c(0.5), sum_small, simd.mul_f32s(c(2.0), sum_large)),
        fma(c(0.5 * SMALL), difference_small, fma(c(2.0 * LARGE), difference_large, m[5])),
    ]
}

/// A y: the values' polynomial at the points; the transpose of [`output_1d`].
#[inline(always)]
fn response_1d<S: Simd>(simd: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
    let c = |value| simd.splat_f32s(value);
    let fma = |a, b, d| simd.mul_add_e_f32s(a, b, d);
    let even_small = fma(c(0.5), y[2], y[0]);
    let odd_small = fma(c(0.5), y[3], y[1]);
    let even_large = fma(c(2.0), y[2], y[0]);
    let odd_large = fma(c(2.0), y[3], y[1]);
    [
        y[0],
        fma(c(SMALL), odd_small, even_small),
        fma(c(-SMALL), odd_small, even_small),
        fma(c(LARGE), odd_large, even_large),
        fma(c(-LARGE), odd_large, even_large),
        y[3],
    ]
}

/// Gᵀm: the transpose of [`kernel_1d`].
#[inline(always)]
fn tap_1d<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 3] {
    let c = |value| simd.splat_f32s(value);
    let fma = |a, b, d| simd.mul_add_e_f32s(a, b, d);
    let (sum_small, difference_small) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (sum_large, difference_large) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        fma(c(-2.0 / 3.0), sum_small, fma(c(1.0 / 6.0), sum_large, m[0])),
        fma(c(-2.0 / 3.0 * SMALL), difference_small, simd.mul_f32s(c(LARGE / 6.0), difference_large)),
        fma(c(1.0 / 3.0), simd.sub_f32s(sum_large, sum_small), m[5]),
    ]
}

/// Transforms one 6×6 patch: `patch[6·y + x]` is the channel vector at (y, x), scaled by `scale`; frequency f of channel
/// c goes to `transformed[f * frequency_stride + c]`.
pub struct InputTransform<'a> {
    pub patch: [&'a [f32]; FREQUENCIES],
    pub scale: f32,
    pub transformed: &'a mut [f32],
    pub frequency_stride: usize,
}

impl WithSimd for InputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.patch[0].len();
        let scale = simd.splat_f32s(self.scale);
        // Cast once: a check of lengths for every vector would cost as much as the arithmetic.
        let mut vectors: [&[S::f32s]; FREQUENCIES] = [&[]; FREQUENCIES];
        for (vectors, values) in vectors.iter_mut().zip(self.patch) {
            *vectors = S::as_simd_f32s(&values[..channels]).0;
        }
        let whole = channels / S::F32_LANES;
        let mut frequencies = self.transformed.chunks_mut(self.frequency_stride);
        let frequencies: [&mut [f32]; FREQUENCIES] = std::array::from_fn(|_| {
            let frequency = frequencies.next().unwrap_or_default();
            &mut frequency[..channels]
        });
        #[expect(clippy::needless_range_loop, reason = "one index into 36 slices")]
        for index in 0..whole {
            let values = in_2d(
                simd,
                #[inline(always)]
                |x| input_1d(simd, x),
                #[inline(always)]
                |y, x| simd.mul_f32s(vectors[6 * y + x][index], scale),
            );
            for (v, row) in values.into_iter().enumerate() {
                for (u, value) in row.into_iter().enumerate() {
                    S::as_mut_simd_f32s(frequencies[6 * v + u]).0[index] = value;
                }
            }
        }
        let rest = whole * S::F32_LANES;
        if rest < channels {
            let values = in_2d(
                simd,
                #[inline(always)]
                |x| input_1d(simd, x),
                #[inline(always)]
                |y, x| simd.mul_f32s(simd.partial_load_f32s(&self.patch[6 * y + x][rest..channels]), scale),
            );
            for (v, row) in values.into_iter().enumerate() {
                for (u, value) in row.into_iter().enumerate() {
                    simd.partial_store_f32s(&mut frequencies[6 * v + u][rest..], value);
                }
            }
        }
    }
}

/// Transforms kernels: `taps[(i * 9 + t) * channels + c]` for inputs i, taps t = 3·y + x and outputs c; frequency f goes
/// to `transformed[f * frequency_stride + i * channels + c]`.
pub struct KernelTransform<'a> {
    pub taps: &'a [f32],
    pub channels: usize,
    pub transformed: &'a mut [f32],
    pub frequency_stride: usize,
}

impl WithSimd for KernelTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.channels;
        for (input, taps) in self.taps.chunks_exact(9 * channels).enumerate() {
            let mut first = 0;
            while first < channels {
                let count = S::F32_LANES.min(channels - first);
                let values = in_2d(
                    simd,
                    #[inline(always)]
                    |g| kernel_1d(simd, g),
                    #[inline(always)]
                    |y, x| {
                        let at = (3 * y + x) * channels + first;
                        load(simd, &taps[at..at + count])
                    },
                );
                for (v, row) in values.into_iter().enumerate() {
                    for (u, value) in row.into_iter().enumerate() {
                        let at = (6 * v + u) * self.frequency_stride + input * channels + first;
                        store(simd, &mut self.transformed[at..at + count], value);
                    }
                }
                first += count;
            }
        }
    }
}

/// Transforms the products of one tile back: frequency f of channel c is `products[f * frequency_stride + c]`; position
/// p of the 4×4 tile goes to `sums[p * channels + c]`.
pub struct OutputTransform<'a> {
    pub products: &'a [f32],
    pub frequency_stride: usize,
    pub channels: usize,
    pub sums: &'a mut [f32],
}

impl WithSimd for OutputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut first = 0;
        while first < self.channels {
            let count = S::F32_LANES.min(self.channels - first);
            let values = in_2d(
                simd,
                #[inline(always)]
                |m| output_1d(simd, m),
                #[inline(always)]
                |y, x| {
                    let at = (6 * y + x) * self.frequency_stride + first;
                    load(simd, &self.products[at..at + count])
                },
            );
            for (v, row) in values.into_iter().enumerate() {
                for (u, value) in row.into_iter().enumerate() {
                    let at = (4 * v + u) * self.channels + first;
                    store(simd, &mut self.sums[at..at + count], value);
                }
            }
            first += count;
        }
    }
}

/// Transforms the responses of one tile for a sum of products with patches, which is the transpose of the convolution:
/// Σ over positions of patch · response = Gᵀ[(Bᵀ d B) ⊙ (A y Aᵀ)]G. Position p of the 4×4 tile is
/// `responses[p * channels + c]`; frequency f of channel c goes to `transformed[f * frequency_stride + c]`.
pub struct ResponseTransform<'a> {
    pub responses: &'a [f32],
    pub channels: usize,
    pub transformed: &'a mut [f32],
    pub frequency_stride: usize,
}

impl WithSimd for ResponseTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut first = 0;
        while first < self.channels {
            let count = S::F32_LANES.min(self.channels - first);
            let values = in_2d(
                simd,
                #[inline(always)]
                |y| response_1d(simd, y),
                #[inline(always)]
                |y, x| {
                    let at = (4 * y + x) * self.channels + first;
                    load(simd, &self.responses[at..at + count])
                },
            );
            for (v, row) in values.into_iter().enumerate() {
                for (u, value) in row.into_iter().enumerate() {
                    let at = (6 * v + u) * self.frequency_stride + first;
                    store(simd, &mut self.transformed[at..at + count], value);
                }
            }
            first += count;
        }
    }
}

/// Transforms sums of products with patches back (see [`ResponseTransform`]): frequency f of channel c is
/// `products[f * frequency_stride + c]`; tap t = 3·y + x goes to `sums[t * channels + c]`.
pub struct TapTransform<'a> {
    pub products: &'a [f32],
    pub frequency_stride: usize,
    pub channels: usize,
    pub sums: &'a mut [f32],
}

impl WithSimd for TapTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut first = 0;
        while first < self.channels {
            let count = S::F32_LANES.min(self.channels - first);
            let values = in_2d(
                simd,
                #[inline(always)]
                |m| tap_1d(simd, m),
                #[inline(always)]
                |y, x| {
                    let at = (6 * y + x) * self.frequency_stride + first;
                    load(simd, &self.products[at..at + count])
                },
            );
            for (v, row) in values.into_iter().enumerate() {
                for (u, value) in row.into_iter().enumerate() {
                    let at = (3 * v + u) * self.channels + first;
                    store(simd, &mut self.sums[at..at + count], value);
                }
            }
            first += count;
        }
    }
}

/// M X Mᵀ, where `transform` multiplies by M and `value(y, x)` gives X.
///
/// With loops: what `std::array::from_fn` wraps a closure in is not always inlined, and functions of their own are compiled without
/// the vector instructions.
#[inline(always)]
fn in_2d<S: Simd, const FROM: usize, const TO: usize>(
    simd: S,
    transform: impl Fn([S::f32s; FROM]) -> [S::f32s; TO],
    value: impl Fn(usize, usize) -> S::f32s,
) -> [[S::f32s; TO]; TO] {
    let zero = simd.splat_f32s(0.0);
    let mut rows = [[zero; FROM]; TO];
    for x in 0..FROM {
        let mut column = [zero; FROM];
        for (y, element) in column.iter_mut().enumerate() {
            *element = value(y, x);
        }
        for (row, element) in rows.iter_mut().zip(transform(column)) {
            row[x] = element;
        }
    }
    let mut transformed = [[zero; TO]; TO];
    for (transformed, row) in transformed.iter_mut().zip(rows) {
        *transformed = transform(row);
    }
    transformed
}

/// Loads up to a vector's worth of values (missing lanes are zero).
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    if values.len() == S::F32_LANES {
        let (vectors, _) = S::as_simd_f32s(values);
        vectors[0]
    } else {
        simd.partial_load_f32s(values)
    }
}

#[inline(always)]
fn store<S: Simd>(simd: S, values: &mut [f32], vector: S::f32s) {
    if values.len() == S::F32_LANES {
        let (vectors, _) = S::as_mut_simd_f32s(values);
        vectors[0] = vector;
    } else {
        simd.partial_store_f32s(values, vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in [-1, 1).
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next(&mut state)).collect()
    }

    /// One tile, channel by channel: the three transforms with a product a frequency between them.
    struct Tile<'a> {
        patch: &'a [f32],
        taps: &'a [f32],
        channels: usize,
    }

    impl WithSimd for Tile<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let channels = self.channels;
            let mut input = vec![0.0; FREQUENCIES * channels];
            let mut kernels = vec![0.0; FREQUENCIES * channels];
            let patch = std::array::from_fn(|index| &self.patch[index * channels..][..channels]);
            let frequency_stride = channels;
            InputTransform { patch, scale: 0.5, transformed: &mut input, frequency_stride }.with_simd(simd);
            KernelTransform { taps: self.taps, channels, transformed: &mut kernels, frequency_stride }
                .with_simd(simd);
            let products: Vec<f32> = input.iter().zip(&kernels).map(|(x, w)| x * w).collect();
            let mut sums = vec![0.0; 16 * channels];
            OutputTransform { products: &products, frequency_stride, channels, sums: &mut sums }
                .with_simd(simd);
            sums
        }
    }

    fn check(instructions: &str, run: impl Fn(Tile) -> Vec<f32>) {
        for channels in [1, 4, 16, 19, 64] {
            let (patch, taps) = (values(FREQUENCIES * channels, 1), values(9 * channels, 2));
            let sums = run(Tile { patch: &patch, taps: &taps, channels });
            for (at, &sum) in sums.iter().enumerate() {
                let (position, channel) = (at / channels, at % channels);
                let (mut expected, mut magnitude) = (0f64, 0f64);
                for tap in 0..9 {
                    let (y, x) = (position / 4 + tap / 3, position % 4 + tap % 3);
                    let value = f64::from(patch[(6 * y + x) * channels + channel]) * 0.5;
                    let product = value * f64::from(taps[tap * channels + channel]);
                    expected += product;
                    magnitude += product.abs();
                }
                // Rows of the transforms sum to at most 4.5 (input), 1.2 (kernel) and 6.2 (output) in magnitude, each
                // applied in both directions, to values below 1/2 and 1: no intermediate exceeds 4.5²/2 · 1.2² · 6.2²
                // ≈ 560. Some forty roundings of 2⁻²⁴ at random signs add up to about √40 · 560 · 2⁻²⁵ ≈ 1e-4 at
                // worst; the sums that occur are far smaller, and so is the bound.
                let error = (f64::from(sum) - expected).abs();
                assert!(error <= 2e-5, "{instructions}, {channels} channels, {at}: {error} of {magnitude}");
            }
        }
    }

    #[test]
    fn transforms_compute_the_convolution_with_every_instruction_set() {
        check("scalar", |tile| tile.with_simd(pulp::Scalar::new()));
        #[cfg(target_arch = "x86_64")]
        {
            use pulp::x86::{V3, V4};
            if let Some(simd) = V3::try_new() {
                check("AVX2", |tile| simd.vectorize(|| tile.with_simd(simd)));
            }
            if let Some(simd) = V4::try_new() {
                check("AVX-512", |tile| simd.vectorize(|| tile.with_simd(simd)));
            }
        }
        check("best", |tile| pulp::Arch::new().dispatch(tile));
    }
}
