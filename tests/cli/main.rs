//! The command itself, as its users and their scripts meet it.

mod bench;
mod images;
mod info;
mod outputs;
mod refused;
mod resume;
mod run;
mod usage;

#[path = "../weights/support.rs"]
mod support;
