//! A figure as one picture.

use super::text::{draw, width};
use super::{Figure, FigureError, Layout, Weight};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::replace;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

/// Behind everything.
const PAPER: Rgb<u8> = Rgb([255; 3]);

/// Of texts.
fn ink(weight: Weight) -> Rgb<u8> {
    match weight {
        Weight::Strong => Rgb([0x1b, 0x1f, 0x26]),
        Weight::Faint => Rgb([0x59, 0x61, 0x6e]),
    }
}

impl Figure {
    /// The figure as a PNG file.
    ///
    /// # Errors
    /// [`FigureError`].
    pub fn png(&self) -> Result<Vec<u8>, FigureError> {
        let picture = self.picture()?;
        let mut bytes = Vec::new();
        // There is only one, and it may be sent around.
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive).write_image(
            picture.as_raw(),
            picture.width(),
            picture.height(),
            ExtendedColorType::Rgb8,
        )?;
        Ok(bytes)
    }

    /// The figure's pixels.
    ///
    /// # Errors
    /// [`FigureError`].
    pub fn picture(&self) -> Result<RgbImage, FigureError> {
        let layout = Layout::of(self)?;
        let mut picture = RgbImage::from_pixel(layout.width, layout.height, PAPER);
        for cell in &layout.cells {
            let drawn = &self.rows[cell.row].cells[cell.column];
            replace(&mut picture, drawn, i64::from(cell.left), i64::from(cell.top));
        }
        for text in &layout.texts {
            let size = text.size as f32;
            let half = if text.is_centred { width(&text.text, size) / 2.0 } else { 0.0 };
            let place = (text.x as f32 - half, text.baseline as f32);
            draw(&mut picture, &text.text, size, place, ink(text.weight));
        }
        Ok(picture)
    }
}
