//! `vggx explain`: from images to explanations on disk.

mod choices;
mod compute;
mod earlier;
mod files;
mod inputs;
mod prepare;
mod record;
mod results;
mod rows;
mod run;
mod shards;
mod telling;

use super::exit::{Failure, Outcome};
use super::images::{ImageOptions, share};
use super::network::NetworkOptions;
use crate::explain::{Method, Target};
use crate::images::Shard;
use crate::output::Element;
use crate::output::shards::RowFormat;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
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
    /// Names of the network's outputs, one a line, in their order; 1000 classes are ImageNet's without it
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Folder to write into
    #[arg(long, short, value_name = "DIR", default_value = "explanations")]
    output: PathBuf,
    /// Formats: png, npy, npz, safetensors; none for timing
    #[arg(long, short, value_name = "F,...", default_value = "png")]
    format: String,
    /// What the output folder holds: files (of each image) or shards (one of many images: a tar file, npz or safetensors, a
    /// table of rows and a marker that it is finished) [default: shards for .tar inputs and --synthetic, else files]
    #[arg(long, value_name = "L", help_heading = "Large sets")]
    layout: Option<LayoutChoice>,
    /// Images of an output shard, where they come singly; a tar shard makes one
    /// [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Large sets")]
    shard_size: Option<u32>,
    /// Rows of output shards: jsonl or parquet [default: jsonl]
    #[arg(long, value_name = "R", value_parser = row_formats(), help_heading = "Large sets")]
    rows: Option<RowFormat>,
    /// Explain share I of N (I from 0 to N-1) of the shards, or with --layout files of the images; auto: the share that
    /// Slurm, Kubernetes or torchrun gives
    #[arg(long, value_name = "I/N", value_parser = share, help_heading = "Large sets")]
    shard: Option<Shard>,
    /// Explain N images of noise instead of inputs, which costs no decoding
    #[arg(long, value_name = "N", conflicts_with = "inputs", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Large sets")]
    synthetic: Option<u64>,
    /// Numbers of arrays: f32, f16 (within 2^-11 of each value), u8 (within 1/127 of the largest)
    /// [default: f32]
    #[arg(long, value_name = "TYPE", value_parser = elements())]
    store: Option<Element>,
    /// Store arrays of attributions as heat maps, summed over the channels
    #[arg(long)]
    heat_maps: bool,
    /// Exponent of heat maps, sign-preserving
    #[arg(long, value_name = "G", default_value_t = 0.5, value_parser = gamma)]
    gamma: f64,
    /// Images computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// Seed of the random estimator's directions and of --synthetic
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Do everything again instead of keeping what an earlier run left
    #[arg(long)]
    overwrite: bool,
    /// Print the rows on standard output as images are done, one JSON object a line; with shards, events between them
    /// (objects with a key `event`): progress, shard, summary
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    network: NetworkOptions,
}

/// What an output folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LayoutChoice {
    Files,
    Shards,
}

fn row_formats() -> impl TypedValueParser<Value = RowFormat> {
    PossibleValuesParser::new(RowFormat::NAMES).try_map(|name| name.parse::<RowFormat>())
}

fn elements() -> impl TypedValueParser<Value = Element> {
    PossibleValuesParser::new(Element::NAMES).try_map(|name| name.parse::<Element>())
}

/// The exponent of heat maps, from the command line.
pub(super) fn gamma(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(gamma) if gamma.is_finite() && gamma > 0.0 => Ok(gamma),
        _ => Err("expected a positive number".to_owned()),
    }
}

/// Explains all inputs.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
