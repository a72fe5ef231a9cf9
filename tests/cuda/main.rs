//! The CUDA backend against the CPU backend, against float64 on its own decisions, and against itself. Without a GPU, by
//! host execution; with `VGGX_TEST_DEVICE=cuda` on the first device.

mod agreement;
mod caller;
mod contexts;
mod device_memory;
mod edges;
mod float8;
mod heat_maps;
#[path = "../host_driver/mod.rs"]
mod host_driver;
mod learn;
// Shared with the tests of learning on the CPU.
#[path = "../learning/learned.rs"]
mod learned;
mod passes;
mod perturb;
mod portable;
mod precision;
mod real_network;
#[path = "../reference/mod.rs"]
mod reference;
mod subbatches;
// Shared with the tests of the CPU engine, which use more of it.
#[allow(dead_code)]
#[path = "../engine/support.rs"]
mod support;
