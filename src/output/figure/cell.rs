//! Pictures brought to the size of a cell.

use image::RgbImage;
use image::imageops::{FilterType, resize};

/// Below this side, in pixels, captions have no room over a column.
const LEAST_SIDE: u32 = 112;

/// The side of cells for pictures of a side, in pixels: the same, small ones enlarged by a whole number.
pub fn default_side(side: u32) -> u32 {
    let side = side.max(1);
    side * LEAST_SIDE.div_ceil(side)
}

/// A square picture of a side in pixels: pixels repeated where the side is a multiple of the picture's, so that each stays
/// what it is, else resampled (bilinear, antialiased).
pub fn fitted(picture: &RgbImage, side: u32) -> RgbImage {
    let is_whole = |own: u32| own > 0 && side.is_multiple_of(own);
    let filter = if is_whole(picture.width()) && is_whole(picture.height()) {
        FilterType::Nearest
    } else {
        FilterType::Triangle
    };
    if picture.dimensions() == (side, side) { picture.clone() } else { resize(picture, side, side, filter) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn small_pictures_are_enlarged_by_whole_numbers() {
        for (side, cell) in [(1, 112), (7, 112), (12, 120), (64, 128), (112, 112), (113, 113), (224, 224)] {
            assert_eq!(default_side(side), cell, "{side}");
        }
    }

    #[test]
    fn pixels_are_repeated() {
        let picture = RgbImage::from_fn(13, 13, |x, y| Rgb([x as u8 * 19, y as u8 * 17, (x * y) as u8]));
        let large = fitted(&picture, 39);
        for (x, y, pixel) in large.enumerate_pixels() {
            assert_eq!(pixel, picture.get_pixel(x / 3, y / 3));
        }
        assert_eq!(fitted(&picture, 13), picture);
        assert_eq!(fitted(&picture, 20).dimensions(), (20, 20));
    }
}
