//! From a path to the square of pixels a network takes.

use std::path::Path;

use super::decode::{DEFAULT_MAX_PIXELS, decode};
use super::resize::{DEFAULT_CROP, DEFAULT_RESIZE, resize_and_crop};
use super::{ImageError, Rgb8};

/// How images are brought to the network's input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// Length of the shorter side after resizing, in pixels.
    pub resize: u32,
    /// Side of the square cut out of the centre, in pixels; at most `resize`.
    pub crop: u32,
    /// Larger images are refused, in pixels.
    pub max_pixels: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { resize: DEFAULT_RESIZE, crop: DEFAULT_CROP, max_pixels: DEFAULT_MAX_PIXELS }
    }
}

/// Decodes an image file, brings its shorter side to `resize` and cuts out the centre: `crop` × `crop` pixels.
///
/// # Errors
/// [`ImageError`], as [`decode`] and [`resize_and_crop`] give it, with the path.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Rgb8, ImageError> {
    let image = decode(path, options.max_pixels)?;
    resize_and_crop(image, options.resize, options.crop)
        .map_err(|problem| ImageError::new(path, problem.into()))
}
