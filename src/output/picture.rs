//! Pictures of explanations.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError, Rgb, RgbImage};

use super::colour_map::colour;
use super::explanation::check_shape;
use super::{Explanation, OutputError, Rendering};

/// Draws a signal in colour, as x / (2 · max|x|) + 0.5 with the maximum over all channels: zero is mid grey.
///
/// `values` are 3 × `height` × `width`, channels R, G, B, in any unit. Values that are not finite are drawn as zero
/// (NaN) or as the extreme (infinities).
///
/// # Errors
/// [`OutputError::Shape`] when the number of values does not fit.
pub fn signal_picture(values: &[f32], height: usize, width: usize) -> Result<RgbImage, OutputError> {
    check_shape(values.len(), height, width)?;
    let largest = largest_magnitude(values.iter().map(|&value| f64::from(value)));
    let level = |value: f32| ((relative(f64::from(value), largest) / 2.0 + 0.5) * 255.0).round() as u8;
    let [red, green, blue] = channels(values);
    let pixels = red.iter().zip(green).zip(blue).map(|((&r, &g), &b)| Rgb([level(r), level(g), level(b)]));
    Ok(picture_of(pixels, height, width))
}

/// Draws an attribution as a heat map: with v the sum over the channels, the colour is that of
/// sign(v) · (|v| / max|v|)^`gamma` on a diverging, perceptually uniform map; red is positive, blue negative, white zero.
///
/// `values` are 3 × `height` × `width`, in any unit, or the `height` × `width` sums themselves. Values that are not
/// finite are drawn as in [`signal_picture`].
///
/// # Errors
/// [`OutputError::Shape`] when the number of values does not fit, [`OutputError::InvalidGamma`] when `gamma` is not a
/// finite number above 0.
pub fn heat_map_picture(
    values: &[f32],
    height: usize,
    width: usize,
    gamma: f64,
) -> Result<RgbImage, OutputError> {
    let pixels = intensities(values, height, width, gamma)?.into_iter().map(colour);
    Ok(picture_of(pixels, height, width))
}

/// sign(v) · (|v| / max|v|)^`gamma` of every pixel, in [−1, 1]; values and errors as in [`heat_map_picture`].
pub(super) fn intensities(
    values: &[f32],
    height: usize,
    width: usize,
    gamma: f64,
) -> Result<Vec<f64>, OutputError> {
    check_gamma(gamma)?;
    let sums: Vec<f64> = if Some(values.len()) == height.checked_mul(width) {
        check_shape(values.len().saturating_mul(3), height, width)?;
        values.iter().map(|&sum| f64::from(sum)).collect()
    } else {
        check_shape(values.len(), height, width)?;
        channel_sums(values)
    };
    let largest = largest_magnitude(sums.iter().copied());
    let intensity = |sum| {
        let share = relative(sum, largest);
        share.signum() * share.abs().powf(gamma)
    };
    Ok(sums.into_iter().map(intensity).collect())
}

/// Draws an explanation the way its [`Rendering`] says.
///
/// # Errors
/// As in [`signal_picture`] and [`heat_map_picture`].
pub fn picture(explanation: &Explanation, gamma: f64) -> Result<RgbImage, OutputError> {
    let Explanation { values, height, width, .. } = explanation;
    match explanation.rendering {
        Rendering::Signal => signal_picture(values, *height, *width),
        Rendering::HeatMap => heat_map_picture(values, *height, *width, gamma),
    }
}

/// Encodes a picture as PNG. Fast compression: explanations hold too much fine detail for more effort to pay.
pub(super) fn png(picture: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive).write_image(
        picture.as_raw(),
        picture.width(),
        picture.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes)
}

/// # Errors
/// [`OutputError::InvalidGamma`] unless `gamma` is a finite number above 0.
pub(super) fn check_gamma(gamma: f64) -> Result<(), OutputError> {
    if gamma.is_finite() && gamma > 0.0 { Ok(()) } else { Err(OutputError::InvalidGamma { gamma }) }
}

fn channels(values: &[f32]) -> [&[f32]; 3] {
    let (red, others) = values.split_at(values.len() / 3);
    let (green, blue) = others.split_at(others.len() / 2);
    [red, green, blue]
}

/// The sums over the channels of a heat map, rounded as [`rounded`] says.
pub(super) fn channel_sums(values: &[f32]) -> Vec<f64> {
    let [red, green, blue] = channels(values);
    // In float64 the sum of three float32 values neither overflows nor loses subnormals.
    let sum = |((&r, &g), &b): ((&f32, &f32), &f32)| f64::from(r) + f64::from(g) + f64::from(b);
    red.iter().zip(green).zip(blue).map(sum).map(rounded).collect()
}

/// The largest finite magnitude, 0 where there is none.
fn largest_magnitude(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).filter(|magnitude| magnitude.is_finite()).fold(0.0, f64::max)
}

/// A sum rounded as a device rounds it that sums itself, so that a picture does not depend on who summed.
fn rounded(sum: f64) -> f64 {
    let single = f64::from(sum as f32);
    // Beyond float32, or among its subnormals, the device has scaled before.
    if single.is_finite() && single.abs() >= f64::from(f32::MIN_POSITIVE) { single } else { sum }
}

