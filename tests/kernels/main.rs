//! Every CUDA kernel, launch by launch, against float64 written plainly. Without a GPU the kernels run on the processor
//! (kernels/host/); `VGGX_TEST_DEVICE=cuda` runs the same tests on the GPU that the installed driver shows.

mod convolution;
mod deliver;
mod gather;
mod hopper;
mod hopper_moments;
#[path = "../host_driver/mod.rs"]
mod host_driver;
mod image;
mod moments;
mod output;
mod perturb;
mod pooling;
mod prepare;
mod resident;
mod response;
mod second_moments;
mod signal_image;
mod support;
