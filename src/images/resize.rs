//! Shorter side to a length, then the centre: torchvision's `Resize(resize)` and `CenterCrop(crop)`.
//!
//! Sizes and positions are rounded as torchvision does (`_compute_resized_output_size` and `center_crop` in
//! torchvision/transforms/functional.py); pixels are antialiased bilinear as in Pillow's `Image.resize(BILINEAR)`,
//! which torchvision's antialiased bilinear follows.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use thiserror::Error;

use super::Rgb8;

/// The default length of the shorter side, in pixels.
pub const DEFAULT_RESIZE: u32 = 256;

/// The default side of the centre crop, in pixels.
pub const DEFAULT_CROP: u32 = 224;

/// The largest side of a crop, in pixels: 805 MB as RGB, far beyond what a network takes.
pub const MAX_CROP: u32 = 1 << 14;

/// Why an image cannot be brought to the wanted size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResizeError {
    /// A side of length 0 was asked for.
    #[error("--resize {resize} --crop {crop}: both must be at least 1 pixel")]
    Zero {
        /// Wanted length of the shorter side.
        resize: u32,
        /// Wanted side of the crop.
        crop: u32,
    },
    /// The crop would not fit into the resized image.
    #[error(
        "--crop {crop} is larger than the shorter side after --resize {resize}; make --resize at least {crop} or --crop at most {resize}"
    )]
    CropTooLarge {
        /// Wanted length of the shorter side.
        resize: u32,
        /// Wanted side of the crop.
        crop: u32,
    },
    /// The crop is larger than this program handles.
    #[error("--crop {crop} is more than {MAX_CROP} pixels; choose a smaller one")]
    Huge {
        /// Wanted side of the crop.
        crop: u32,
    },
    /// The image's buffer does not have the length its width and height imply, or it has no pixels.
    #[error("an image of {width}×{height} pixels cannot have {samples} samples")]
    Shape {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Length of the buffer.
        samples: usize,
    },
    /// The resampling library refused.
    #[error("resampling failed ({0}); please report the image")]
    Resampling(String),
}

/// Checks the wanted sizes alone, before any image is read: what a command line reports as a usage error.
///
/// # Errors
/// [`ResizeError`] when a size is 0, the crop is larger than the shorter side after resizing, or than [`MAX_CROP`].
pub fn validate(resize: u32, crop: u32) -> Result<(), ResizeError> {
    if resize == 0 || crop == 0 {
        return Err(ResizeError::Zero { resize, crop });
    }
    if crop > resize {
        return Err(ResizeError::CropTooLarge { resize, crop });
    }
    if crop > MAX_CROP {
        return Err(ResizeError::Huge { crop });
    }
    Ok(())
}

/// Brings the shorter side to `resize` pixels and cuts a square of `crop` pixels out of the centre.
///
/// Antialiased bilinear; only the part that the crop shows is computed, with the same filter and the same
/// neighbours as if the whole image were resized, so an elongated image costs no more than a square one.
/// An image whose shorter side already has `resize` pixels is only cropped.
///
/// # Errors
/// [`ResizeError`]: sizes that [`validate`] refuses, or an image that is empty or inconsistent.
pub fn resize_and_crop(image: Rgb8, resize: u32, crop: u32) -> Result<Rgb8, ResizeError> {
    validate(resize, crop)?;
    let (width, height) = checked_size(&image)?;
    if width == crop && height == crop && resize == crop {
        return Ok(image);
    }
    let (resized_width, resized_height) = resized_size(width, height, resize);
    let left = crop_start(resized_width, crop);
    let top = crop_start(resized_height, crop);
    if width.min(height) == resize {
        return Ok(cut(&image, left as usize, top as usize, crop as usize));
    }
    let columns = Span::of_resized(left, crop, width, resized_width);
    let rows = Span::of_resized(top, crop, height, resized_height);
    resample(&image, columns, rows, crop)
}

/// Width and height after the shorter side is brought to `resize`, the longer one truncated, as torchvision does.
fn resized_size(width: u32, height: u32, resize: u32) -> (u64, u64) {
    // Exact in integers; torchvision's float quotient truncates to the same below 2^53.
    let longer = |long: u32, short: u32| u64::from(resize) * u64::from(long) / u64::from(short);
    if width <= height {
        (u64::from(resize), longer(height, width))
    } else {
        (longer(width, height), u64::from(resize))
    }
}

/// First row or column of a centred crop: half the margin, halves rounded to even, as Python's `round` does.
fn crop_start(side: u64, crop: u32) -> u64 {
    let margin = side.saturating_sub(u64::from(crop));
    let half = margin / 2;
    if margin % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

/// One axis of what becomes the target, in source pixels.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Where the target starts.
    start: f64,
    /// How far it reaches.
    length: f64,
    /// First source pixel that a filter's window may touch.
    first: u32,
    /// One past the last.
    end: u32,
}

impl Span {
    /// The pixels from `start`, cut out before anything is resampled: no window reaches beyond them.
    pub(super) fn cut_out(start: u32, length: u32) -> Self {
        Self {
            start: f64::from(start),
            length: f64::from(length),
            first: start,
            end: start.saturating_add(length),
        }
    }

