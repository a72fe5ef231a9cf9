//! `vggx perturb`: what becomes of the response when relevant patches are replaced.

mod checkpoint;
mod document;
mod identity;
mod plot;
mod report;
mod run;
mod table;

use super::exit::{Failure, Outcome};
use super::images::ImageOptions;
use super::network::NetworkOptions;
use crate::evaluate::perturb::{Mode, Order, Replacement, Steps};
use crate::explain::{Method, Target};
use clap::Args;
use std::path::PathBuf;

/// Patch flipping, deletion and insertion curves of methods, beside those of patches in random order. Each image is explained, its patches
/// ranked by the relevance in them (sums over pixels and channels; of magnitudes but for attributions), and the network run with more and more
/// of them replaced. Curves are of the softmax probability of the output chosen on the image as it is; of networks without classifier,
/// of the channel's response relative to that. A stopped or killed run goes on where it was when it is started again.
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
    /// The output that is watched: top1, topN, an index, a label, or key (the target that comes with each input)
    #[arg(long, short, value_name = "T", default_value = "top1", allow_hyphen_values = true)]
    target: Target,
    /// Names of the network's outputs, one a line, in their order; 1000 classes are ImageNet's without it
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// flip: patches are replaced, as many as there are steps; deletion: until all are; insertion: patches are put into the replaced image
    #[arg(long, value_name = "MODE", default_value = "flip")]
    mode: Mode,
    /// Rows and columns of a patch, in pixels
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    patch: u32,
    /// Numbers of patches after which to measure: 0, 1, ... N; of deletion and insertion N parts of all patches; or a list, as in 0,5,20
    #[arg(long, value_name = "N[,...]", default_value = "100")]
    steps: Steps,
    /// Which patches come first: most, least relevant
    #[arg(long, value_name = "O,...", value_delimiter = ',', default_value = "most")]
    order: Vec<Order>,
    /// What patches are replaced with: mean (the patch's own, in each channel), black, dataset-mean (the network's), blur (a Gaussian of σ = 5
    /// within 11×11 pixels), noise (normal, with the network's mean and standard deviation) [default: mean; blur for insertion]
    #[arg(long, value_name = "R")]
    replace: Option<Replacement>,
    /// Seed of random orders, noise, the bootstrap, and the random estimator's directions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Copies computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// File to write (JSON); the plot goes beside it as .png and .svg
    #[arg(long, short, value_name = "FILE", default_value = "curves.json")]
    output: PathBuf,
    /// Also write a page (HTML) with the curves, their tables, and the images with their explanations
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Measure everything again instead of keeping what an earlier run left
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

impl Options {
    /// What patches are replaced with.
    fn replacement(&self) -> Replacement {
        self.replace.unwrap_or(match self.mode {
            Mode::Flip | Mode::Deletion => Replacement::Mean,
            Mode::Insertion => Replacement::Blur,
        })
    }
}

/// Perturbs all inputs.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
