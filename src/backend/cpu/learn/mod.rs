//! Moments on the CPU.
