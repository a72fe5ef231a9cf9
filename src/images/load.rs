//! From a path to the square of pixels a network takes.

use std::path::Path;

use super::decode::DEFAULT_MAX_PIXELS;
use super::resize::{DEFAULT_CROP, DEFAULT_RESIZE};
use super::{Content, ImageError, Rgb8};

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
/// [`ImageError`], as [`decode`](super::decode::decode) and [`resize_and_crop`](super::resize::resize_and_crop) give it, with the path.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Rgb8, ImageError> {
    Content::File.load(path, options)
}
