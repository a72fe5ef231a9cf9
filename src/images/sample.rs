//! One image on its way to pixels, wherever it comes from.

use std::path::Path;

use super::decode::{decode, decode_bytes};
use super::resize::resize_and_crop;
use super::{ImageError, ImageProblem, InputImage, LoadOptions, Rgb8};
use crate::random::{draw, scatter};

/// Side of the noise that random crops are made of, in pixels.
const NOISE_SIDE: u32 = 256;

/// An image and where its pixels come from.
#[derive(Debug)]
pub struct Sample {
    /// What it is called.
    pub image: InputImage,
    /// What it is made of.
    pub content: Content,
}

/// What an image is made of.
#[derive(Debug)]
pub enum Content {
    /// The file at the image's path.
    File,
    /// The content of a file.
    Encoded(Vec<u8>),
    /// Random pixels, each byte uniform, from this seed: an image that costs no decoding.
    Noise(u64),
    /// Nothing, for this reason.
    Refused(ImageProblem),
}

impl Content {
    /// The pixels, upright; `path` is where a file is, and what errors name.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(self, path: &Path, max_pixels: u64) -> Result<Rgb8, ImageError> {
        match self {
            Content::File => decode(path, max_pixels),
            Content::Encoded(bytes) => {
                decode_bytes(&bytes, max_pixels).map_err(|problem| ImageError::new(path, problem))
            }
            Content::Noise(seed) => Ok(noise(seed, NOISE_SIDE)),
            Content::Refused(problem) => Err(ImageError::new(path, problem)),
        }
    }

    /// The square that a network takes.
    ///
    /// # Errors
    /// As [`load`](super::load()).
    pub fn load(self, path: &Path, options: &LoadOptions) -> Result<Rgb8, ImageError> {
        if let Content::Noise(seed) = self {
            return Ok(noise(seed, options.crop));
        }
        fit(self.decode(path, options.max_pixels)?, path, options)
    }
}

/// Brings the pixels of an image to the square that a network takes.
///
/// # Errors
/// Where the sizes do not fit.
pub fn fit(image: Rgb8, path: &Path, options: &LoadOptions) -> Result<Rgb8, ImageError> {
    resize_and_crop(image, options.resize, options.crop)
        .map_err(|problem| ImageError::new(path, problem.into()))
}

impl From<InputImage> for Sample {
    fn from(image: InputImage) -> Self {
        Self { image, content: Content::File }
    }
}

/// What a sample of noise is called: by its number.
pub(super) fn noise_image(number: u64) -> InputImage {
    let name = format!("noise-{number:09}");
    InputImage { path: Path::new("synthetic").join(&name), name: name.into(), target: None }
}

/// A square of noise: the bytes of SplitMix64's outputs.
fn noise(seed: u64, side: u32) -> Rgb8 {
    let side = side as usize;
    let stream = scatter(seed);
    let words = (0..).map(|number| draw(stream, number)).flat_map(u64::to_le_bytes);
    Rgb8 { width: side, height: side, pixels: words.take(3 * side * side).collect() }
}
