//! The command itself, as its users and their scripts meet it.

mod bench;
mod compare;
mod convert;
#[cfg(target_os = "linux")]
mod cuda;
mod images;
mod info;
mod learn;
mod outputs;
mod pattern_file;
mod perturb;
mod quality;
mod randomise;
mod refused;
mod report;
mod resume;
mod run;
mod shards;
mod usage;

#[path = "../weights/support.rs"]
mod support;

#[cfg(target_os = "linux")]
#[path = "../host_driver/mod.rs"]
mod host_driver;
