//! The low level: a thin wrapper over the CUDA driver's API. The backend is built on it, and so are tests of single
//! kernels; nothing else should need it.
//!
//! The driver's library is looked up when it is first needed, so the same program runs on machines without one. Tests
//! on machines without a GPU put another library in its place that runs the kernels on the processor.
//!
//! ```no_run
//! use vggx::backend::cuda::device::{Device, LaunchSize};
//! use vggx::backend::cuda::params::VggxInterleave;
//!
//! let device = Device::open(0)?;
//! let stream = device.stream()?;
//! let (images, positions) = (2usize, 300usize);
//! let planes = device.allocate(images * 3 * positions * 4)?;
//! let output = device.allocate(images * 3 * positions * 4)?;
//! stream.upload(&planes, 0, &vec![1f32; images * 3 * positions])?;
//! stream.fill(&output, 0xff)?; // a NaN, so that what is not written shows
//! let parameters = VggxInterleave {
//!     planes: planes.address(),
//!     output: output.address(),
//!     images: images as i32,
//!     positions: positions as i32,
//! };
//! let blocks = (images * positions).div_ceil(256) as u32;
//! let size = LaunchSize { grid: [blocks, 1, 1], threads: 256, shared: 0 };
//! // SAFETY: the parameters are the kernel's, and the memory is as large as they say.
//! unsafe { stream.launch(&device.kernel("interleave_f32")?, size, &parameters)? };
//! let mut result = vec![0f32; images * 3 * positions];
//! stream.download(&mut result, &output, 0)?; // waits
//! # Ok::<(), vggx::backend::cuda::device::DeviceError>(())
//! ```

mod callers;
mod context;
mod description;
mod error;
mod graph;
mod library;
mod memory;
mod module;
mod stream;
mod tensor_map;

pub use callers::{CallersContext, CallersStream};
pub(super) use callers::{Place, StreamState};
pub use context::Device;
pub use description::{DeviceDescription, devices};
pub use error::{CudaVersion, DeviceError, DriverStatus};
pub use graph::Graph;
pub use memory::{DeviceMemory, PinnedMemory, Plain, bytes_of, bytes_of_mut};
pub use module::Kernel;
pub use stream::{Event, LaunchSize, Stream};
pub use tensor_map::{tensor_map, tensor_map_of_bytes};
