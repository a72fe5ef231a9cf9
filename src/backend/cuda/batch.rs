//! A batch on its way into pinned memory: bytes as they are, normalised values scaled so that nothing overflows. Of what lies on
//! the device already, addresses.

use super::callers::{PixelFormat, check_stream};
use super::device::{CallersStream, Device, bytes_of};
use super::network::scaled;
use super::operators::exponent_above;
use super::options::Precision;
use super::params::VGGX_STORED_LOG2;
use super::plan::{Geometry, Input};
use crate::backend::{BackendError, Batch, Pixels};
use crate::parallel;

/// Refuses a batch that is not of the size it claims, or not where it claims to be.
pub(super) fn check(device: &Device, batch: &Batch) -> Result<(), BackendError> {
    let Batch { images, height, width, pixels } = *batch;
    let expected = [images, height, width, 3].iter().fold(1usize, |product, &n| product.saturating_mul(n));
    let got = match pixels {
        Pixels::Rgb8(pixels) => pixels.len(),
        Pixels::Normalised(values) => values.len(),
        Pixels::Device(pixels) => {
            check_stream(device, pixels.stream())?;
            return pixels.check(device, images, (height, width));
        }
    };
    if got == expected {
        Ok(())
    } else {
        Err(BackendError::BatchSize { got, expected, images, height, width })
    }
}

/// What a batch needs of a slot.
pub(super) fn geometry(batch: &Batch) -> Geometry {
    let input = match batch.pixels {
        Pixels::Rgb8(_) => Input::Rgb8,
        Pixels::Normalised(_) => Input::Normalised,
        Pixels::Device(pixels) => match pixels.format() {
            PixelFormat::Rgb8 => Input::DeviceRgb8,
            PixelFormat::Normalised => Input::DeviceNormalised,
        },
    };
    Geometry { images: batch.images, height: batch.height, width: batch.width, input }
}

/// The stream that a batch is written on.
pub(super) fn stream(batch: &Batch) -> Option<CallersStream> {
    match batch.pixels {
        Pixels::Device(pixels) => Some(pixels.stream()),
        Pixels::Rgb8(_) | Pixels::Normalised(_) => None,
    }
}

/// Writes images `first..first + count` of a batch, and zeros in place of those that lack to fill a part of `images`.
/// Behind them, at `scales`, go the largest magnitudes and exponents of normalised values. Returns for each of the
/// images whether all its values are finite; of those on the device, kernels say.
pub(super) fn fill(
    batch: &Batch,
    (first, count, images): (usize, usize, usize),
    precision: Precision,
    upload: &mut [u8],
    scales: usize,
) -> Vec<bool> {
    let values = batch.height * batch.width * 3;
    match batch.pixels {
        Pixels::Rgb8(pixels) => {
            let pixels = &pixels[first * values..][..count * values];
            let (to, rest) = upload[..images * values].split_at_mut(pixels.len());
            parallel::each(to.chunks_mut(1 << 20).zip(pixels.chunks(1 << 20)), |(to, from)| {
                to.copy_from_slice(from);
            });
            rest.fill(0);
            vec![true; count]
        }
        Pixels::Normalised(planes) => {
            let planes = &planes[first * values..][..count * values];
            let image_bytes = values * size_of::<f32>();
            let (to, behind) = upload.split_at_mut(scales);
            let (to, rest) = to[..images * image_bytes].split_at_mut(count * image_bytes);
            let pairs = to.chunks_exact_mut(image_bytes).zip(planes.chunks_exact(values));
            let written: Vec<(u32, i32, bool)> =
                parallel::map(pairs, |(to, from)| fill_image(from, precision, to));
            rest.fill(0);
            let mut largest: Vec<u32> = written.iter().map(|&(largest, _, _)| largest).collect();
            let mut exponents: Vec<i32> = written.iter().map(|&(_, exponent, _)| exponent).collect();
            largest.resize(images, 0);
            exponents.resize(images, 0);
            let list = images * size_of::<u32>();
            behind[..list].copy_from_slice(bytes_of(&largest));
            behind[list..2 * list].copy_from_slice(bytes_of(&exponents));
            written.into_iter().map(|(_, _, is_finite)| is_finite).collect()
        }
        Pixels::Device(pixels) => {
            let to = upload.as_chunks_mut::<8>().0.as_chunks_mut::<2>().0;
            for ([address, row_stride], source) in to.iter_mut().zip(pixels.sources((first, count, images))) {
                *address = source.address.to_ne_bytes();
                *row_stride = source.row_stride.to_ne_bytes();
            }
            vec![true; count]
        }
    }
}

/// Whether an image is finite whose largest magnitude, infinity and NaN being larger than all others, has these bits.
pub(super) fn is_finite(bits: u32) -> bool {
    bits < f32::INFINITY.to_bits()
}

/// Writes an image's values times a power of two that makes the largest as large as is stored; zeros where one is not
/// finite. Returns the bits of the largest that is stored, the exponent, and whether all are finite.
fn fill_image(from: &[f32], precision: Precision, to: &mut [u8]) -> (u32, i32, bool) {
    let to = to.as_chunks_mut::<4>().0;
    let is_finite = from.iter().all(|value| value.is_finite());
    let largest = from.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if !is_finite || largest == 0.0 {
        to.as_flattened_mut().fill(0);
        return (0, 0, is_finite);
    }
    let exponent = exponent_above(largest) - VGGX_STORED_LOG2;
    for (to, &value) in to.iter_mut().zip(from) {
        *to = scaled(value, -exponent).to_ne_bytes();
    }
    // Rounding keeps the order, so no stored value exceeds the largest one's.
    (precision.round(scaled(largest, -exponent)).to_bits(), exponent, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_images_are_scaled_each_and_filled_up() {
        let values = [1.0, -3.0, 0.5, f32::INFINITY, 0.0, 1.0, 0.0, 0.0, 0.0];
        let batch = Batch { images: 3, height: 1, width: 1, pixels: Pixels::Normalised(&values) };
        let mut upload = vec![0xff; 48 + 2 * 16];
        let finite = fill(&batch, (0, 3, 4), Precision::F16, &mut upload, 48);
        assert_eq!(finite, [true, false, true]);
        let word = |index: usize| [0, 1, 2, 3].map(|byte| upload[index * 4 + byte]);
        let stored: Vec<f32> = (0..12).map(|index| f32::from_ne_bytes(word(index))).collect();
        // 3 · 2^13 is the multiple below 2^15.
        assert_eq!(&stored[..3], [8192.0, -24576.0, 4096.0]);
        assert!(stored[3..].iter().all(|&value| value == 0.0));
        let largest: Vec<f32> = (12..16).map(|index| f32::from_ne_bytes(word(index))).collect();
        assert_eq!(largest, [24576.0, 0.0, 0.0, 0.0]);
        let exponents: Vec<i32> = (16..20).map(|index| i32::from_ne_bytes(word(index))).collect();
        assert_eq!(exponents, [-13, 0, 0, 0]);
    }

    #[test]
    fn extreme_images_are_scaled_exactly() {
        for value in [f32::MAX, f32::from_bits(1)] {
            let mut to = vec![0; 4];
            let (largest, exponent, is_finite) = fill_image(&[value], Precision::F32, &mut to);
            let stored = f64::from(f32::from_bits(largest));
            assert!(is_finite && (16384.0..32768.0).contains(&stored), "{stored}");
            assert_eq!(stored * 2f64.powi(exponent), f64::from(value));
        }
    }
}
