//! `vggx learn`: from images to the patterns of a network.

mod checkpoint;
pub mod present;
mod run;

use super::exit::{Failure, Outcome};
use super::images::{ImageOptions, share};
use super::network::{DeviceOptions, WeightOptions};
use super::patterns::SolveArguments;
use crate::images::Shard;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    images: ImageOptions,
    /// Pattern file to write (safetensors)
    #[arg(long, short, value_name = "FILE", required_unless_present = "moments")]
    output: Option<PathBuf>,
    /// Keep the moments too: `vggx solve` makes patterns of them and of those of other runs
    #[arg(long, value_name = "FILE")]
    moments: Option<PathBuf>,
    /// Learn from N random crops of each image, scaled and mirrored at random, instead of one from the centre (--resize is
    /// not used then)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    crops: Option<u32>,
    /// Seed of the random crops
    #[arg(long, value_name = "N", default_value_t = 0, requires = "crops")]
    seed: u64,
    /// Also sum what `vggx quality` needs: products of all pairs of inputs of every layer
    #[arg(long)]
    second_moments: bool,
    /// Learn from share I of N of the images (I from 0 to N-1), or auto: the share that Slurm, Kubernetes or torchrun gives
    #[arg(long, value_name = "I/N", value_parser = share)]
    shard: Option<Shard>,
    /// Seconds between checkpoints, from which the same call goes on after it was stopped; 0: after every batch
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    checkpoint: u32,
    /// Images computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// Replace files that an earlier run left, and begin anew (but go on where such a call was stopped)
    #[arg(long)]
    overwrite: bool,
    /// Print the report on standard output as one JSON object
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    solve: SolveArguments,
    #[command(flatten)]
    weights: WeightOptions,
    #[command(flatten)]
    device: DeviceOptions,
}

/// Learns patterns.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
