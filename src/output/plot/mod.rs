//! Plots, as PNG and SVG.

mod curves;
mod font;
mod layers;

pub use curves::{CurvePlot, CurveSeries};
pub(super) use font::FONT;
pub use font::register_font;
pub use layers::{LayerPlot, LayerSeries, Spread};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use plotters::backend::{BitMapBackend, PixelFormat, RGBPixel};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::prelude::{DrawingBackend, SVGBackend};

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub struct PlotError(String);

/// Pixels of a PNG to a unit of its SVG.
const SCALE: u32 = 2;

/// Something that can be drawn on an area of any kind. Lengths are multiplied by `scale`.
trait Draw {
    /// Width and height in units.
    fn size(&self) -> (u32, u32);

    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>;
}

/// The plot as SVG; its texts are set in the reader's sans-serif font.
fn svg(plot: &impl Draw) -> Result<String, PlotError> {
    register_font();
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, plot.size()).into_drawing_area();
        let drawn = plot.draw(&area, 1).and_then(|()| area.present());
        drawn.map_err(|error| PlotError(error.to_string()))?;
    }
    Ok(text)
}

/// The plot as PNG.
fn png(plot: &impl Draw) -> Result<Vec<u8>, PlotError> {
    register_font();
    let (width, height) = plot.size();
    let (width, height) = (SCALE * width, SCALE * height);
    let mut pixels = vec![0; width as usize * height as usize * RGBPixel::PIXEL_SIZE];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        let drawn = plot.draw(&area, SCALE).and_then(|()| area.present());
        drawn.map_err(|error| PlotError(error.to_string()))?;
    }
    let mut bytes = Vec::new();
    let encoded = PngEncoder::new(&mut bytes).write_image(&pixels, width, height, ExtendedColorType::Rgb8);
    encoded.map_err(|error| PlotError(error.to_string()))?;
    Ok(bytes)
}
