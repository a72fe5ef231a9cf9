//! Runs a network on NVIDIA GPUs.

mod params;
