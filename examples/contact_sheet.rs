//! Draws methods side by side, a row a photo: the picture of the README, and with pattern files that of `docs/quality.md`,
//! which compares them.
//!
//! ```text
//! cargo run --release --example contact_sheet -- samples docs/pictures/samples.png
//! cargo run --release --example contact_sheet -- samples docs/pictures/centerings.png global.safetensors regime.safetensors
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
use vggx::explain::{Estimator, Explainer, Explanation, Input, Kind, Method, Target, on_cpu};
use vggx::images::find::find;
use vggx::images::{LoadOptions, load};
use vggx::network::PreprocessingOverrides;
use vggx::output::picture::{heat_map_picture, signal_picture};
use vggx::patterns::Patterns;
use vggx::weights::{Weights, bundled};

/// The columns after the photo itself, without pattern files.
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

/// Columns of explanations by the same patterns.
struct Columns {
    explainer: Explainer,
    captions: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [inputs, sheet, patterns @ ..] = arguments.as_slice() else {
        eprintln!("usage: contact_sheet PHOTOS SHEET.png [PATTERNS]...");
        return ExitCode::from(2);
    };
    match draw(inputs, Path::new(sheet), patterns) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(inputs: &OsString, path: &Path, patterns: &[OsString]) -> Result<(), Box<dyn Error>> {
    let groups = columns(patterns)?;
    let captions: Vec<&str> = std::iter::once("photo")
        .chain(groups.iter().flat_map(|group| &group.captions).map(String::as_str))
        .collect();
    let photos = find(&[inputs])?.images;
    let width = captions.len() as u32 * (TILE + GAP) - GAP;
    let mut sheet = RgbImage::from_pixel(width, CAPTION + photos.len() as u32 * (TILE + GAP), Rgb([255; 3]));
    for (column, caption) in (0..).zip(captions) {
        write_centred(&mut sheet, caption, column * (TILE + GAP));
    }
    for (row, found) in (0..).zip(&photos) {
        let photo = load(&found.path, &LoadOptions::default())?;
        let size = (photo.height, photo.width);
        let input = [Input { pixels: &photo.pixels, key: None }];
        let mut tiles = Vec::new();
        for group in &groups {
            for explained in group.explainer.explain(size, &input, &Target::Top(1))? {
                for explanation in explained?.explanations {
                    tiles.push(picture(&explanation, size)?);
                }
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

/// The bundled network on the CPU: all methods with the bundled patterns, or two methods with each pattern file, and the
/// linear ones of the first.
fn columns(files: &[OsString]) -> Result<Vec<Columns>, Box<dyn Error>> {
    let weights = bundled::weights().ok_or("the bundled weights are missing: set VGGX_DATA")?;
    let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default())?);
    weights.check_finite()?;
    let open = |path: &Path| Ok::<_, Box<dyn Error>>(Arc::new(Patterns::open(path, &weights)?));
    let group = |patterns: &Arc<Patterns>, methods: &[Method], captions: Vec<String>| {
        let cpu = on_cpu(&weights, 0)?;
        let explainer = Explainer::new(Box::new(cpu), &weights, Some(patterns), methods, None, 0)?;
        Ok::<_, Box<dyn Error>>(Columns { explainer, captions })
    };
    if files.is_empty() {
        let path = bundled::patterns().ok_or("the bundled patterns are missing: set VGGX_DATA")?;
        let captions = METHODS.map(|method| method.to_string()).to_vec();
        return Ok(vec![group(&open(&path)?, &METHODS, captions)?]);
    }
    let mut groups = Vec::new();
    for file in files {
        let patterns = open(Path::new(file))?;
        let name = patterns.centering().unwrap_or("unknown").to_owned();
        let methods = [Method::PatternNet, Method::PatternAttribution];
        groups.push(group(&patterns, &methods, vec![format!("{name}: signal"), "attribution".to_owned()])?);
    }
    let linear = [Method::Signal(Estimator::Linear), Method::Attribution(Estimator::Linear)];
    let captions = vec!["linear: signal".to_owned(), "attribution".to_owned()];
    groups.push(group(&open(Path::new(&files[0]))?, &linear, captions)?);
    Ok(groups)
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
