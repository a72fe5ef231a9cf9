//! What can be wrong with what callers give.

/// Why memory or a stream of a caller cannot be used. Nothing has been run, and nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallersError {
    /// The network runs elsewhere.
    #[error(
        "memory of a CUDA device was given, but the network does not run on one: open it on the CUDA device"
    )]
    NoDevice,
    /// The stream belongs to another context.
    #[error(
        "the CUDA stream is of another context than the one that the network was opened in: open it in the stream's context"
    )]
    ForeignStream,
    /// The stream's work is being recorded into a graph.
    #[error("the CUDA stream is being captured, and explanations cannot be: end the capture before")]
    CapturedStream,
    /// There must be one address an image.
    #[error("{got} addresses of {what} were given for {images} images")]
    Count {
        /// What they are of.
        what: &'static str,
        /// Addresses given.
        got: usize,
        /// Images.
        images: usize,
    },
    /// Rows would overlap, not be aligned, or be further apart than any memory is long.
    #[error(
        "rows of the {what} cannot be {row_stride} bytes apart: a row has {least}, a number {alignment}, and an image must \
         fit into memory"
    )]
    RowStride {
        /// What the rows are of.
        what: &'static str,
        /// Bytes given.
        row_stride: usize,
        /// Bytes of a row.
        least: usize,
        /// Bytes of a number.
        alignment: usize,
    },
    /// The address is null.
    #[error("the address of the {what} of image {image} is null")]
    Null {
        /// What should be there.
        what: &'static str,
        /// Place in the batch, from 0.
        image: usize,
    },
    /// Numbers would not be aligned.
    #[error("the address of the {what} of image {image}, 0x{address:x}, is not a multiple of {alignment}")]
    Misaligned {
        /// What should be there.
        what: &'static str,
        /// Place in the batch, from 0.
        image: usize,
        /// The address.
        address: u64,
        /// Bytes of a number.
        alignment: usize,
    },
    /// The memory is not this device's, or too short.
    #[error("the {bytes} bytes of the {what} of image {image}, from 0x{address:x} on, are not {place}")]
    Place {
        /// What should be there.
        what: &'static str,
        /// Place in the batch, from 0.
        image: usize,
        /// The address.
        address: u64,
        /// Bytes needed from there on.
        bytes: u64,
        /// What the memory should be and is not.
        place: &'static str,
    },
}
