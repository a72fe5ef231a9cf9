//! `vggx compare`: methods side by side, in one figure.

mod columns;
mod note;
mod run;

use super::exit::{Failure, Outcome};
use super::images::ImageOptions;
use super::network::{DeviceOptions, WeightOptions};
use crate::explain::{Method, Target};
use crate::images::resize;
use crate::output::figure::{FigureFormat, default_side};
use clap::Args;
use std::path::PathBuf;

/// Draw images and their explanations side by side: a row an image, a column a method, with captions.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    images: ImageOptions,
    /// File to write: .png, .svg or .html
    #[arg(long, short, value_name = "FILE", default_value = "figure.png")]
    output: PathBuf,
    /// Format of the figure, whatever the file's name: png, svg, html
    #[arg(long, short, value_name = "F")]
    format: Option<FigureFormat>,
    /// Methods, a column each, as of explain [default: gradient, deconvnet, guided-backprop, and with patterns patternnet and
    /// pattern-attribution]
    #[arg(long = "method", short, value_name = "M,...", value_delimiter = ',')]
    methods: Vec<Method>,
    /// The output to explain: top1, topN, an index, a label, or key (the target that comes with each input)
    #[arg(long, short, value_name = "T", default_value = "top1", allow_hyphen_values = true)]
    target: Target,
    /// Names of the network's outputs, one a line, in their order; 1000 classes are ImageNet's without it
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Exponent of heat maps, sign-preserving
    #[arg(long, value_name = "G", default_value_t = 0.5, value_parser = super::explain::gamma)]
    gamma: f64,
    /// Lay heat maps over the image in grey
    #[arg(long)]
    overlay: bool,
    /// Side of a picture in the figure, in pixels [default: as --crop, small ones enlarged by a whole number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=i64::from(resize::MAX_CROP)))]
    cell: Option<u32>,
    /// Images computed together [default: 8 on the CPU, on CUDA from its memory; fewer for crops above 224]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// Seed of the random estimator's directions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    /// Patterns of these weights; several files: a column for each, of every method that needs them [default: the bundled
    /// ones, with the bundled weights only]
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    patterns: Vec<PathBuf>,
    #[command(flatten)]
    weights: WeightOptions,
    #[command(flatten)]
    device: DeviceOptions,
}

impl Options {
    /// Side of the figure's pictures, in pixels.
    fn side(&self) -> u32 {
        self.cell.unwrap_or_else(|| default_side(self.images.crop))
    }
}

/// Draws the figure.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    run::run(options)
}
