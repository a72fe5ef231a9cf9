//! Images of the caller.

use std::ffi::c_void;

/// Pixels: `[height, width, 3]` bytes, rows of interleaved red, green and blue, 0 to 255.
pub const VGGX_PIXELS_RGB8: i32 = 0;
/// The network's input: `[3, height, width]` float32, one channel after the other in the network's order
/// (`vggx_description`), already scaled, centred and divided.
pub const VGGX_PIXELS_NORMALISED: i32 = 1;

/// Ordinary memory.
pub const VGGX_MEMORY_HOST: i32 = 0;
/// Memory of the engine's CUDA device.
pub const VGGX_MEMORY_CUDA: i32 = 1;

/// Images of one size, which the caller keeps. Begin with `VGGX_INIT(vggx_batch)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct vggx_batch {
    /// `sizeof(vggx_batch)`.
    pub size: usize,
    /// Number of images, at least 1. Calls run larger batches in parts where memory is short; results do not depend on what
    /// else is in a batch.
    pub images: usize,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    /// `images` pointers (this array itself is always in ordinary memory), one to the first row of each image. Float32 values
    /// are aligned to 4 bytes.
    pub pixels: *const *const c_void,
    /// Bytes that are there behind each of the pointers: at least those from the first row's first to the last row's last.
    pub image_bytes: usize,
    /// Bytes from the start of a row to the start of the next one; of float32 values a multiple of 4, and channels follow
    /// each other as if they were further rows. 0: rows follow each other without a gap.
    pub row_stride: usize,
    /// `VGGX_PIXELS_RGB8` or `VGGX_PIXELS_NORMALISED`.
    pub format: i32,
    /// `VGGX_MEMORY_HOST` or `VGGX_MEMORY_CUDA`: where the pixels are.
    pub memory: i32,
    /// With memory of the CUDA device, here or for the results: the stream (`CUstream`) whose earlier work makes the pixels,
    /// and whose later work may use the results. Null: the default stream.
    pub stream: *mut c_void,
}
