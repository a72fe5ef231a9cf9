//! Decoding one image file to upright 8-bit RGB.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::flatten::flatten;
use super::jpeg::decode_jpeg;
use super::{ImageError, ImageProblem, Rgb8};
use crate::quiet_panic;

/// The default of `max_pixels`: 178 million (534 MB as RGB), about where Pillow refuses an image too.
pub const DEFAULT_MAX_PIXELS: u64 = 178_000_000;

/// Memory a decoder may take beyond the pixels, in bytes: palettes, tables, embedded profiles.
const OVERHEAD: u64 = 64 << 20;

/// Decodes an image file to 8-bit RGB, turned upright by its EXIF orientation.
///
/// Reads JPEG (greyscale, CMYK, YCCK and progressive ones too), PNG, WebP, GIF (the first frame), BMP and TIFF; what it
/// is tells the content, not the name. Alpha is composited over white, 16-bit samples are rounded to 8 bits, colour
/// profiles are ignored, as torchvision and Pillow do.
///
/// # Errors
/// [`ImageError`] names the path and what is wrong: missing, unreadable, empty, unknown, truncated, damaged, or with
/// more than `max_pixels` pixels, which is found out from the header before any pixel is allocated. A panic of a
/// decoder is an error too.
pub fn decode(path: &Path, max_pixels: u64) -> Result<Rgb8, ImageError> {
    quiet_panic::catch(|| decode_file(path, max_pixels))
        .unwrap_or_else(|reason| Err(ImageProblem::DecoderFailed { reason }))
        .map_err(|problem| ImageError::new(path, problem))
}

/// Decodes an image in memory, like [`decode`].
///
/// # Errors
/// As [`decode`], without a path.
pub fn decode_bytes(bytes: &[u8], max_pixels: u64) -> Result<Rgb8, ImageProblem> {
    quiet_panic::catch(|| decode_stream(&mut Cursor::new(bytes), max_pixels))
        .unwrap_or_else(|reason| Err(ImageProblem::DecoderFailed { reason }))
}

/// Files and memory behind one type: the decoders are generic, and each type of reader compiles all of them again.
trait BufReadSeek: BufRead + Seek {}
impl<Stream: BufRead + Seek> BufReadSeek for Stream {}

fn decode_file(path: &Path, max_pixels: u64) -> Result<Rgb8, ImageProblem> {
    let metadata = fs::metadata(path).map_err(reading)?;
    if metadata.is_dir() {
        // A directory that cannot be listed has become an input of its own: then that is the news.
        fs::read_dir(path).map_err(reading)?;
        return Err(ImageProblem::Directory);
    }
    // Opening a pipe would wait for its writer, perhaps for ever.
    if !metadata.is_file() {
        return Err(ImageProblem::NotAFile);
    }
    let file = File::open(path).map_err(reading)?;
    decode_stream(&mut BufReader::with_capacity(64 << 10, file), max_pixels)
}

fn reading(error: std::io::Error) -> ImageProblem {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ImageProblem::NotFound,
        _ => ImageProblem::Unreadable(error),
    }
}

fn decode_stream(stream: &mut dyn BufReadSeek, max_pixels: u64) -> Result<Rgb8, ImageProblem> {
    let start = stream.fill_buf().map_err(reading)?;
    if start.is_empty() {
        return Err(ImageProblem::Empty);
    }
    let format = image::guess_format(start).map_err(|_| ImageProblem::UnknownFormat)?;
    let (mut image, orientation) = if format == ImageFormat::Jpeg {
        let bytes = read_all(stream, max_pixels)?;
        decode_jpeg(&bytes, max_pixels)?
    } else {
        let name = name(format).ok_or(ImageProblem::UnknownFormat)?;
        if format == ImageFormat::WebP {
            check_riff_length(stream)?;
        }
        decode_other(stream, format, name, max_pixels)?
    };
    image.apply_orientation(orientation);
    Ok(flatten(image))
}

