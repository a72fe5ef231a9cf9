//! Σxxᵀ: products of a layer's input with itself, in short float32 products added up in float64.
//!
//! A convolution needs its input map times the map shifted by each of the [`LAGS`], and the same along its border
//! ([`Lags`]); see `shifted.rs` for the products. A dense layer needs one triangle, see `triangle.rs`. Both subtract a
//! *pilot* c first, about the mean of each channel over the batch, because float32 sums of products of data far from
//! zero lose the covariance. With x̂ = x − c rounded to float32,
//!
//! Σ x\[p\] x\[p + d\]ᵀ = Σ x̂\[p\] x̂\[p + d\]ᵀ + c (Σ x\[p + d\])ᵀ + (Σ x\[p\] − N c) cᵀ
//!
//! up to the rounding of x̂, where the sums on the right are taken in float64 of the data as it is: an offset of the data
//! then leaves the covariance alone.

use super::shifted::{self, Borders, View};
use super::triangle;
use crate::backend::cpu::convolution::ScaledMaps;
use crate::backend::cpu::workspace::Workspace;
use crate::backend::{LAGS, Lags, SecondMoments};

/// Adds Σxxᵀ of a batch: of the input maps of a convolution, or of the inputs \[images, inputs\] of a dense layer. The
/// maps' scales are one.
///
/// The sums depend on the batch alone, not on the number of threads of the current pool.
///
/// # Panics
/// When the sums are those of a layer with other inputs.
pub fn add(second: &mut SecondMoments, input: ScaledMaps, workspace: &Workspace) {
    debug_assert!(input.scales.iter().all(|&scale| scale == 1.0), "second moments are of unscaled maps");
    if input.maps.len() == 0 {
        return;
    }
    match second {
        SecondMoments::Convolution(lags) => add_maps(lags, input, workspace),
        SecondMoments::Dense(sums) => {
            triangle::add(sums, input.values, input.maps.image_len(), workspace);
        }
    }
}

