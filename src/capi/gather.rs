//! The pixels of a batch, one image after another, as the library takes them.

use super::arguments::product;
use super::batch::{Format, Memory, Shape};
use super::failure::Failure;
use super::status::VGGX_ERROR_MEMORY;
use crate::backend::cuda::{DevicePixels, PixelFormat};
use crate::backend::{Backend, Batch, OwnedPixels, Pixels};
use std::borrow::Cow;
use std::ffi::c_void;

/// Images of the caller, checked as far as that is possible.
pub struct Images {
    pub shape: Shape,
    pub pointers: Vec<*const c_void>,
    /// The pointers as addresses of the device.
    pub addresses: Vec<u64>,
    /// Bytes of a row.
    pub row: usize,
    /// Rows of an image.
    pub rows: usize,
}

// SAFETY: the pixels are only read, the stream is a handle, and whoever gives them to another thread keeps them where they are.
unsafe impl Send for Images {}

/// Images one after another.
pub struct Gathered<'a> {
    images: usize,
    height: usize,
    width: usize,
    values: Values<'a>,
}

enum Values<'a> {
    Rgb8(Cow<'a, [u8]>),
    Normalised(Cow<'a, [f32]>),
    /// Where they lie on the device.
    Device(DevicePixels<'a>),
}

impl Images {
    /// Brings the images together, without gaps; a single one without gaps stays where it is, and so do those on the device.
    ///
    /// # Safety
    /// The pixels are there while `'a` lasts, and nobody writes them; on the device, but work that the stream holds already.
    pub unsafe fn gather<'a>(&'a self) -> Result<Gathered<'a>, Failure> {
        let Shape { images, height, width, format, memory, stride, stream, .. } = self.shape;
        if memory == Memory::Device {
            let format = match format {
                Format::Rgb8 => PixelFormat::Rgb8,
                Format::Normalised => PixelFormat::Normalised,
            };
            // SAFETY: as the caller says.
            let pixels = unsafe { DevicePixels::new(&self.addresses, format, stride, stream) };
            return Ok(Gathered { images, height, width, values: Values::Device(pixels) });
        }
        let values = match format {
            // SAFETY: as the caller says; pointers to float32 are aligned.
            Format::Rgb8 => Values::Rgb8(unsafe { self.gather_values::<u8>() }?),
            // SAFETY: as above.
            Format::Normalised => Values::Normalised(unsafe { self.gather_values::<f32>() }?),
        };
        Ok(Gathered { images, height, width, values })
    }

    /// # Safety
    /// As [`Images::gather`], and the pointers are aligned for a `T`, of which a row is a whole number.
    unsafe fn gather_values<'a, T: Copy>(&self) -> Result<Cow<'a, [T]>, Failure> {
        let (row, stride) = (self.row / size_of::<T>(), self.shape.stride / size_of::<T>());
        if let [pointer] = self.pointers[..]
            && row == stride
        {
            // SAFETY: the image is as long as `image_bytes`, which was compared with this.
            return Ok(Cow::Borrowed(unsafe {
                std::slice::from_raw_parts(pointer.cast::<T>(), self.rows * row)
            }));
        }
        let mut values = Vec::new();
        let count = product(&[self.shape.images, self.rows, row], "the pixels of the batch")?;
        values.try_reserve_exact(count).map_err(|_| {
            Failure::new(
                VGGX_ERROR_MEMORY,
                format!("{count} pixel values of the batch do not fit into memory; use a smaller one"),
            )
        })?;
        for pointer in &self.pointers {
            for index in 0..self.rows {
                // SAFETY: as above; rows lie within `image_bytes`.
                let from =
                    unsafe { std::slice::from_raw_parts(pointer.cast::<T>().add(index * stride), row) };
                values.extend_from_slice(from);
            }
        }
        Ok(Cow::Owned(values))
    }
}

impl Gathered<'_> {
    /// As the library takes it.
    pub fn batch(&self) -> Batch<'_> {
        let Gathered { images, height, width, .. } = *self;
        let pixels = match &self.values {
            Values::Rgb8(pixels) => Pixels::Rgb8(pixels),
            Values::Normalised(values) => Pixels::Normalised(values),
            Values::Device(pixels) => Pixels::Device(*pixels),
        };
        Batch { images, height, width, pixels }
    }

    /// Calls `work` with the pixels as bytes; those of the device are brought here.
    pub fn with_bytes(&self, backend: &dyn Backend, work: impl FnOnce(&[u8])) -> Result<(), Failure> {
        match &self.values {
            Values::Rgb8(pixels) => work(pixels),
            Values::Normalised(values) => work(bytes_of(values)),
            Values::Device(pixels) => match backend.fetch(pixels, self.images, (self.height, self.width))? {
                OwnedPixels::Rgb8(pixels) => work(&pixels),
                OwnedPixels::Normalised(values) => work(bytes_of(&values)),
            },
        }
        Ok(())
    }
}

fn bytes_of(values: &[f32]) -> &[u8] {
    // SAFETY: any bytes of float32 values can be read.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
