//! Every CUDA kernel, launch by launch, against float64 written plainly. Without a GPU the kernels run on the processor
//! (kernels/host/); `VGGX_TEST_DEVICE=cuda` runs the same tests on the GPU that the installed driver shows.

mod convolution;
mod deliver;
mod gather;
#[path = "../host_driver/mod.rs"]
mod host_driver;
mod image;
mod moments;
mod output;
mod pooling;
mod prepare;
mod response;
mod second_moments;
mod signal_image;
mod support;
