//! Random crops, resized and sometimes mirrored: torchvision's `RandomResizedCrop` and `RandomHorizontalFlip`, each
//! determined by its place alone.

use std::ops::Range;

use super::Rgb8;
use super::resize::{ResizeError, Span, checked_size, resample, validate};
use crate::random::{draw, scatter};

/// Share of the image's area that a crop has, from and up to.
const AREA: (f64, f64) = (0.08, 1.0);

/// Width of a crop over its height, from and up to.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// Boxes that are drawn before the central one is taken.
const ATTEMPTS: u64 = 10;

/// Random crops of an image, of `size` × `size` pixels each: those with the numbers `crops`.
///
/// A crop has the distribution of torchvision's `RandomResizedCrop(size, scale=(0.08, 1), ratio=(3/4, 4/3))`, antialiased
/// bilinear, followed by `RandomHorizontalFlip(0.5)`: the box is cut out first and then resampled, so nothing beyond it
/// is seen. It depends on `seed`, `image_number`, its own number and the image, and on nothing else:
///
/// - Let mix be the output function of SplitMix64 (Steele, Lea & Flood 2014), increment included, and rₖ the outputs, from
///   k = 0, of SplitMix64 seeded with mix(mix(mix(seed) ⊕ image number) ⊕ crop number). All are 64 bits.
/// - uₖ = ⌊rₖ / 2¹¹⌋ · 2⁻⁵³ is uniform in \[0, 1); ⌊rₖ · n / 2⁶⁴⌋ is uniform among n values (to n / 2⁶⁴).
/// - The crop is mirrored left to right where u₀ < 1/2.
/// - Attempts t = 0 to 9: area = width · height · (0.08 + 0.92 · u₄ₜ₊₁), ratio = exp(ln 3/4 + u₄ₜ₊₂ · (ln 4/3 − ln 3/4));
///   the box has the width √(area · ratio) and the height √(area / ratio), rounded to whole pixels, halves to even. The first
///   one that has pixels and fits is taken, its top row uniform by r₄ₜ₊₃, its left column by r₄ₜ₊₄.
/// - Where none fits, the largest central box whose ratio is within 3/4 and 4/3, its side rounded in the same way and half
///   of its margins rounded down.
///
/// # Errors
/// [`ResizeError`]: a size that is 0 or beyond [`MAX_CROP`](super::resize::MAX_CROP), or an image that is empty or inconsistent.
pub fn random_crops(
    image: &Rgb8,
    size: u32,
    seed: u64,
    image_number: u64,
    crops: Range<u32>,
) -> Result<Vec<Rgb8>, ResizeError> {
    validate(size, size)?;
    let (width, height) = checked_size(image)?;
    crops
        .map(|crop| {
            let stream = stream(seed, image_number, crop);
            let place = CropBox::draw(width, height, stream);
            let columns = Span::cut_out(place.left, place.width);
            let rows = Span::cut_out(place.top, place.height);
            let mut crop = resample(image, columns, rows, size)?;
            if uniform(draw(stream, 0)) < 0.5 {
                mirror(&mut crop);
            }
            Ok(crop)
        })
        .collect()
}

/// The seed of a crop's own random numbers.
fn stream(seed: u64, image_number: u64, crop: u32) -> u64 {
    scatter(scatter(scatter(seed) ^ image_number) ^ u64::from(crop))
}

/// The box of a crop, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CropBox {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl CropBox {
    fn draw(width: u32, height: u32, stream: u64) -> Self {
        let (lowest, highest) = (RATIO.0.ln(), RATIO.1.ln());
        for attempt in 0..ATTEMPTS {
            let drawn = |number: u64| draw(stream, 4 * attempt + number);
            let share = AREA.0 + (AREA.1 - AREA.0) * uniform(drawn(1));
            let area = f64::from(width) * f64::from(height) * share;
            let ratio = (lowest + uniform(drawn(2)) * (highest - lowest)).exp();
            let crop_width = (area * ratio).sqrt().round_ties_even() as u32;
            let crop_height = (area / ratio).sqrt().round_ties_even() as u32;
            if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
                return Self {
                    left: among(drawn(4), width - crop_width + 1),
                    top: among(drawn(3), height - crop_height + 1),
                    width: crop_width,
                    height: crop_height,
                };
            }
        }
        Self::central(width, height)
    }

    /// The largest box in the middle whose ratio is allowed.
    fn central(width: u32, height: u32) -> Self {
        let (wide, high) = (f64::from(width), f64::from(height));
        let (mut crop_width, mut crop_height) = (width, height);
        if wide / high < RATIO.0 {
            crop_height = (wide / RATIO.0).round_ties_even() as u32;
        } else if wide / high > RATIO.1 {
            crop_width = (high * RATIO.1).round_ties_even() as u32;
        }
        Self {
            left: (width - crop_width) / 2,
            top: (height - crop_height) / 2,
            width: crop_width,
            height: crop_height,
        }
    }
}