/// `value` in units of `largest`, in [−1, 1]. Float64 holds the quotient of any two float32 values without loss.
fn relative(value: f64, largest: f64) -> f64 {
    if value.is_infinite() {
        value.signum()
    } else if value.is_nan() || largest == 0.0 {
        0.0
    } else {
        value / largest
    }
}

fn picture_of(pixels: impl Iterator<Item = Rgb<u8>>, height: usize, width: usize) -> RgbImage {
    // Both fit: `check_shape` has seen them.
    let mut picture = RgbImage::new(width as u32, height as u32);
    for (place, pixel) in picture.pixels_mut().zip(pixels) {
        *place = pixel;
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREY: Rgb<u8> = Rgb([128, 128, 128]);

    /// Two pixels in a row: one value each for R, G, B of the first, then of the second.
    fn two_pixels(first: [f32; 3], second: [f32; 3]) -> [f32; 6] {
        [first[0], second[0], first[1], second[1], first[2], second[2]]
    }

    #[test]
    fn signals_are_centred_on_grey_and_scaled_by_the_largest_magnitude() {
        for scale in [1.0, 1e38, 1e-40, f32::MIN_POSITIVE] {
            let values = two_pixels([2.0 * scale, -2.0 * scale, 0.0], [scale, -scale, 0.5 * scale]);
            let picture = signal_picture(&values, 1, 2).unwrap();
            assert_eq!(picture.get_pixel(0, 0), &Rgb([255, 0, 128]), "scale {scale:e}");
            // 255 · (0.75, 0.25, 0.625) = 191.25, 63.75, 159.375; 1e-40 is a subnormal of 17 bits, exact enough.
            assert_eq!(picture.get_pixel(1, 0), &Rgb([191, 64, 159]), "scale {scale:e}");
        }
    }

    #[test]
    fn heat_maps_sum_channels_and_keep_signs() {
        for scale in [1.0, 1.1e38, 1e-40] {
            let values = two_pixels([3.0 * scale, scale, 0.0], [-scale, scale, -scale]);
            let picture = heat_map_picture(&values, 1, 2, 0.5).unwrap();
            assert_eq!(picture.get_pixel(0, 0), &colour(1.0), "scale {scale:e}");
            assert_eq!(
                picture.get_pixel(1, 0),
                &colour(-0.5),
                "scale {scale:e}: (1/4)^0.5 of the negative end"
            );
        }
    }

    #[test]
    fn sums_beyond_float32_do_not_overflow() {
        let values = two_pixels([f32::MAX; 3], [-f32::MAX; 3]);
        let picture = heat_map_picture(&values, 1, 2, 1.0).unwrap();
        assert_eq!(picture.get_pixel(0, 0), &colour(1.0));
        assert_eq!(picture.get_pixel(1, 0), &colour(-1.0));
    }

    #[test]
    fn nothing_to_show_is_the_neutral_colour() {
        let zeros = [0.0; 6];
        assert!(signal_picture(&zeros, 2, 1).unwrap().pixels().all(|pixel| *pixel == GREY));
        assert!(heat_map_picture(&zeros, 2, 1, 0.5).unwrap().pixels().all(|pixel| *pixel == colour(0.0)));
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic_nor_spoil_the_others() {
        let values = two_pixels([f32::NAN, f32::INFINITY, f32::NEG_INFINITY], [1.0, -1.0, 0.5]);
        let picture = signal_picture(&values, 1, 2).unwrap();
        assert_eq!(picture.get_pixel(0, 0), &Rgb([128, 255, 0]));
        assert_eq!(picture.get_pixel(1, 0), &Rgb([255, 0, 191]));
        let picture = heat_map_picture(&values, 1, 2, 0.5).unwrap();
        assert_eq!(picture.get_pixel(0, 0), &colour(0.0));
        assert_eq!(picture.get_pixel(1, 0), &colour(1.0));
        heat_map_picture(&[f32::NAN; 3], 1, 1, 0.5).unwrap();
    }

    #[test]
    fn rows_and_columns_are_not_swapped() {
        let mut values = [0.0; 3 * 2 * 3];
        values[5] = 1.0; // R, row 1, column 2
        let picture = signal_picture(&values, 2, 3).unwrap();
        assert_eq!(picture.dimensions(), (3, 2));
        assert_eq!(picture.get_pixel(2, 1), &Rgb([255, 128, 128]));
    }

    #[test]
    fn wrong_sizes_and_gammas_are_refused() {
        for (values, height, width) in [(6, 1, 1), (0, 0, 0), (0, 0, 5), (3, usize::MAX, 2)] {
            let values = vec![0.0; values];
            assert!(matches!(signal_picture(&values, height, width), Err(OutputError::Shape { .. })));
        }
        for gamma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                heat_map_picture(&[0.0; 3], 1, 1, gamma),
                Err(OutputError::InvalidGamma { .. })
            ));
        }
    }

    #[test]
    fn png_is_lossless() {
        let drawn = signal_picture(&[0.3, -0.2, 0.9, 0.1, 0.0, -1.0], 2, 1).unwrap();
        let decoded = image::load_from_memory(&png(&drawn).unwrap()).unwrap();
        assert_eq!(decoded.to_rgb8(), drawn);
    }
}
