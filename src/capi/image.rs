//! Image files.

use super::arguments::{Versioned, check_pointer, path as read_path, read_or_default, write};
use super::error::call;
use super::failure::Failure;
use super::handle::{Opaque, borrow, give, take};
use super::status::{VGGX_OK, vggx_status};
use crate::images::{LoadOptions, Rgb8, load, resize};
use std::ffi::c_char;

/// A decoded image. It never changes, so any number of threads may use one.
pub struct vggx_image {
    _private: (),
}

impl Opaque for vggx_image {
    type Inside = Rgb8;
    const MARK: u64 = u64::from_ne_bytes(*b"vggx img");
    const NAME: &'static str = "image";
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
    /// Larger images are refused, in pixels. 0: 178 million.
    pub max_pixels: u64,
}

// SAFETY: integers after a size.
unsafe impl Versioned for vggx_load_options {
    const NAME: &'static str = "vggx_load_options";
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

// SAFETY: integers and a pointer, after a size.
unsafe impl Versioned for vggx_pixels {
    const NAME: &'static str = "vggx_pixels";
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
    call(|| {
        check_pointer(image, "image")?;
        // SAFETY: not null and aligned; the caller has a place for a pointer there.
        unsafe { image.write(std::ptr::null_mut()) };
        // SAFETY: the path is a string of the caller's.
        let path = unsafe { read_path(path, "path") }?;
        // SAFETY: the options are the caller's, as large as they say.
        let options = load_options(&unsafe { read_or_default(options) }?)?;
        let loaded = load(&path, &options)?;
        // SAFETY: as above.
        unsafe { image.write(give(loaded)) };
        Ok(VGGX_OK)
    })
}

fn load_options(options: &vggx_load_options) -> Result<LoadOptions, Failure> {
    let default = LoadOptions::default();
    let given = |number, default| if number == 0 { default } else { number };
    let options = LoadOptions {
        resize: given(options.resize, default.resize),
        crop: given(options.crop, default.crop),
        max_pixels: match options.max_pixels {
            0 => default.max_pixels,
            max_pixels => max_pixels,
        },
    };
    resize::validate(options.resize, options.crop).map_err(|error| Failure::argument(error.to_string()))?;
    Ok(options)
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
    call(|| {
        // SAFETY: the caller's image, or something that is found out.
        let image = unsafe { borrow(image) }?;
        let known = vggx_pixels {
            size: size_of::<vggx_pixels>(),
            pixels: image.pixels.as_ptr(),
            height: image.height,
            width: image.width,
            row_stride: image.width * 3,
            bytes: image.pixels.len(),
        };
        // SAFETY: the struct is the caller's, as large as it says.
        unsafe { write(pixels, &known) }?;
        Ok(VGGX_OK)
    })
}

/// Frees an image. Null is fine.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no image.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vggx_image_free(image: *mut vggx_image) -> vggx_status {
    call(|| {
        // SAFETY: the caller's image, which nobody else uses any more.
        drop(unsafe { take(image) }?);
        Ok(VGGX_OK)
    })
}
