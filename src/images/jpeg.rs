//! JPEG, by zune-jpeg directly.
//!
//! Not through `image`, because there a damaged or truncated file decodes to grey areas without an error
//! (strict mode is off and cannot be turned on), and its headers are parsed three times. What remains unnoticed, here
//! as elsewhere, is data lost where the file still makes sense, such as a cut file that a repair tool gave a new end marker.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::ImageProblem;
use super::decode::check_size;

const FORMAT: &str = "JPEG";

/// Decodes a JPEG to RGB, without applying its orientation, which comes along.
///
/// Greyscale, YCbCr, RGB, and CMYK and YCCK by Adobe's convention (inverted, as Pillow reads them); baseline and progressive.
pub(super) fn decode_jpeg(
    bytes: &[u8],
    max_pixels: u64,
) -> Result<(DynamicImage, Orientation), ImageProblem> {
    // Cameras and editors leave stray bytes between the headers, and every other decoder takes them.
    let lenient = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .set_strict_mode(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().map_err(|error| problem(error, bytes))?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    let (width, height) = check_size(FORMAT, width as u64, height as u64, max_pixels)?;
    if !has_end_marker(bytes) {
        return Err(ImageProblem::Truncated { format: FORMAT });
    }
    match decoder.input_colorspace() {
        Some(
            ColorSpace::Luma | ColorSpace::YCbCr | ColorSpace::RGB | ColorSpace::CMYK | ColorSpace::YCCK,
        ) => {}
        other => {
            return Err(ImageProblem::Unsupported {
                format: FORMAT,
                reason: format!("colour space {other:?}"),
            });
        }
    }
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);

    // In the image data the decoder would paper over damage with grey; strict mode makes it an error.
    decoder.set_options(lenient.set_strict_mode(true));
    let mut image = RgbImage::new(width, height);
    decoder.decode_into(&mut image).map_err(|error| problem(error, bytes))?;
    Ok((DynamicImage::ImageRgb8(image), orientation))
}

/// Whether the end-of-image marker is there, at the top level of the file.
///
/// A search from the end of the file would be fooled by what cameras and phones append,
/// a search for the bytes alone by the marker of an embedded thumbnail; so this walks the segments.
fn has_end_marker(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    // Inside image data 0xFF is followed by 0x00 or a restart marker, so the same walk passes over it.
    while let Some(start) = rest.iter().position(|&byte| byte == 0xFF) {
        rest = &rest[start + 1..];
        match rest.first() {
            None => return false,
            Some(0xFF) => {}
            Some(0x00 | 0x01 | 0xD0..=0xD8) => rest = &rest[1..],
            Some(0xD9) => return true,
            Some(_) => {
                let Some(&[high, low]) = rest.get(1..3) else {
                    return false;
                };
                let length = usize::from(u16::from_be_bytes([high, low])).max(2);
                rest = rest.get(1 + length..).unwrap_or_default();
            }
        }
    }
    false
}

fn problem(error: DecodeErrors, bytes: &[u8]) -> ImageProblem {
    let reason = match &error {
        // Their own display puts quotation marks around the text.
        DecodeErrors::Format(reason) => reason.clone(),
        DecodeErrors::FormatStatic(reason) => (*reason).to_string(),
        other => other.to_string(),
    };
    let reason = one_line(&reason);
    match error {
        // Frame headers are where 12-bit samples and other rarities are announced.
        DecodeErrors::Unsupported(_) | DecodeErrors::SofError(_) => {
            ImageProblem::Unsupported { format: FORMAT, reason }
        }
        _ if !has_end_marker(bytes) => ImageProblem::Truncated { format: FORMAT },
        _ => ImageProblem::Damaged { format: FORMAT, reason },
    }
}

/// The decoder's messages may contain line breaks; an error is one line on the terminal and in the manifest.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_marker_is_looked_for_outside_of_segments() {
        // An APP1 segment of 6 bytes that contains an end marker, as a thumbnail would.
        let segment = [0xFF, 0xD8, 0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD9, 0x00, 0x00];
        assert!(!has_end_marker(&segment));
        let complete = [&segment[..], &[0x12, 0xFF, 0x00, 0xFF, 0xD3, 0xFF, 0xFF, 0xD9]].concat();
        assert!(has_end_marker(&complete));
        let with_trailer = [&complete[..], &[1, 2, 3]].concat();
        assert!(has_end_marker(&with_trailer));
        for end in 0..complete.len() {
            assert!(!has_end_marker(&complete[..end]), "cut at {end}");
        }
    }
}
