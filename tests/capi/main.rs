//! The C API, called from Rust as C would call it; tests/c calls it from C.

mod arguments;
mod calls;
mod cycles;
mod describe;
mod equal;
mod half;
mod jobs;
mod learn;
mod pixels;
mod threads;

#[allow(dead_code)]
#[path = "../cli/run.rs"]
mod run;
#[path = "../weights/support.rs"]
mod support;
