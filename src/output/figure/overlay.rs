//! Heat maps over the image they speak of.

use crate::output::OutputError;
use crate::output::colour_map::colour;
use crate::output::picture::intensities;
use image::{Rgb, RgbImage};

/// How dark the darkest grey is, so that blue and red show on it, too.
const DARKEST: f64 = 64.0;

/// Lays a heat map over the image in grey: with v and `gamma` as in
/// [`heat_map_picture`](crate::output::picture::heat_map_picture), a pixel is a mixture of (1 − (|v| / max|v|)^`gamma`) parts
/// of its grey and the rest of the map's red or blue.
///
/// `values` are as there, of the image's size.
///
/// # Errors
/// As there.
pub fn overlay_picture(image: &RgbImage, values: &[f32], gamma: f64) -> Result<RgbImage, OutputError> {
    let (width, height) = image.dimensions();
    let shares = intensities(values, height as usize, width as usize, gamma)?;
    let mut picture = image.clone();
    for (pixel, share) in picture.pixels_mut().zip(shares) {
        let Rgb([red, green, blue]) = *pixel;
        // Luma of ITU-R BT.709.
        let luma = 0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue);
        let grey = DARKEST + luma * (255.0 - DARKEST) / 255.0;
        let over = colour(if share < 0.0 { -1.0 } else { 1.0 });
        let opacity = share.abs();
        *pixel = Rgb(over.0.map(|level| (grey + (f64::from(level) - grey) * opacity).round() as u8));
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_pixels_are_the_maps_colour_and_others_the_images_grey() {
        let image = RgbImage::from_fn(2, 2, |x, y| Rgb([(90 * x) as u8, (120 * y) as u8, 200]));
        let picture = overlay_picture(&image, &[1.0, -1.0, 0.0, 0.25], 0.5).unwrap();
        assert_eq!(picture.get_pixel(0, 0), &colour(1.0));
        assert_eq!(picture.get_pixel(1, 0), &colour(-1.0));
        // 64 + (0.7152 · 120 + 0.0722 · 200) · 191 / 255.
        let grey: f64 = 64.0 + (85.824 + 14.44) * 191.0 / 255.0;
        assert_eq!(picture.get_pixel(0, 1), &Rgb([grey.round() as u8; 3]));
        // Half of (0.25)^0.5.
        let grey: f64 = 64.0 + (19.134 + 85.824 + 14.44) * 191.0 / 255.0;
        let half = colour(1.0).0.map(|level| ((grey + f64::from(level)) / 2.0).round() as u8);
        assert_eq!(picture.get_pixel(1, 1), &Rgb(half));
        let planes = [0.5, -0.25, 1.0, 0.0, 0.5, -0.5, -1.0, 0.125, 0.0, -0.25, 0.0, 0.125];
        assert_eq!(overlay_picture(&image, &planes, 0.5).unwrap(), picture, "planes are summed");
        assert!(matches!(overlay_picture(&image, &[0.0; 5], 0.5), Err(OutputError::Shape { .. })));
    }
}
