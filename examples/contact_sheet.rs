//! Draws methods side by side, a row a photo: the picture of the README.
//!
//! ```text
//! cargo run --release --example contact_sheet -- samples docs/pictures/samples.png
//! ```

use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use vggx::explain::{Explainer, Explanation, Input, Kind, Method, Target, on_cpu};
use vggx::images::find::find;
use vggx::images::{LoadOptions, load};
use vggx::network::PreprocessingOverrides;
use vggx::output::picture::{heat_map_picture, signal_picture};
use vggx::patterns::Patterns;
use vggx::weights::{Weights, bundled};

/// The columns after the photo itself.
const METHODS: [Method; 5] = [
    Method::Gradient,
    Method::DeconvNet,
    Method::GuidedBackprop,
    Method::PatternNet,
    Method::PatternAttribution,
];
/// Side of a tile, space between tiles and height of the captions, in pixels.
const TILE: u32 = 152;
const GAP: u32 = 4;
const CAPTION: u32 = 16;
/// The command line's default for heat maps.
const GAMMA: f64 = 0.5;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [inputs, sheet] = arguments.as_slice() else {
        eprintln!("usage: contact_sheet PHOTOS SHEET.png");
        return ExitCode::from(2);
    };
    match draw(inputs, Path::new(sheet)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(inputs: &OsString, path: &Path) -> Result<(), Box<dyn Error>> {
    let explainer = explainer()?;
    let photos = find(&[inputs])?.images;
    let columns = 1 + METHODS.len() as u32;
    let width = columns * (TILE + GAP) - GAP;
    let mut sheet = RgbImage::from_pixel(width, CAPTION + photos.len() as u32 * (TILE + GAP), Rgb([255; 3]));
    let captions = std::iter::once("photo".to_owned()).chain(METHODS.map(|method| method.to_string()));
    for (column, caption) in (0..).zip(captions) {
        write_centred(&mut sheet, &caption, column * (TILE + GAP));
    }
    for (row, found) in (0..).zip(&photos) {
        let photo = load(&found.path, &LoadOptions::default())?;
        let size = (photo.height, photo.width);
        let input = [Input { pixels: &photo.pixels, key: None }];
        let mut tiles = Vec::new();
        for explained in explainer.explain(size, &input, &Target::Top(1))? {
            for explanation in explained?.explanations {
                tiles.push(picture(&explanation, size)?);
            }
        }
        let photo = RgbImage::from_raw(photo.width as u32, photo.height as u32, photo.pixels)
            .ok_or("a photo has fewer pixels than its size says")?;
        for (column, tile) in (0..).zip(std::iter::once(photo).chain(tiles)) {
            let tile = imageops::resize(&tile, TILE, TILE, FilterType::Triangle);
            let (left, top) = (column * (TILE + GAP), CAPTION + row * (TILE + GAP));
            imageops::replace(&mut sheet, &tile, i64::from(left), i64::from(top));
        }
    }
    let file = BufWriter::new(File::create(path)?);
    PngEncoder::new_with_quality(file, CompressionType::Best, PngFilter::Adaptive).write_image(
        sheet.as_raw(),
        sheet.width(),
        sheet.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(())
}

/// The bundled network with its patterns on the CPU.
fn explainer() -> Result<Explainer, Box<dyn Error>> {
    let weights = bundled::weights().ok_or("the bundled weights are missing: set VGGX_DATA")?;
    let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default())?);
    weights.check_finite()?;
    let patterns = bundled::patterns().ok_or("the bundled patterns are missing: set VGGX_DATA")?;
    let patterns = Arc::new(Patterns::open(&patterns, &weights)?);
    let cpu = on_cpu(&weights, 0)?;
    Ok(Explainer::new(Box::new(cpu), &weights, Some(&patterns), &METHODS, None, 0)?)
}

fn picture(explanation: &Explanation, (height, width): (usize, usize)) -> Result<RgbImage, Box<dyn Error>> {
    Ok(match explanation.method.kind() {
        Kind::Signal => signal_picture(&explanation.values, height, width)?,
        Kind::Attribution => heat_map_picture(&explanation.values, height, width, GAMMA)?,
    })
}

/// Writes a caption over the column of tiles that begins at `left`.
fn write_centred(sheet: &mut RgbImage, text: &str, left: u32) {
    let start = left + TILE.saturating_sub(8 * text.len() as u32) / 2;
    for (position, glyph) in (0..).zip(text.chars().filter_map(|letter| BASIC_FONTS.get(letter))) {
        for (y, bits) in (0..).zip(glyph) {
            for x in (0..8).filter(|x| bits >> x & 1 == 1) {
                sheet.put_pixel(start + 8 * position + x, (CAPTION - 8) / 2 + y, Rgb([0; 3]));
            }
        }
    }
}