    /// `crop` pixels from `start` of a side of `source` pixels that is resized to `resized`, as if it were resized whole.
    fn of_resized(start: u64, crop: u32, source: u32, resized: u64) -> Self {
        let source_length = f64::from(source);
        let scale = source_length / resized as f64;
        let start = start as f64 * source_length / resized as f64;
        let length = (f64::from(crop) * source_length / resized as f64).min(source_length - start);
        // The bilinear filter reaches one source pixel, or one target pixel when shrinking; a pixel more for rounding.
        let margin = scale.max(1.0) + 1.0;
        Self {
            start,
            length,
            first: (start - margin).floor().max(0.0) as u32,
            end: (start + length + margin).ceil().min(source_length) as u32,
        }
    }
}

/// Resamples a box to a square of `size` pixels in Pillow's order, rows first, with its rounding to 8 bits between the
/// passes.
///
/// One call for both axes would start with the columns for speed and then differ by a grey level here and there.
pub(super) fn resample(image: &Rgb8, columns: Span, rows: Span, size: u32) -> Result<Rgb8, ResizeError> {
    let row_length = image.width * 3;
    let needed = image
        .pixels
        .get(rows.first as usize * row_length..rows.end as usize * row_length)
        .ok_or_else(|| shape_error(image))?;
    let height = rows.end - rows.first;
    // Typed views: the untyped ones would compile the library's kernels for all of its thirteen pixel types.
    let whole = TypedImageRef::<U8x3>::from_buffer(image.width as u32, height, needed).map_err(failed)?;
    let part = TypedCroppedImage::from_ref(&whole, columns.first, 0, columns.end - columns.first, height)
        .map_err(failed)?;
    let narrowed = bilinear(
        &part,
        (size, height),
        (columns.start - f64::from(columns.first), columns.length),
        (0.0, f64::from(height)),
    )?;
    let narrowed = TypedImageRef::<U8x3>::from_buffer(size, height, &narrowed).map_err(failed)?;
    let narrowed = TypedCroppedImage::from_ref(&narrowed, 0, 0, size, height).map_err(failed)?;
    let pixels = bilinear(
        &narrowed,
        (size, size),
        (0.0, f64::from(size)),
        (rows.start - f64::from(rows.first), rows.length),
    )?;
    Ok(Rgb8 { width: size as usize, height: size as usize, pixels })
}

/// Resamples a box of an RGB image, given as start and length on each axis; the target's size is width and height.
///
/// The filter's windows reach beyond the box where the image goes on. For one kind of view: for each the library's kernels
/// are compiled anew, which takes seconds.
fn bilinear(
    source: &TypedCroppedImage<'_, TypedImageRef<'_, U8x3>>,
    target_size: (u32, u32),
    columns: (f64, f64),
    rows: (f64, f64),
) -> Result<Vec<u8>, ResizeError> {
    let mut pixels = vec![0; target_size.0 as usize * target_size.1 as usize * 3];
    let mut target =
        TypedImage::<U8x3>::from_buffer(target_size.0, target_size.1, &mut pixels).map_err(failed)?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(columns.0, rows.0, columns.1, rows.1);
    Resizer::new().resize_typed(source, &mut target, &options).map_err(failed)?;
    Ok(pixels)
}

fn cut(image: &Rgb8, left: usize, top: usize, crop: usize) -> Rgb8 {
    let mut pixels = Vec::with_capacity(crop * crop * 3);
    for row in image.pixels.chunks_exact(image.width * 3).skip(top).take(crop) {
        pixels.extend_from_slice(&row[left * 3..(left + crop) * 3]);
    }
    Rgb8 { width: crop, height: crop, pixels }
}

/// Width and height as the 32-bit numbers the library takes, of an image whose buffer matches them.
pub(super) fn checked_size(image: &Rgb8) -> Result<(u32, u32), ResizeError> {
    let samples = image.width.checked_mul(image.height).and_then(|pixels| pixels.checked_mul(3));
    match (u32::try_from(image.width), u32::try_from(image.height)) {
        (Ok(width @ 1..), Ok(height @ 1..)) if samples == Some(image.pixels.len()) => Ok((width, height)),
        _ => Err(shape_error(image)),
    }
}

fn shape_error(image: &Rgb8) -> ResizeError {
    ResizeError::Shape { width: image.width, height: image.height, samples: image.pixels.len() }
}

