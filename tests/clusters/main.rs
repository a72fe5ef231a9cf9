//! The scripts of `examples/clusters` and the commands of `docs/clusters.md`, on small networks.
#![cfg(target_os = "linux")]

mod commands;
mod kubernetes;
#[allow(dead_code)]
#[path = "../cli/pattern_file.rs"]
mod pattern_file;
#[allow(dead_code)]
#[path = "../cli/run.rs"]
mod run;
mod slurm;
mod slurm_daemons;
#[path = "../weights/support.rs"]
mod support;
mod tiny;
