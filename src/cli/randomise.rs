//! `vggx randomise`: whether explanations depend on what the network has learnt.

mod document;
mod plot;
mod run;
mod table;

use super::exit::{Failure, Outcome};
use super::images::ImageOptions;
use super::network::NetworkOptions;
use crate::explain::{Method, Target};
use clap::Args;
use std::path::PathBuf;

/// The parameter randomisation test of Adebayo et al. 2018: the network's layers are randomised one after another from the output on, and the
/// same output is explained again. The table says how alike the maps still are, by structural similarity (SSIM) and by Spearman's rank
/// correlation. A method whose maps stay the same does not show what the network has learnt. Patterns stay those of the trained
/// network. All images are held in memory, with a map for each method.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    images: ImageOptions,
    /// Methods, as of `vggx explain`
    #[arg(
        long = "method",
        short,
        value_name = "M,...",
        value_delimiter = ',',
        default_value = "patternnet,pattern-attribution"
    )]
    methods: Vec<Method>,
    /// The output to explain, chosen with the trained network: top1, topN, an index, a label, or key (the target that comes with each input)
    #[arg(long, short, value_name = "T", default_value = "top1", allow_hyphen_values = true)]
    target: Target,
    /// Names of the network's outputs, one a line, in their order; 1000 classes are ImageNet's without it
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Randomise one layer at a time, not all from the output down to it
    #[arg(long)]
    independent: bool,
    /// Seed of the random weights, the bootstrap, and the random estimator's directions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Images computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// File to write (JSON); the plot goes beside it as .png and .svg
    #[arg(long, short, value_name = "FILE", default_value = "randomise.json")]
    output: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Print what is written to the file on standard output too, in place of the table
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    network: NetworkOptions,
}

/// Tests methods.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