fn failed(error: impl std::fmt::Display) -> ResizeError {
    ResizeError::Resampling(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic noise with every grey level: the hardest input for rounding.
    fn noise(width: usize, height: usize) -> Rgb8 {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let pixels = (0..width * height * 3)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        Rgb8 { width, height, pixels }
    }

    /// Resizes the whole image, as torchvision does, then crops.
    fn whole_then_crop(image: &Rgb8, resize: u32, crop: u32) -> Rgb8 {
        let (width, height) = checked_size(image).unwrap();
        let (new_width, new_height) = resized_size(width, height, resize);
        let resize = |pixels: &[u8], size: (u32, u32), new_size: (u32, u32)| {
            let view = TypedImageRef::<U8x3>::from_buffer(size.0, size.1, pixels).unwrap();
            let whole = TypedCroppedImage::from_ref(&view, 0, 0, size.0, size.1).unwrap();
            bilinear(&whole, new_size, (0.0, f64::from(size.0)), (0.0, f64::from(size.1))).unwrap()
        };
        let (new_width, new_height) = (new_width as u32, new_height as u32);
        let narrowed = resize(&image.pixels, (width, height), (new_width, height));
        let pixels = resize(&narrowed, (new_width, height), (new_width, new_height));
        let resized = Rgb8 { width: new_width as usize, height: new_height as usize, pixels };
        cut(
            &resized,
            crop_start(new_width.into(), crop) as usize,
            crop_start(new_height.into(), crop) as usize,
            crop as usize,
        )
    }

    fn largest_difference(left: &Rgb8, right: &Rgb8) -> u8 {
        assert_eq!((left.width, left.height), (right.width, right.height));
        left.pixels.iter().zip(&right.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn sizes_and_offsets_are_torchvisions() {
        // From torchvision's _compute_resized_output_size, run by hand in Python.
        assert_eq!(resized_size(500, 375, 256), (341, 256));
        assert_eq!(resized_size(375, 500, 256), (256, 341));
        assert_eq!(resized_size(300, 300, 256), (256, 256));
        assert_eq!(resized_size(1, 100_000, 256), (256, 25_600_000));
        // [int(round(m / 2.0)) for m in range(9)] in Python.
        let starts: Vec<u64> = (0..9).map(|margin| crop_start(10 + margin, 10)).collect();
        assert_eq!(starts, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        assert_eq!(validate(256, 224), Ok(()));
        assert_eq!(validate(224, 224), Ok(()));
        assert_eq!(validate(1, 1), Ok(()));
        assert_eq!(validate(200, 224), Err(ResizeError::CropTooLarge { resize: 200, crop: 224 }));
        assert!(matches!(validate(0, 0), Err(ResizeError::Zero { .. })));
        assert!(matches!(validate(256, 0), Err(ResizeError::Zero { .. })));
        assert!(matches!(validate(u32::MAX, u32::MAX), Err(ResizeError::Huge { .. })));
        let text = validate(200, 224).unwrap_err().to_string();
        assert!(text.contains("--crop 224") && text.contains("--resize 200"), "{text}");
    }

    #[test]
    fn computing_only_the_crop_changes_nothing() {
        for (width, height) in [
            (500, 375),
            (375, 500),
            (257, 255),
            (1000, 37),
            (29, 640),
            (64, 64),
            (3, 2),
            (1, 1),
            (1, 7),
            (255, 2000),
            (1300, 900),
        ] {
            for (resize, crop) in [(256, 224), (224, 224), (64, 33), (300, 1), (7, 7)] {
                let image = noise(width, height);
                let whole = whole_then_crop(&image, resize, crop);
                let part = resize_and_crop(image, resize, crop).unwrap();
                // The same weights up to float rounding of the filter's position, which fixed point rarely shows.
                let difference = largest_difference(&part, &whole);
                assert!(difference <= 1, "{width}×{height} to {resize}, {crop}: {difference}");
            }
        }
    }

    #[test]
    fn the_right_size_is_left_untouched() {
        let image = noise(224, 224);
        assert_eq!(resize_and_crop(image.clone(), 224, 224), Ok(image));
        let wide = noise(301, 224);
        let cropped = resize_and_crop(wide.clone(), 224, 224).unwrap();
        // margin 77: half of it, 38.5, rounds to 38.
        assert_eq!(cropped, cut(&wide, 38, 0, 224));
        let both = resize_and_crop(noise(256, 256), 256, 224).unwrap();
        assert_eq!(both, cut(&noise(256, 256), 16, 16, 224));
    }

    #[test]
    fn elongated_images_cost_only_their_centre() {
        // Resized whole, each would be 256 × 25,600,000 pixels, 20 GB.
        for (width, height) in [(1, 100_000), (100_000, 1)] {
            let mut image = noise(width, height);
            let middle = [10, 20, 30];
            for pixel in 49_990..50_010 {
                image.pixels[pixel * 3..pixel * 3 + 3].copy_from_slice(&middle);
            }
            let result = resize_and_crop(image, 256, 224).unwrap();
            assert!(result.pixels.chunks_exact(3).all(|pixel| pixel == middle));
        }
    }

    #[test]
    fn inconsistent_images_are_an_error() {
        let broken = Rgb8 { width: 10, height: 10, pixels: vec![0; 299] };
        assert!(matches!(resize_and_crop(broken, 8, 8), Err(ResizeError::Shape { samples: 299, .. })));
        let empty = Rgb8 { width: 0, height: 5, pixels: Vec::new() };
        assert!(matches!(resize_and_crop(empty, 8, 8), Err(ResizeError::Shape { .. })));
    }
}
