//! Σxxᵀ of a 3×3 convolution as thirteen products of its input with itself, shifted, and what lies at the border.

/// Lags (dy, dx) of [`Lags::map`], in its order: half of all differences of two taps of a 3×3 kernel; the others are
/// transposed.
pub const LAGS: [(isize, isize); 13] = [
    (0, 0),
    (0, 1),
    (0, 2),
    (1, -2),
    (1, -1),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, -2),
    (2, -1),
    (2, 0),
    (2, 1),
    (2, 2),
];

/// Taps of a convolution's kernel.
const TAPS: usize = 9;

/// Products of a map with itself, shifted: all that Σxxᵀ over the 3×3 patches consists of. With C input channels, x\[p\]
/// the channels at position p of an input map and nothing outside it, \[lag, C, C\] holds Σₚ x\[p\]\[c\] · x\[p + lag\]\[c'\].
#[derive(Clone, Debug, PartialEq)]
pub struct Lags {
    /// Over all p of the map, at the lags of [`LAGS`]: \[13, C, C\].
    pub map: Vec<f64>,
    /// Over the map's first row, lags (0, 0), (0, 1), (0, 2): \[3, C, C\].
    pub top: Vec<f64>,
    /// Over its last row, the same lags.
    pub bottom: Vec<f64>,
    /// Over its first column, lags (0, 0), (1, 0), (2, 0): \[3, C, C\].
    pub left: Vec<f64>,
    /// Over its last column, the same lags.
    pub right: Vec<f64>,
    /// At its corners top left, top right, bottom left, bottom right, lag (0, 0): \[4, C, C\].
    pub corners: Vec<f64>,
}

impl Lags {
    /// No positions yet, of maps with so many channels.
    pub fn zeros(channels: usize) -> Self {
        let products = |lags: usize| vec![0.0; lags * channels * channels];
        Lags {
            map: products(LAGS.len()),
            top: products(3),
            bottom: products(3),
            left: products(3),
            right: products(3),
            corners: products(4),
        }
    }

    /// Σxxᵀ over the 3×3 patches of all positions, \[9C, 9C\], rows and columns in the order of a neuron's weights:
    /// channel · 9 + tap.
    ///
    /// For taps t and u, Σ over output positions q of x\[q + t\] x\[q + u\]ᵀ is the product at lag u − t, over the p = q + t
    /// whose q lies on the map. Where t leaves the map upwards, no q puts it on the last row, and so on; the terms
    /// that are missing for it exist only at lags within that row or column.
    pub fn patches(&self, channels: usize) -> Vec<f64> {
        let depth = channels * TAPS;
        let plane = channels * channels;
        let mut patches = vec![0.0; depth * depth];
        for t in 0..TAPS {
            for u in t..TAPS {
                let (t_y, t_x) = (t as isize / 3 - 1, t as isize % 3 - 1);
                let lag = (u as isize / 3 - 1 - t_y, u as isize % 3 - 1 - t_x);
                // u ≥ t, so the lag is one of the thirteen.
                let Some(index) = LAGS.iter().position(|&known| known == lag) else { continue };
                let at = |values: &'_ [f64], lag: usize, c: usize, d: usize| {
                    values[lag * plane + c * channels + d]
                };
                let row = match t_y {
                    -1 => Some(&self.bottom),
                    1 => Some(&self.top),
                    _ => None,
                }
                .filter(|_| lag.0 == 0);
                // A lag within a column points down; of a row, t's tap is left of u's or the same.
                let column = match t_x {
                    -1 => Some(&self.right),
                    1 => Some(&self.left),
                    _ => None,
                }
                .filter(|_| lag.1 == 0);
                for c in 0..channels {
                    for d in 0..channels {
                        let mut sum = at(&self.map, index, c, d);
                        if let Some(row) = row {
                            sum -= at(row, lag.1 as usize, c, d);
                        }
                        if let Some(column) = column {
                            sum -= at(column, lag.0 as usize, c, d);
                        }
                        if row.is_some() && column.is_some() {
                            let corner = usize::from(t_y == -1) * 2 + usize::from(t_x == -1);
                            sum += at(&self.corners, corner, c, d);
                        }
                        let (i, j) = (c * TAPS + t, d * TAPS + u);
                        patches[i * depth + j] = sum;
                        patches[j * depth + i] = sum;
                    }
                }
            }
        }
        patches
    }
}

