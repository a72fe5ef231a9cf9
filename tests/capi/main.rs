//! The C API, called from Rust as C would call it; tests/c calls it from C.

#![cfg(unix)]

mod arguments;
mod calls;
#[cfg(target_os = "linux")]
mod cuda;
mod cycles;
mod describe;
mod equal;
mod half;
mod jobs;
mod learn;
#[cfg(target_os = "linux")]
mod memory;
mod pixels;
mod threads;

// What a program in C has on the device.
#[cfg(target_os = "linux")]
#[allow(dead_code)]
#[path = "../cuda/caller.rs"]
mod caller;
#[cfg(target_os = "linux")]
#[path = "../host_driver/mod.rs"]
mod host_driver;
#[allow(dead_code)]
#[path = "../cli/run.rs"]
mod run;
#[path = "../weights/support.rs"]
mod support;
