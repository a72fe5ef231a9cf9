//! Runs a network on NVIDIA GPUs.

mod compiled;
pub mod device;
pub mod params;
