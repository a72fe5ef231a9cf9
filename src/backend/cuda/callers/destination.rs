//! Memory of the device that explanations are written to.

use super::address::{Extent, check};
use crate::backend::BackendError;
use crate::backend::cuda::Detail;
use crate::backend::cuda::device::{CallersStream, Device};

/// What an explanation is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// float32: the numbers that [`Explanation`](crate::explain::Explanation) holds.
    F32,
    /// float16: v · 2^−e rounded once, to nearest even, with the e of each image that brings its largest magnitude into
    /// \[2¹⁴, 2¹⁵) before rounding; e is the exponent, 0 where all are zero.
    F16,
}

impl Stored {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Stored::F32 => 4,
            Stored::F16 => 2,
        }
    }
}

/// Where the explanations of a batch go: memory of the device that a caller owns.
#[derive(Clone, Copy)]
pub struct DeviceDestination<'a> {
    addresses: &'a [u64],
    detail: Detail,
    stored: Stored,
    stream: CallersStream,
}

impl<'a> DeviceDestination<'a> {
    /// One device address an image: of \[3, height, width\] numbers, red, green, blue, or of a heat map \[height, width\]. They are
    /// written when what `stream` holds at the call is done, and all is there when the call returns. Images that fail leave
    /// theirs as it is.
    ///
    /// What can be seen of the addresses is checked by the call that they are given to:
    /// [`CallersError`](super::CallersError).
    ///
    /// # Safety
    /// Each address is of as much memory in the context that the backend was opened in, which no other one's overlaps, and until
    /// the call returns nothing uses it but work that `stream` holds already.
    pub unsafe fn new(addresses: &'a [u64], detail: Detail, stored: Stored, stream: CallersStream) -> Self {
        DeviceDestination { addresses, detail, stored, stream }
    }

    /// Planes or a heat map.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// The type of the numbers.
    pub fn stored(&self) -> Stored {
        self.stored
    }

    pub(in super::super) fn stream(&self) -> CallersStream {
        self.stream
    }

    /// The addresses, as many as there are images once it is checked.
    pub(in super::super) fn addresses(&self) -> &'a [u64] {
        self.addresses
    }

    /// Bytes of one explanation; as large as can be where it would be more.
    pub fn bytes(&self, height: usize, width: usize) -> usize {
        let factors = [height, width, self.detail.channels(), self.stored.bytes()];
        factors.iter().fold(1usize, |product, &factor| product.saturating_mul(factor))
    }

    /// Refuses what is not memory for `images` explanations of this size on the device.
    pub(in super::super) fn check(
        &self,
        device: &Device,
        images: usize,
        (height, width): (usize, usize),
    ) -> Result<(), BackendError> {
        let bytes = self.bytes(height, width) as u64;
        let extent = Extent { what: "explanation", bytes, alignment: self.stored.bytes() };
        check(device, self.addresses, images, extent)
    }
}
