//! Small pictures for pages with many.

use crate::output::OutputError;
use crate::output::markup::data_uri;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::thumbnail;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use std::path::PathBuf;

/// The longest side, in pixels.
const SIDE: u32 = 128;
/// Of JPEG, from 1 to 100: fine lines stay, and a picture takes about 6 kB.
const QUALITY: u8 = 85;

/// A picture of at most 128 pixels a side, as JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    width: u32,
    height: u32,
    jpeg: Vec<u8>,
}

impl Thumbnail {
    /// Makes a picture small.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn of(picture: &RgbImage) -> Result<Self, OutputError> {
        let (width, height) = picture.dimensions();
        let longest = width.max(height).max(1);
        let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longest)).max(1) as u32;
        let small = if longest > SIDE { &thumbnail(picture, scaled(width), scaled(height)) } else { picture };
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .write_image(small.as_raw(), small.width(), small.height(), ExtendedColorType::Rgb8)
            .map_err(|error| OutputError::Encode {
                path: PathBuf::from("a thumbnail"),
                reason: error.to_string(),
            })?;
        Ok(Thumbnail { width: small.width(), height: small.height(), jpeg })
    }

    /// As an element of a page.
    pub(super) fn html(&self, alternative: &str) -> String {
        // Small ones are as large as the others: pixels are seen.
        let longest = self.width.max(self.height).max(1);
        let scaled = |side: u32| (side * SIDE / longest).max(1);
        format!(
            "<img width=\"{}\" height=\"{}\" loading=\"lazy\" alt=\"{alternative}\" src=\"{}\">",
            scaled(self.width),
            scaled(self.height),
            data_uri("image/jpeg", &self.jpeg)
        )
    }
}
