//! From whatever samples a decoder gives to 8-bit RGB: alpha over white, 16 bits rounded to 8, grey repeated.

use image::DynamicImage;

use super::Rgb8;

/// Brings any decoded image to 8-bit RGB.
///
/// Transparent parts show white, as on a page. 16-bit samples v become v/257 rounded to the nearest, after the
/// composition with white, so that nothing is rounded twice. Floats are taken as 0 to 1 and clipped.
pub(super) fn flatten(image: DynamicImage) -> Rgb8 {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = match image {
        DynamicImage::ImageRgb8(buffer) => buffer.into_raw(),
        DynamicImage::ImageLuma8(buffer) => each(buffer.as_raw(), |&[grey]: &[u8; 1]| [grey; 3]),
        DynamicImage::ImageLumaA8(buffer) => {
            each(buffer.as_raw(), |&[grey, alpha]: &[u8; 2]| [over_white_8(grey, alpha); 3])
        }
        DynamicImage::ImageRgba8(buffer) => each(buffer.as_raw(), |&[red, green, blue, alpha]: &[u8; 4]| {
            [red, green, blue].map(|colour| over_white_8(colour, alpha))
        }),
        DynamicImage::ImageLuma16(buffer) => each(buffer.as_raw(), |&[grey]: &[u16; 1]| [to_8_bit(grey); 3]),
        DynamicImage::ImageLumaA16(buffer) => {
            each(buffer.as_raw(), |&[grey, alpha]: &[u16; 2]| [over_white_16(grey, alpha); 3])
        }
        DynamicImage::ImageRgb16(buffer) => each(buffer.as_raw(), |colours: &[u16; 3]| colours.map(to_8_bit)),
        DynamicImage::ImageRgba16(buffer) => {
            each(buffer.as_raw(), |&[red, green, blue, alpha]: &[u16; 4]| {
                [red, green, blue].map(|colour| over_white_16(colour, alpha))
            })
        }
        other => each(other.into_rgba32f().as_raw(), |&[red, green, blue, alpha]: &[f32; 4]| {
            [red, green, blue].map(|colour| over_white_float(colour, alpha))
        }),
    };
    Rgb8 { width, height, pixels }
}

fn each<Sample, const N: usize>(samples: &[Sample], to_rgb: impl Fn(&[Sample; N]) -> [u8; 3]) -> Vec<u8> {
    let (pixels, _) = samples.as_chunks::<N>();
    let mut rgb = vec![0; pixels.len() * 3];
    for (target, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *target = to_rgb(pixel);
    }
    rgb
}

fn over_white_8(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    // At most 255, as it is a weighted mean of values up to 255.
    ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

fn over_white_16(colour: u16, alpha: u16) -> u8 {
    const MAX: u64 = 65_535;
    let (colour, alpha) = (u64::from(colour), u64::from(alpha));
    let weighted = colour * alpha + MAX * (MAX - alpha);
    const DIVISOR: u64 = MAX * 257;
    ((weighted + DIVISOR / 2) / DIVISOR) as u8
}

fn to_8_bit(sample: u16) -> u8 {
    ((u32::from(sample) + 128) / 257) as u8
}

fn over_white_float(colour: f32, alpha: f32) -> u8 {
    let alpha = alpha.clamp(0.0, 1.0);
    let value = colour.clamp(0.0, 1.0) * alpha + (1.0 - alpha);
    // A float-to-integer cast saturates and sends NaN to 0.
    (value * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_round_to_the_nearest() {
        for sample in 0..=u16::MAX {
            let exact = (f64::from(sample) / 257.0).round() as u8;
            assert_eq!(to_8_bit(sample), exact, "{sample}");
            assert_eq!(over_white_16(sample, u16::MAX), exact, "{sample}");
            assert_eq!(over_white_16(sample, 0), 255);
        }
    }

    #[test]
    fn alpha_shows_white_rounded_to_the_nearest() {
        for colour in 0..=255 {
            for alpha in 0..=255 {
                let share = f64::from(alpha) / 255.0;
                let exact = f64::from(colour) * share + 255.0 * (1.0 - share);
                assert!((f64::from(over_white_8(colour, alpha)) - exact).abs() <= 0.5 + 1e-9);
                let wide = over_white_16(u16::from(colour) * 257, u16::from(alpha) * 257);
                assert!((f64::from(wide) - exact).abs() <= 0.5 + 1e-9);
            }
        }
    }

    #[test]
    fn floats_are_clipped_and_nan_is_no_trouble() {
        assert_eq!(over_white_float(2.0, 1.0), 255);
        assert_eq!(over_white_float(-1.0, 1.0), 0);
        assert_eq!(over_white_float(0.5, 1.0), 128);
        assert_eq!(over_white_float(0.0, 0.0), 255);
        assert_eq!(over_white_float(f32::NAN, 1.0), 0);
    }
}
