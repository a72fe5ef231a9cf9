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
            let stream = scatter(scatter(scatter(seed) ^ image_number) ^ u64::from(crop));
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
