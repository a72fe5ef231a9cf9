//! `vggx explain`: from images to explanations on disk.

mod earlier;
mod inputs;
mod record;
mod results;
mod run;

use super::exit::{Failure, Outcome};
use super::images::ImageOptions;
use super::network::NetworkOptions;
use crate::explain::{Method, Target};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    images: ImageOptions,
    /// Methods: gradient, deconvnet, guided-backprop, patternnet, pattern-attribution, and signal:E, attribution:E with
    /// E = identity, filter, linear, two-component, random
    #[arg(
        long = "method",
        short,
        value_name = "M,...",
        value_delimiter = ',',
        default_value = "patternnet,pattern-attribution"
    )]
    methods: Vec<Method>,
    /// The output to explain: top1, topN, an index, a label, or key (the target that comes with each input)
    #[arg(long, short, value_name = "T", default_value = "top1", allow_hyphen_values = true)]
    target: Target,
    /// Names of the network's outputs, one a line, in their order
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Folder to write into
    #[arg(long, short, value_name = "DIR", default_value = "explanations")]
    output: PathBuf,
    /// Formats: png, npy, npz, safetensors; none for timing
    #[arg(long, short, value_name = "F,...", default_value = "png")]
    format: String,
    /// Exponent of heat maps, sign-preserving
    #[arg(long, value_name = "G", default_value_t = 0.5, value_parser = gamma)]
    gamma: f64,
    /// Images computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// Seed of the random estimator's directions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Do everything again instead of keeping what an earlier run left
    #[arg(long)]
    overwrite: bool,
    /// Print the manifest's rows on standard output, one JSON object a line
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    network: NetworkOptions,
}

fn gamma(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(gamma) if gamma.is_finite() && gamma > 0.0 => Ok(gamma),
        _ => Err("expected a positive number".to_owned()),
    }
}

/// Explains all inputs.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