#[cfg(test)]
pub(in crate::backend) mod plain {
    //! The definition of [`Lags`], written plainly in float64.

    use super::{LAGS, Lags};

    /// A map \[height, width, channels\].
    #[derive(Clone, Copy)]
    pub struct Map<'a> {
        pub values: &'a [f64],
        pub height: usize,
        pub width: usize,
        pub channels: usize,
    }

    impl<'a> Map<'a> {
        /// The channels at a position, nothing outside the map.
        pub fn at(&self, y: isize, x: isize) -> Option<&'a [f64]> {
            let inside = |i: isize, extent: usize| usize::try_from(i).ok().filter(|&i| i < extent);
            let at = inside(y, self.height)? * self.width + inside(x, self.width)?;
            Some(&self.values[at * self.channels..][..self.channels])
        }
    }

    /// Adds the products of one map.
    pub fn add(lags: &mut Lags, map: Map) {
        let plane = map.channels * map.channels;
        let (last_y, last_x) = (map.height as isize - 1, map.width as isize - 1);
        for y in 0..=last_y {
            for x in 0..=last_x {
                let product = |sums: &mut [f64], index: usize, (dy, dx): (isize, isize)| {
                    let (Some(a), Some(b)) = (map.at(y, x), map.at(y + dy, x + dx)) else { return };
                    let sums = &mut sums[index * plane..][..plane];
                    for (sums, a) in sums.chunks_exact_mut(map.channels).zip(a) {
                        sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
                    }
                };
                for (index, lag) in LAGS.into_iter().enumerate() {
                    product(&mut lags.map, index, lag);
                }
                for along in 0..3 {
                    let (row, column) = ((0, along as isize), (along as isize, 0));
                    if y == 0 {
                        product(&mut lags.top, along, row);
                    }
                    if y == last_y {
                        product(&mut lags.bottom, along, row);
                    }
                    if x == 0 {
                        product(&mut lags.left, along, column);
                    }
                    if x == last_x {
                        product(&mut lags.right, along, column);
                    }
                }
                for (index, corner) in
                    [(0, 0), (0, last_x), (last_y, 0), (last_y, last_x)].into_iter().enumerate()
                {
                    if (y, x) == corner {
                        product(&mut lags.corners, index, (0, 0));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plain::{self, Map};
    use super::*;

    /// Σ over all positions of patch · patchᵀ, patches in the order of a neuron's weights.
    fn add_patches(sums: &mut [f64], map: Map) {
        let depth = map.channels * TAPS;
        for y in 0..map.height as isize {
            for x in 0..map.width as isize {
                let patch: Vec<f64> = (0..depth)
                    .map(|index| {
                        let (channel, tap) = (index / TAPS, (index % TAPS) as isize);
                        map.at(y + tap / 3 - 1, x + tap % 3 - 1).map_or(0.0, |channels| channels[channel])
                    })
                    .collect();
                for (sums, a) in sums.chunks_exact_mut(depth).zip(&patch) {
                    sums.iter_mut().zip(&patch).for_each(|(sum, b)| *sum += a * b);
                }
            }
        }
    }

    /// Whole numbers in −50..=50, so that every sum is exact.
    fn whole_numbers(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % 101) as f64 - 50.0
            })
            .collect()
    }

    #[test]
    fn sums_over_patches_follow_from_products_of_shifted_maps() {
        let every_size = (1..=4).flat_map(|height| (1..=4).map(move |width| (height, width)));
        let sizes: Vec<_> = every_size.chain([(1, 5), (5, 1), (3, 7), (7, 3), (9, 8)]).collect();
        for channels in [1, 2, 5] {
            let (mut all, mut all_expected) = (Lags::zeros(channels), vec![0.0; (channels * TAPS).pow(2)]);
            for (index, &(height, width)) in sizes.iter().enumerate() {
                let values = whole_numbers(height * width * channels, (channels * 100 + index) as u64);
                let map = Map { values: &values, height, width, channels };
                let (mut lags, mut expected) = (Lags::zeros(channels), vec![0.0; all_expected.len()]);
                plain::add(&mut lags, map);
                add_patches(&mut expected, map);
                assert_eq!(lags.patches(channels), expected, "{height}×{width}, {channels} channels");
                plain::add(&mut all, map);
                add_patches(&mut all_expected, map);
            }
            assert_eq!(all.patches(channels), all_expected, "all sizes together, {channels} channels");
        }
    }
}
