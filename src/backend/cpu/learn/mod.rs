//! Moments on the CPU.

mod second;
mod shifted;
mod triangle;
