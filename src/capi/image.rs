//! Image files.

use super::status::{VGGX_ERROR_UNSUPPORTED, vggx_status};
use std::ffi::c_char;

/// A decoded image. It never changes, so any number of threads may use one.
pub struct vggx_image {
    _private: (),
}

/// How an image file is brought to the size that the network takes. Begin with `VGGX_INIT(vggx_load_options)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_load_options {
    /// `sizeof(vggx_load_options)`.
    pub size: usize,
    /// The shorter side is resized to so many pixels (bilinear, antialiased, as in torchvision). 0: 256.
    pub resize: u32,
    /// Side of the square that is then cut out of the centre, in pixels; at most `resize`. 0: 224.
    pub crop: u32,
    /// Larger images are refused, in pixels. 0: 178 956 970.
    pub max_pixels: u64,
}

/// Where the pixels of an image are.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_pixels {
    /// `sizeof(vggx_pixels)`, set by the caller.
    pub size: usize,
    /// `[height, width, 3]`: rows of interleaved red, green and blue, 0 to 255. Valid until the image is freed.
    pub pixels: *const u8,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Bytes from one row to the next.
    pub row_stride: usize,
    /// Bytes of all rows.
    pub bytes: usize,
}

/// Loads an image file: JPEG, PNG, WebP, GIF (first frame), BMP or TIFF. EXIF orientation is followed, alpha is laid over
/// white. `options` may be null: resized to 256 and cropped to 224 × 224. On success `*image` is to be freed with
/// `vggx_image_free`; on failure it is null.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_FILE` when it cannot be read; `VGGX_ERROR_FORMAT` when it is damaged or not an image
/// that vggx reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_image_load(
    path: *const c_char,
    options: *const vggx_load_options,
    image: *mut *mut vggx_image,
) -> vggx_status {
    let _ = (path, options, image);
    VGGX_ERROR_UNSUPPORTED
}

/// Says where the pixels of an image are, as a `vggx_batch` takes them (`VGGX_PIXELS_RGB8`).
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_image_pixels(
    image: *const vggx_image,
    pixels: *mut vggx_pixels,
) -> vggx_status {
    let _ = (image, pixels);
    VGGX_ERROR_UNSUPPORTED
}

/// Frees an image. Null is fine.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no image.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_image_free(image: *mut vggx_image) -> vggx_status {
    let _ = image;
    VGGX_ERROR_UNSUPPORTED
}