/// Reads a compressed file whole, unless it is larger than any sensible image of the allowed size.
fn read_all(stream: &mut dyn BufReadSeek, max_pixels: u64) -> Result<Vec<u8>, ImageProblem> {
    let most = max_pixels.saturating_mul(8).saturating_add(OVERHEAD);
    let mut bytes = Vec::new();
    let read = stream.take(most).read_to_end(&mut bytes).map_err(reading)?;
    if read as u64 == most {
        return Err(ImageProblem::TooMuchMemory { max_pixels });
    }
    Ok(bytes)
}

/// Refuses a WebP shorter than it says.
///
/// Its decoder reads zeros past the end, and would invent the last rows; libwebp refuses such a file, too.
fn check_riff_length(stream: &mut dyn BufReadSeek) -> Result<(), ImageProblem> {
    let mut header = [0; 8];
    let truncated = |_| ImageProblem::Truncated { format: "WebP" };
    stream.read_exact(&mut header).map_err(truncated)?;
    let [.., a, b, c, d] = header;
    let announced = 8 + u64::from(u32::from_le_bytes([a, b, c, d]));
    let length = stream.seek(SeekFrom::End(0)).map_err(reading)?;
    stream.rewind().map_err(reading)?;
    // Some writers leave out the byte that pads the last chunk to an even length.
    if length + 1 < announced {
        return Err(ImageProblem::Truncated { format: "WebP" });
    }
    Ok(())
}

fn decode_other(
    stream: &mut dyn BufReadSeek,
    format: ImageFormat,
    name: &'static str,
    max_pixels: u64,
) -> Result<(DynamicImage, Orientation), ImageProblem> {
    let problem = |error| problem(error, name, max_pixels);
    let mut reader = ImageReader::with_format(stream, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(OVERHEAD);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(problem)?;
    let (width, height) = decoder.dimensions();
    check_size(name, u64::from(width), u64::from(height), max_pixels)?;
    // The finished image and at most one copy of it, as wide as the decoder's samples, plus a fourth ink in TIFF.
    limits.max_alloc = Some(decoder.total_bytes().saturating_mul(3).saturating_add(OVERHEAD));
    decoder.set_limits(limits).map_err(problem)?;
    let orientation = decoder.orientation().map_err(problem)?;
    let image = DynamicImage::from_decoder(decoder).map_err(problem)?;
    Ok((image, orientation))
}

/// Refuses an image by the size its header announces; gives the size back as the 32-bit numbers it then fits.
pub(super) fn check_size(
    format: &'static str,
    width: u64,
    height: u64,
    max_pixels: u64,
) -> Result<(u32, u32), ImageProblem> {
    if width.saturating_mul(height) > max_pixels {
        return Err(ImageProblem::TooLarge { width, height, max_pixels });
    }
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(narrow_width @ 1..), Ok(narrow_height @ 1..)) => Ok((narrow_width, narrow_height)),
        _ => Err(ImageProblem::Damaged {
            format,
            reason: format!("its header announces {width}×{height} pixels"),
        }),
    }
}

/// The formats that are read, as users call them.
fn name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::Png => Some("PNG"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Gif => Some("GIF"),
        ImageFormat::Bmp => Some("BMP"),
        ImageFormat::Tiff => Some("TIFF"),
        _ => None,
    }
}

fn problem(error: image::ImageError, format: &'static str, max_pixels: u64) -> ImageProblem {
    if ends_early(&error) {
        return ImageProblem::Truncated { format };
    }
    match error {
        image::ImageError::IoError(error) => reading(error),
        image::ImageError::Unsupported(error) => {
            ImageProblem::Unsupported { format, reason: error.to_string() }
        }
        image::ImageError::Limits(error) if error.kind() == LimitErrorKind::InsufficientMemory => {
            ImageProblem::TooMuchMemory { max_pixels }
        }
        other => ImageProblem::Damaged { format, reason: other.to_string() },
    }
}

/// Whether the data ran out: decoders wrap the reader's error at various depths.
fn ends_early(error: &image::ImageError) -> bool {
    // `source` skips the error that this variant holds.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
        image::ImageError::IoError(error) => Some(error),
        other => Some(other),
    };
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == ErrorKind::UnexpectedEof
        {
            return true;
        }
        cause = error.source();
    }
    false
}
