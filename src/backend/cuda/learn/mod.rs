//! Moments on a CUDA device.
