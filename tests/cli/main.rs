//! The command itself, as its users and their scripts meet it.

mod bench;
#[cfg(target_os = "linux")]
mod cuda;
mod images;
mod info;
mod learn;
mod outputs;
mod quality;
mod refused;
mod resume;
mod run;
mod usage;

#[path = "../weights/support.rs"]
mod support;

#[cfg(target_os = "linux")]
#[path = "../host_driver/mod.rs"]
mod host_driver;
