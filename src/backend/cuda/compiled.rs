//! The kernels that build.rs compiled; none without a CUDA compiler.

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
