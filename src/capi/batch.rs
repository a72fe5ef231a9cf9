//! Images of the caller.

use super::arguments::{Versioned, check_array, check_pointer, product, read, slice};
use super::core::Core;
use super::failure::Failure;
use super::gather::Images;
use super::status::VGGX_ERROR_UNSUPPORTED;
use crate::backend::cuda::CallersStream;
use std::ffi::c_void;

/// Pixels: `[height, width, 3]` bytes, rows of interleaved red, green and blue, 0 to 255.
pub const VGGX_PIXELS_RGB8: i32 = 0;
/// The network's input: `[3, height, width]` float32, one channel after the other in the network's order
/// (`vggx_description`), already scaled, centred and divided.
pub const VGGX_PIXELS_NORMALISED: i32 = 1;

/// The handle that means each thread's own default stream, `CU_STREAM_PER_THREAD`.
const STREAM_PER_THREAD: usize = 2;

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
    /// Number of images, at least 1. Results do not depend on what else is in a batch. A CUDA device runs larger ones in parts
    /// where its memory is short; the CPU refuses those for which there is none (`VGGX_ERROR_MEMORY`).
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
    /// With memory of the CUDA device, here or for explanations: the stream (`CUstream`, `cudaStream_t`) of the engine's
    /// context whose work so far makes the pixels, or still uses the buffers. The call's work begins after it, and has ended
    /// when the call returns (or the job has ended). Null: the legacy default stream.
    pub stream: *mut c_void,
}

// SAFETY: integers and pointers, after a size.
unsafe impl Versioned for vggx_batch {
    const NAME: &'static str = "vggx_batch";
}

/// A batch whose numbers make sense. Its pixels were not looked at.
pub struct Shape {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub format: Format,
    pub memory: Memory,
    /// Of the device.
    pub stream: CallersStream,
    /// Whether it is each thread's own default stream.
    of_thread: bool,
    /// Bytes from a row to the next.
    pub stride: usize,
    pixels: *const *const c_void,
}

/// Where something is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Host,
    Device,
}

/// What the pixels are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Rgb8,
    Normalised,
}

impl Format {
    /// Alignment of a value.
    fn align(self) -> usize {
        match self {
            Format::Rgb8 => 1,
            Format::Normalised => align_of::<f32>(),
        }
    }
}

impl Shape {
    /// Reads a batch and checks its numbers: whoever has something to count images by does so before the pixels are looked
    /// at.
    ///
    /// # Safety
    /// The batch is null, or as large as it says.
    pub unsafe fn read(batch: *const vggx_batch, core: &Core) -> Result<Self, Failure> {
        // SAFETY: as the caller says.
        let batch = unsafe { read(batch) }?;
        let format = match batch.format {
            VGGX_PIXELS_RGB8 => Format::Rgb8,
            VGGX_PIXELS_NORMALISED => Format::Normalised,
            other => return Err(Failure::argument(format!("format is {other}, which is none"))),
        };
        let memory = read_memory(batch.memory, core)?;
        if batch.images == 0 {
            return Err(Failure::argument("images is 0"));
        }
        core.check_extents(batch.height, batch.width)?;
        let shape = Shape {
            images: batch.images,
            height: batch.height,
            width: batch.width,
            format,
            memory,
            // SAFETY: the caller's stream, kept until the call has returned, or the job has ended.
            stream: unsafe { CallersStream::new(batch.stream) },
            of_thread: batch.stream.addr() == STREAM_PER_THREAD,
            stride: 0,
            pixels: batch.pixels,
        };
        let row = shape.row_bytes()?;
        let stride = if batch.row_stride == 0 { row } else { batch.row_stride };
        if stride < row || stride % format.align() != 0 {
            return Err(Failure::argument(format!(
                "row_stride is {stride}, but it must be 0 or a multiple of {} that is at least {row}",
                format.align()
            )));
        }
        let rows = shape.rows()?;
        // Up to the last row's last byte.
        let needed = product(&[rows - 1, stride], "the rows of an image")?.saturating_add(row);
        if batch.image_bytes < needed {
            return Err(Failure::argument(format!(
                "image_bytes is {}, but images of {}×{} in rows of {stride} bytes have {needed}",
                batch.image_bytes, batch.height, batch.width
            )));
        }
        product(&[batch.images, rows, row], "the pixels of the batch")?;
        Ok(Shape { stride, ..shape })
    }

    /// Refuses the default stream of a thread in calls whose work is done by another thread, if the device is concerned: for
    /// its pixels or, as the caller knows, otherwise.
    pub fn refuse_stream_of_thread(&self, otherwise: bool) -> Result<(), Failure> {
        if self.of_thread && (otherwise || self.memory == Memory::Device) {
            return Err(Failure::argument(
                "stream is CU_STREAM_PER_THREAD, but a thread of the engine does the work; give a stream of your own",
            ));
        }
        Ok(())
    }

    /// Bytes of a row.
    fn row_bytes(&self) -> Result<usize, Failure> {
        let pixel = match self.format {
            Format::Rgb8 => 3,
            Format::Normalised => size_of::<f32>(),
        };
        product(&[self.width, pixel], "the pixels of a row")
    }

    /// Rows of an image, those of all channels where they are apart.
    fn rows(&self) -> Result<usize, Failure> {
        match self.format {
            Format::Rgb8 => Ok(self.height),
            Format::Normalised => product(&[self.height, 3], "the rows of an image"),
        }
    }

    /// Values of an explanation of an image.
    pub fn values(&self, heat_map: bool) -> Result<usize, Failure> {
        product(&[if heat_map { 1 } else { 3 }, self.height, self.width], "the values of an explanation")
    }

    /// Looks at the pointers.
    ///
    /// # Safety
    /// `pixels` of the batch is null or leads to `images` pointers.
    pub unsafe fn pixels(self) -> Result<Images, Failure> {
        check_array(self.pixels, self.images, "pixels")?;
        // SAFETY: as the caller says.
        let pointers = unsafe { slice(self.pixels, self.images, "pixels") }?;
        for (image, &pointer) in pointers.iter().enumerate() {
            let name = format!("pixels[{image}]");
            match self.format {
                Format::Rgb8 => check_pointer(pointer.cast::<u8>(), &name)?,
                Format::Normalised => check_pointer(pointer.cast::<f32>(), &name)?,
            }
        }
        Ok(Images {
            pointers: pointers.to_vec(),
            addresses: pointers.iter().map(|pointer| pointer.addr() as u64).collect(),
            row: self.row_bytes()?,
            rows: self.rows()?,
            shape: self,
        })
    }
}

/// Refuses memory that is none, or that the engine cannot reach.
pub fn read_memory(memory: i32, core: &Core) -> Result<Memory, Failure> {
    match memory {
        VGGX_MEMORY_HOST => Ok(Memory::Host),
        VGGX_MEMORY_CUDA if core.device != "cpu" => Ok(Memory::Device),
        VGGX_MEMORY_CUDA => Err(Failure::new(
            VGGX_ERROR_UNSUPPORTED,
            "memory is VGGX_MEMORY_CUDA, but the engine computes on the CPU; open it on the CUDA device",
        )),
        other => Err(Failure::argument(format!("memory is {other}, which is none"))),
    }
}
