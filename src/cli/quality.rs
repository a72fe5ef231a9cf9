//! `vggx quality`: how good signal estimators are.

mod document;
mod plot;
mod run;
mod source;
mod summing;
mod table;

use super::exit::{Failure, Outcome};
use super::images::ImageOptions;
use super::network::{DeviceOptions, WeightOptions};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// The quality ρ = 1 − max corr[vᵀd, y] of every neuron, in closed form. With --fit, v is fitted on other images than ρ is
/// taken on, and ρ is too high where there are few positions to fit it on; without, ρ is in sample and too low there.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    images: ImageOptions,
    /// File to write (JSON); the plot goes beside it as .png and .svg
    #[arg(long, short, value_name = "FILE", default_value = "quality.json")]
    output: PathBuf,
    /// Moments of the images that ρ is taken on, in place of images: files of `vggx learn --second-moments --moments`
    #[arg(long, value_name = "FILE,...", value_delimiter = ',', conflicts_with = "inputs")]
    moments: Vec<PathBuf>,
    /// Images that v is fitted on (files, directories, @list.txt), or files with moments of such
    #[arg(long, value_name = "INPUT,...", value_delimiter = ',')]
    fit: Vec<OsString>,
    /// Part the images in three, every third one: learn patterns of both centerings from the first part, fit v on the second, take ρ
    /// on the third
    #[arg(long, conflicts_with_all = ["moments", "fit", "patterns"])]
    split: bool,
    /// Estimators: identity, random, filter, linear, two-component [default: all that the files allow, without identity]
    #[arg(long, value_name = "E,...", value_delimiter = ',')]
    estimators: Vec<String>,
    /// Take N random crops of each image, scaled and mirrored at random, instead of one from the centre (--resize is not used then)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    crops: Option<u32>,
    /// Seed of the random crops and of the random estimator's directions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Images computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Print what is written to the file on standard output too, in place of the table
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    /// Files of patterns whose estimators are measured; of both centerings two files [default: the bundled ones, with the bundled
    /// weights only]
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    patterns: Vec<PathBuf>,
    #[command(flatten)]
    weights: WeightOptions,
    #[command(flatten)]
    device: DeviceOptions,
}

/// Measures the quality of estimators.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