/// Adds the products of a batch of maps.
fn add_maps(lags: &mut Lags, input: ScaledMaps, workspace: &Workspace) {
    let map = View::of_maps(input);
    let plane = map.channels * map.channels;
    assert_eq!(lags.map.len(), LAGS.len() * plane, "second moments of other channels");
    let borders = Borders::of(&map);
    let pilot: Vec<f32> = borders.means();
    shifted::add(&mut lags.map, &map, &borders, &pilot, workspace);
    let strips = [
        (&mut lags.top, map.top()),
        (&mut lags.bottom, map.bottom()),
        (&mut lags.left, map.left()),
        (&mut lags.right, map.right()),
    ];
    for (sums, strip) in strips {
        shifted::add(sums, &strip, &Borders::of(&strip), &pilot, workspace);
    }
    let corners = [map.top().left(), map.top().right(), map.bottom().left(), map.bottom().right()];
    for (sums, corner) in lags.corners.chunks_exact_mut(plane).zip(corners) {
        shifted::add(sums, &corner, &Borders::of(&corner), &pilot, workspace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::tiles::Maps;
    use crate::backend::moments::plain::{self, Map};
    use crate::threads::Threads;

    /// Rounding of float32, relative.
    const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

    /// Values about `offset` with a standard deviation of one; half of the channels only are shifted.
    fn values(maps: Maps, offset: f32, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let shift = |index: usize| if (index % maps.channels).is_multiple_of(2) { offset } else { 0.0 };
        // A sum of three numbers of variance 1/12 each.
        (0..maps.len()).map(|index| shift(index) + 2.0 * (uniform() + uniform() + uniform())).collect()
    }

    fn convolution(channels: usize) -> SecondMoments {
        SecondMoments::Convolution(Lags::zeros(channels))
    }

    fn add_batch(second: &mut SecondMoments, values: &[f32], maps: Maps) {
        let scales = vec![1.0; maps.images];
        add(second, ScaledMaps { values, maps, scales: &scales }, &Workspace::default());
    }

    fn lags(second: SecondMoments) -> Lags {
        match second {
            SecondMoments::Convolution(lags) => lags,
            SecondMoments::Dense(_) => unreachable!("a convolution's"),
        }
    }

    fn fields(lags: &Lags) -> [(&'static str, &[f64]); 6] {
        [
            ("map", &lags.map),
            ("top", &lags.top),
            ("bottom", &lags.bottom),
            ("left", &lags.left),
            ("right", &lags.right),
            ("corners", &lags.corners),
        ]
    }

    /// The same sums, plainly, of each value changed by `change(channel, value)`.
    fn plainly(values: &[f32], maps: Maps, change: impl Fn(usize, f64) -> f64) -> Lags {
        let mut lags = Lags::zeros(maps.channels);
        for image in values.chunks_exact(maps.image_len()) {
            let changed: Vec<f64> = (0..image.len())
                .map(|index| change(index % maps.channels, f64::from(image[index])))
                .collect();
            let Maps { height, width, channels, .. } = maps;
            plain::add(&mut lags, Map { values: &changed, height, width, channels });
        }
        lags
    }

    fn means(values: &[f32], channels: usize) -> Vec<f64> {
        let mut means = vec![0.0; channels];
        for x in values.chunks_exact(channels) {
            means.iter_mut().zip(x).for_each(|(mean, &x)| *mean += f64::from(x));
        }
        let positions = (values.len() / channels) as f64;
        means.iter().map(|sum| sum / positions).collect()
    }

    #[test]
    fn products_of_maps_agree_with_float64_within_the_rounding_bound() {
        let shapes = [
            (1, 1, 1, 1),
            (2, 1, 1, 3),
            (3, 1, 5, 2),
            (2, 5, 1, 3),
            (5, 2, 2, 7),
            (1, 7, 13, 33),
            (33, 7, 13, 3),
            (2, 70, 75, 3),
            (1, 1, 5000, 1),
            (1, 5000, 1, 2),
            (2, 3, 4, 130),
            (3, 2, 3, 300),
            (2, 4, 3, 520),
        ];
        for (images, height, width, channels) in shapes {
            let maps = Maps { images, height, width, channels };
            for offset in [0.0, 100.0] {
                let values = values(maps, offset, (images * height * width * channels) as u64);
                let mut second = convolution(channels);
                add_batch(&mut second, &values, maps);
                let got = lags(second);
                let expected = plainly(&values, maps, |_, x| x);
                // Both factors are rounded once. A sequential float32 sum of n products errs by n · 2⁻²⁴ of Σ|x̂ x̂'| at
                // most. The float64 sums are of all of x.
                let pilot: Vec<f64> =
                    means(&values, channels).into_iter().map(|mean| f64::from(mean as f32)).collect();
                let centred = plainly(&values, maps, |channel, x| (x - pilot[channel]).abs());
                let raw = plainly(&values, maps, |_, x| x.abs());
                let positions = images * height * width;
                let single = (positions.min(4096) + 3) as f64 * UNIT;
                let double = 8.0 * positions as f64 * f64::EPSILON;
                for ((name, got), ((_, expected), ((_, centred), (_, raw)))) in fields(&got)
                    .into_iter()
                    .zip(fields(&expected).into_iter().zip(fields(&centred).into_iter().zip(fields(&raw))))
                {
                    for index in 0..got.len() {
                        let bound = single * centred[index] + double * raw[index];
                        let error = (got[index] - expected[index]).abs();
                        assert!(
                            error <= bound,
                            "{images}×{height}×{width}×{channels}, offset {offset}, {name}[{index}]: {} against {}",
                            got[index],
                            expected[index]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_offset_of_a_hundred_standard_deviations_leaves_the_covariance() {
        let maps = Maps { images: 3, height: 56, width: 57, channels: 4 };
        let mut second = convolution(maps.channels);
        let mut expected = Lags::zeros(maps.channels);
        let batches = 20;
        for batch in 0..batches {
            let values = values(maps, 100.0, batch);
            add_batch(&mut second, &values, maps);
            let more = plainly(&values, maps, |_, x| x).map;
            expected.map.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        // The standard deviations are one, and sums that the means follow from are exact: an error of Σxxᵀ is the
        // covariance's times the number of positions.
        let positions = (batches as usize * maps.images * maps.height * maps.width) as f64;
        for (index, (got, expected)) in lags(second).map.iter().zip(&expected.map).enumerate() {
            let error = (got - expected).abs() / positions;
            assert!(error <= 1e-6, "{index}: {error:e}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let shapes = [(2, 70, 75, 3), (5, 14, 15, 200), (3, 3, 4, 520)];
        let batches: Vec<_> = shapes
            .into_iter()
            .map(|(images, height, width, channels)| {
                let maps = Maps { images, height, width, channels };
                (maps, values(maps, 3.0, 1), values(maps, 5.0, 2))
            })
            .collect();
        let with_threads = |threads: usize| -> Vec<SecondMoments> {
            let threads = Threads::new(threads, "test").expect("threads");
            threads.install(|| {
                let of = |mut second: SecondMoments, maps: Maps, first: &[f32], then: &[f32]| {
                    add_batch(&mut second, first, maps);
                    add_batch(&mut second, then, maps);
                    second
                };
                let mut all = Vec::new();
                for (maps, first, then) in &batches {
                    all.push(of(convolution(maps.channels), *maps, first, then));
                }
                let (dense, inputs) = (&batches[2].1[..4 * 777], 777);
                let maps = Maps { images: 4, height: 1, width: 1, channels: inputs };
                all.push(of(SecondMoments::Dense(vec![0.0; inputs * (inputs + 1) / 2]), maps, dense, dense));
                all
            })
        };
        let alone = with_threads(1);
        for threads in [2, 5] {
            assert!(with_threads(threads) == alone, "{threads} threads");
        }
    }

    #[test]
    fn products_of_dense_inputs_agree_with_float64_within_the_rounding_bound() {
        for (images, inputs) in [(1, 1), (1, 40), (2, 3), (7, 33), (33, 129), (5, 1100), (4100, 3)] {
            for offset in [0.0, 100.0] {
                let maps = Maps { images, height: 1, width: 1, channels: inputs };
                let mut x = values(maps, offset, (images * inputs) as u64);
                // An input that is never active, and one that is now and then.
                for (index, x) in x.iter_mut().enumerate() {
                    if index % inputs % 5 == 1 || index % 7 == 2 {
                        *x = 0.0;
                    }
                }
                let mut second = SecondMoments::Dense(vec![0.5; inputs * (inputs + 1) / 2]);
                add_batch(&mut second, &x, maps);
                let SecondMoments::Dense(got) = second else { unreachable!("a dense layer's") };
                let pilot: Vec<f64> = means(&x[..images.min(4096) * inputs], inputs)
                    .iter()
                    .map(|&mean| f64::from(mean as f32))
                    .collect();
                for row in 0..inputs {
                    for column in 0..=row {
                        let (mut sum, mut centred, mut raw) = (0.5, 0.0, 0.5);
                        for x in x.chunks_exact(inputs) {
                            let [a, b] = [x[row], x[column]].map(f64::from);
                            sum += a * b;
                            centred += ((a - pilot[row]) * (b - pilot[column])).abs();
                            raw += (a * b).abs();
                        }
                        // The four images beyond 4096 have a pilot of their own; they need a thousandth of their share.
                        let single = (images + 3) as f64 * UNIT;
                        let bound = single * centred + 8.0 * images as f64 * f64::EPSILON * raw;
                        let got = got[row * (row + 1) / 2 + column];
                        assert!(
                            (got - sum).abs() <= bound,
                            "{images}×{inputs}, offset {offset} at {row},{column}: {got} against {sum}"
                        );
                    }
                }
            }
        }
    }
}