/// In \[0, 1).
fn uniform(bits: u64) -> f64 {
    (bits >> 11) as f64 * 2f64.powi(-53)
}

/// One of 0 to `count` − 1.
fn among(bits: u64, count: u32) -> u32 {
    ((u128::from(bits) * u128::from(count)) >> 64) as u32
}

/// Exchanges left and right.
fn mirror(image: &mut Rgb8) {
    let (pixels, _) = image.pixels.as_chunks_mut::<3>();
    for row in pixels.chunks_exact_mut(image.width) {
        row.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Rgb8 {
        let pixels = (0..width * height * 3).map(|index| draw(99, index as u64) as u8).collect();
        Rgb8 { width, height, pixels }
    }

    /// Resizes in floating point, one axis after the other, rounding to 8 bits after each: Pillow's definition of
    /// antialiased bilinear, whose triangle is as wide as a target pixel, or as a source pixel where that is more.
    fn slow_resize(image: &Rgb8, size: usize) -> Rgb8 {
        let axis = |source: usize, target: usize, value: &dyn Fn(usize) -> f64| {
            let scale = source as f64 / size as f64;
            let centre = (target as f64 + 0.5) * scale;
            let (mut sum, mut weights) = (0.0, 0.0);
            for at in 0..source {
                let weight = 1.0 - ((at as f64 + 0.5 - centre) / scale.max(1.0)).abs();
                if weight > 0.0 {
                    sum += weight * value(at);
                    weights += weight;
                }
            }
            (sum / weights).round() as u8
        };
        let mut narrowed = Vec::new();
        for row in image.pixels.chunks(image.width * 3) {
            for x in 0..size {
                narrowed.extend((0..3).map(|c| axis(image.width, x, &|at| f64::from(row[at * 3 + c]))));
            }
        }
        let mut pixels = Vec::new();
        for y in 0..size {
            for sample in 0..size * 3 {
                pixels.push(axis(image.height, y, &|at| f64::from(narrowed[at * size * 3 + sample])));
            }
        }
        Rgb8 { width: size, height: size, pixels }
    }

    /// The box's pixels as an image of their own, exchanged left and right where that is asked for.
    fn cut(image: &Rgb8, place: CropBox, mirrored: bool) -> Rgb8 {
        let mut pixels = Vec::new();
        for y in place.top..place.top + place.height {
            for x in 0..place.width {
                let x = if mirrored { place.width - 1 - x } else { x } + place.left;
                let first = (y as usize * image.width + x as usize) * 3;
                pixels.extend(&image.pixels[first..first + 3]);
            }
        }
        Rgb8 { width: place.width as usize, height: place.height as usize, pixels }
    }

    fn is_mirrored(stream: u64) -> bool {
        draw(stream, 0) >> 63 == 0
    }

    #[test]
    fn boxes_are_those_of_the_documented_generator() {
        // Computed by hand in Python from the documentation of `random_crops`, one SplitMix64 output after the other.
        let cases = [
            ((500, 375), (0, 0, 0), [99, 158, 161, 146], true),
            ((500, 375), (0, 0, 1), [136, 155, 214, 220], false),
            ((500, 375), (0, 1, 0), [167, 29, 268, 219], false),
            ((500, 375), (7, 640_000, 99), [166, 42, 262, 308], true),
            ((64, 64), (u64::MAX, u64::MAX, u32::MAX), [5, 23, 41, 38], true),
            // Its fifth attempt is the first one that fits.
            ((100, 60), (3, 5, 39), [12, 3, 41, 43], true),
        ];
        for ((width, height), (seed, image, crop), [left, top, box_width, box_height], mirrored) in cases {
            let stream = stream(seed, image, crop);
            let expected = CropBox { left, top, width: box_width, height: box_height };
            assert_eq!(CropBox::draw(width, height, stream), expected);
            assert_eq!(is_mirrored(stream), mirrored);
        }
    }

    #[test]
    fn crops_are_what_cutting_out_mirroring_and_slow_resizing_give() {
        let mut mirrored_crops = 0;
        for (image_number, (width, height, size)) in [
            (60, 45, 16),
            (45, 61, 33),
            (7, 13, 20),
            (13, 5, 1),
            (3, 2, 64),
            (150, 40, 24),
            (1, 9, 8),
            (32, 32, 32),
        ]
        .into_iter()
        .enumerate()
        {
            let image = noise(width, height);
            let crops = random_crops(&image, size, 5, image_number as u64, 0..12).unwrap();
            for (number, crop) in (0..).zip(&crops) {
                let stream = stream(5, image_number as u64, number);
                let place = CropBox::draw(width as u32, height as u32, stream);
                let mirrored = is_mirrored(stream);
                mirrored_crops += u32::from(mirrored);
                let expected = slow_resize(&cut(&image, place, mirrored), size as usize);
                assert_eq!((crop.width, crop.height), (size as usize, size as usize));
                let differences = crop.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b));
                // Weights in fixed point round a grey level the other way here and there.
                assert!(differences.max() <= Some(1), "{width}×{height} to {size}, {place:?}");
            }
        }
        assert!((20..76).contains(&mirrored_crops), "{mirrored_crops} of 96");
    }

    #[test]
    fn mirroring_moves_whole_pixels_and_nothing_else() {
        for (width, height) in [(1, 3), (2, 2), (5, 4), (224, 3)] {
            let image = noise(width, height);
            let mut mirrored = image.clone();
            mirror(&mut mirrored);
            let whole = CropBox { left: 0, top: 0, width: width as u32, height: height as u32 };
            assert_eq!(mirrored, cut(&image, whole, true));
        }
    }

    #[test]
    fn a_crop_depends_on_its_own_numbers_alone() {
        let image = noise(40, 30);
        let all = random_crops(&image, 9, 1, 2, 0..50).unwrap();
        for (first, last) in [(0, 1), (13, 14), (7, 31), (49, 50), (20, 20)] {
            let some = random_crops(&image, 9, 1, 2, first..last).unwrap();
            assert_eq!(some, all[first as usize..last as usize]);
        }
        assert_ne!(all, random_crops(&image, 9, 2, 2, 0..50).unwrap());
        assert_ne!(all, random_crops(&image, 9, 1, 3, 0..50).unwrap());
        // Boxes can coincide; in fifty crops hardly any do.
        let same = (1..50).filter(|&index| all[index] == all[index - 1]).count();
        assert!(same < 3, "{same}");
    }

    #[test]
    fn images_of_a_few_pixels_and_thin_ones_have_crops() {
        let dot = Rgb8 { width: 1, height: 1, pixels: vec![7, 8, 9] };
        for crop in random_crops(&dot, 5, 0, 0, 0..20).unwrap() {
            assert!(crop.width == 5 && crop.pixels.chunks(3).all(|pixel| pixel == [7, 8, 9]));
        }
        // Nothing within the ratios fits into one column, so the middle is taken: 1 / (3/4) rounds to one pixel.
        for (width, height) in [(1, 1000), (1000, 1)] {
            let line = noise(width, height);
            let middle = line.pixels[499 * 3..500 * 3].to_vec();
            for crop in random_crops(&line, 3, 0, 0, 0..20).unwrap() {
                assert!(crop.pixels.chunks(3).all(|pixel| pixel == middle));
            }
        }
        // By the formulas at the end of torchvision's RandomResizedCrop.get_params: round(10 / 0.75) is 13, (100 - 13) // 2 is 43.
        let central = |width, height| CropBox::central(width, height);
        assert_eq!(central(10, 100), CropBox { left: 0, top: 43, width: 10, height: 13 });
        assert_eq!(central(101, 10), CropBox { left: 44, top: 0, width: 13, height: 10 });
        assert_eq!(central(9, 10), CropBox { left: 0, top: 0, width: 9, height: 10 });
    }

    #[test]
    fn impossible_sizes_and_broken_images_are_refused() {
        let image = noise(4, 4);
        assert!(matches!(random_crops(&image, 0, 0, 0, 0..1), Err(ResizeError::Zero { .. })));
        assert!(matches!(random_crops(&image, u32::MAX, 0, 0, 0..1), Err(ResizeError::Huge { .. })));
        let broken = Rgb8 { width: 4, height: 4, pixels: vec![0; 47] };
        assert!(matches!(random_crops(&broken, 4, 0, 0, 0..1), Err(ResizeError::Shape { .. })));
        let empty = Rgb8 { width: 0, height: 4, pixels: Vec::new() };
        assert!(matches!(random_crops(&empty, 4, 0, 0, 0..1), Err(ResizeError::Shape { .. })));
    }

    /// Pearson's statistic of counts against the probabilities of their bins; without bins that nothing can be in.
    fn chi_square(counts: &[usize], probabilities: &[f64]) -> (f64, usize) {
        let total: usize = counts.iter().sum();
        let mut statistic = 0.0;
        let mut bins = 0;
        for (&count, &probability) in counts.iter().zip(probabilities) {
            let expected = total as f64 * probability;
            // Pearson's approximation wants a handful in every bin; rarer ones only have to be rare.
            if expected < 10.0 {
                assert!((count as f64) < expected + 5.0 * expected.sqrt() + 3.0, "{count} for {expected}");
                continue;
            }
            statistic += (count as f64 - expected).powi(2) / expected;
            bins += 1;
        }
        (statistic, bins)
    }

    /// Within five standard deviations, √2ν, of the mean ν of a chi-square distribution.
    fn assert_distributed(counts: &[usize], probabilities: &[f64]) {
        let (statistic, bins) = chi_square(counts, probabilities);
        let freedom = (bins - 1) as f64;
        assert!(
            (statistic - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(),
            "{statistic} for {freedom}: {counts:?}"
        );
    }

    /// Draws of crops of a number of images, with one seed.
    fn streams(count: u32) -> impl Iterator<Item = u64> {
        (0..count).map(|index| stream(11, u64::from(index) % 100, index / 100))
    }

    /// torchvision's scale, and its ratio.
    const SHARES: (f64, f64) = (0.08, 1.0);
    const RATIOS: (f64, f64) = (0.75, 4.0 / 3.0);

    /// Bins of the crop's share of the area, and of the logarithm of its ratio.
    const BINS: usize = 12;

    fn bin(value: f64, (from, to): (f64, f64)) -> usize {
        // Rounding to whole pixels carries a few a hair beyond the end.
        ((value - from) / (to - from) * BINS as f64).clamp(0.0, BINS as f64 - 1.0) as usize
    }

    /// Which (share, logarithm of the ratio) fit: the box is no wider and no higher than the image.
    fn fits(share: f64, log_ratio: f64, image_ratio: f64) -> bool {
        share * log_ratio.exp() <= image_ratio && share <= log_ratio.exp() * (1.0 / image_ratio)
    }

    #[test]
    fn area_is_uniform_and_ratio_log_uniform_among_boxes_that_fit() {
        let logs = (RATIOS.0.ln(), RATIOS.1.ln());
        // So large that whole pixels do not matter.
        for (width, height) in [(4_000_000, 4_000_000), (5_000_000, 3_750_000), (2_000_000, 4_000_000)] {
            let image_ratio = f64::from(width) / f64::from(height);
            let mut counts = vec![0; BINS * BINS];
            for stream in streams(40_000) {
                let place = CropBox::draw(width, height, stream);
                let [box_width, box_height] = [place.width, place.height].map(f64::from);
                let share = box_width * box_height / (f64::from(width) * f64::from(height));
                counts[bin(share, SHARES) * BINS + bin((box_width / box_height).ln(), logs)] += 1;
            }
            // The share of every bin that fits, on a fine grid.
            let mut probabilities = vec![0.0; BINS * BINS];
            let fine = 40 * BINS;
            for i in 0..fine {
                for j in 0..fine {
                    let at = |index: usize, (from, to): (f64, f64)| {
                        from + (to - from) * (index as f64 + 0.5) / fine as f64
                    };
                    let (share, log_ratio) = (at(i, SHARES), at(j, logs));
                    if fits(share, log_ratio, image_ratio) {
                        probabilities[bin(share, SHARES) * BINS + bin(log_ratio, logs)] += 1.0;
                    }
                }
            }
            let fitting: f64 = probabilities.iter().sum();
            let none_fits = (1.0 - fitting / (fine * fine) as f64).powi(10);
            probabilities.iter_mut().for_each(|probability| *probability *= (1.0 - none_fits) / fitting);
            if none_fits > 1e-9 {
                // The narrow image alone: its middle is as wide as it is, of the ratio 3/4.
                probabilities[bin(image_ratio / RATIOS.0, SHARES) * BINS] += none_fits;
            }
            assert_distributed(&counts, &probabilities);
        }
    }

    #[test]
    fn places_are_uniform_and_flips_fair_and_both_independent() {
        let (width, height) = (5000, 3750);
        let mut counts = vec![0; BINS * BINS * 2];
        for stream in streams(60_000) {
            let place = CropBox::draw(width, height, stream);
            let [across, down] =
                [(place.left, width - place.width), (place.top, height - place.height)].map(|(at, last)| {
                    assert!(at <= last);
                    bin((f64::from(at) + 0.5) / f64::from(last + 1), (0.0, 1.0))
                });
            counts[(across * BINS + down) * 2 + usize::from(is_mirrored(stream))] += 1;
        }
        assert_distributed(&counts, &vec![1.0 / counts.len() as f64; counts.len()]);
    }
}
