//! Moments on a CUDA device.

mod second;
