//! Images that are read where they lie on the device.

use super::address::{Extent, check};
use super::error::CallersError;
use crate::backend::BackendError;
use crate::backend::cuda::device::{CallersStream, Device};
use crate::backend::cuda::params::VggxSource;

/// What the pixels of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Bytes, \[height, width, 3\], channels red, green, blue.
    Rgb8,
    /// float32, \[3, height, width\], normalised, channels in the network's order; rows of the planes follow each other.
    Normalised,
}

impl PixelFormat {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            PixelFormat::Rgb8 => 1,
            PixelFormat::Normalised => size_of::<f32>(),
        }
    }

    /// Rows of an image, and bytes of each; as large as they can be where they would be more.
    pub fn rows(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            PixelFormat::Rgb8 => (height, width.saturating_mul(3)),
            PixelFormat::Normalised => (height.saturating_mul(3), width.saturating_mul(size_of::<f32>())),
        }
    }
}

/// The pixels of a batch in memory of the device that a caller owns.
#[derive(Clone, Copy)]
pub struct DevicePixels<'a> {
    addresses: &'a [u64],
    format: PixelFormat,
    row_stride: usize,
    stream: CallersStream,
}

impl<'a> DevicePixels<'a> {
    /// Images from these device addresses on, each with rows `row_stride` bytes apart. They may lie anywhere, as long as numbers
    /// are aligned. They are read when what `stream` holds at the call is done, and no more when the call returns.
    ///
    /// What can be seen of the addresses is checked by the call that they are given to: [`CallersError`].
    ///
    /// # Safety
    /// Each address is of a whole image in the context that the backend was opened in, and until the call returns nothing
    /// writes it but work that `stream` holds already.
    pub unsafe fn new(
        addresses: &'a [u64],
        format: PixelFormat,
        row_stride: usize,
        stream: CallersStream,
    ) -> Self {
        DevicePixels { addresses, format, row_stride, stream }
    }

    /// What the pixels are.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The stream that they are written on.
    pub(in super::super) fn stream(&self) -> CallersStream {
        self.stream
    }

    pub(super) fn addresses(&self) -> &'a [u64] {
        self.addresses
    }

    /// Bytes from row to row.
    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Refuses what is not `images` images of this size on the device.
    pub(in super::super) fn check(
        &self,
        device: &Device,
        images: usize,
        (height, width): (usize, usize),
    ) -> Result<(), BackendError> {
        let what = "pixels";
        let alignment = self.format.bytes();
        let (rows, least) = self.format.rows(height, width);
        let row_stride = self.row_stride;
        let strides = row_stride.checked_mul(rows.saturating_sub(1));
        let bytes =
            strides.and_then(|bytes| bytes.checked_add(least)).filter(|&bytes| i64::try_from(bytes).is_ok());
        let Some(bytes) = bytes.filter(|_| row_stride >= least && row_stride.is_multiple_of(alignment))
        else {
            return Err(CallersError::RowStride { what, row_stride, least, alignment }.into());
        };
        check(device, self.addresses, images, Extent { what, bytes: bytes as u64, alignment })
    }

    /// What the kernels take of `count` images from `first` on, and of as many without an address as fill a part of `images`.
    pub(in super::super) fn sources(
        &self,
        (first, count, images): (usize, usize, usize),
    ) -> impl Iterator<Item = VggxSource> {
        let row_stride = self.row_stride as i64;
        let addresses = self.addresses[first..][..count].iter().copied();
        addresses
            .chain(std::iter::repeat(0))
            .take(images)
            .map(move |address| VggxSource { address, row_stride })
    }
}
