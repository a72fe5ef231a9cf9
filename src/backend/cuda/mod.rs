//! Runs a network on NVIDIA GPUs.

pub mod device;
pub mod params;

/// What build.rs compiled.
mod kernels {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}
