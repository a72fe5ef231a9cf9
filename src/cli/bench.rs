//! `vggx bench`: how fast the network runs here.

use super::exit::{Failure, Outcome, print};
use super::network::NetworkOptions;
use crate::bench::{self, BenchPart, Plan};
use crate::explain::Method;
use crate::images::resize;
use crate::setup::OpenedDevice;
use clap::Args;
use std::io::Write;

#[derive(Args)]
pub struct Options {
    /// Methods to time end to end [default: gradient, deconvnet, guided-backprop, and with patterns patternnet and
    /// pattern-attribution]
    #[arg(long = "method", short, value_name = "M,...", value_delimiter = ',')]
    methods: Vec<Method>,
    /// Side of the images, which are noise
    #[arg(long, value_name = "N", default_value_t = resize::DEFAULT_CROP, value_parser = clap::value_parser!(u32).range(1..=i64::from(resize::MAX_CROP)))]
    crop: u32,
    /// Images computed together [default: as explain]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    batch: Option<u16>,
    /// Timed runs of each part, after a warm-up; medians are shown [default: 5 on the CPU, 30 on CUDA]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// TFLOP/s that a large matrix product reaches on this device, measured elsewhere
    #[arg(long, value_name = "TFLOPS", value_parser = rate)]
    ceiling: Option<f64>,
    /// Side of the matrix product that is the kernels' own ceiling [default: 2048 on the CPU, 8192 on CUDA]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    product: Option<u16>,
    /// MiB that are copied to find the memory's bandwidth [default: 256 on the CPU, 1024 on CUDA]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..))]
    copy: Option<u16>,
    /// What to measure
    #[arg(long, value_name = "P,...", value_delimiter = ',', default_value = "ceiling,layers,methods", value_parser = part)]
    parts: Vec<BenchPart>,
    /// Try every kernel on every layer and show the fastest (CUDA)
    #[arg(long)]
    every_kernel: bool,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    network: NetworkOptions,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a positive number".to_owned()),
    }
}

fn part(text: &str) -> Result<BenchPart, String> {
    match text {
        "ceiling" => Ok(BenchPart::Ceiling),
        "layers" => Ok(BenchPart::Layers),
        "methods" => Ok(BenchPart::Methods),
        _ => Err("expected ceiling, layers or methods".to_owned()),
    }
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let weights = options.network.weights.open(options.quiet)?;
    let patterns =
        match options.methods.iter().any(|method| method.needs_patterns()) || options.methods.is_empty() {
            true => options.network.open_patterns(&weights)?,
            false => None,
        };
    let mut methods = options.methods.clone();
    if methods.is_empty() {
        methods = vec![Method::Gradient, Method::DeconvNet, Method::GuidedBackprop];
        if patterns.is_some() {
            methods.extend([Method::PatternNet, Method::PatternAttribution]);
        }
    }
    let OpenedDevice { backend, notice, .. } =
        options.network.device.open(&weights, options.batch.map(usize::from))?;
    let plan = Plan {
        batch: options.batch.map_or_else(|| backend.preferred_batch(), usize::from),
        side: options.crop as usize,
        methods,
        repeats: options.repeats.map(usize::from),
        ceiling: options.ceiling,
        product: options.product.map(usize::from),
        copy: options.copy.map(|mebibytes| usize::from(mebibytes) << 20),
        every_kernel: options.every_kernel,
        seed: options.seed,
        parts: options.parts.clone(),
    };
    let mut progress = |text: &str| {
        if !options.quiet {
            // Nothing can be done when standard error is closed or full.
            let _ = writeln!(std::io::stderr(), "{text} ...");
        }
    };
    if let Some(notice) = notice.filter(|_| !options.quiet) {
        let _ = writeln!(std::io::stderr(), "{notice}");
    }
    let report = bench::run(&*backend, &weights, patterns.as_ref(), &plan, &mut progress)?;
    print(&if options.json { report.to_json().to_string() } else { report.table() })?;
    Ok(Outcome::Done)
}
