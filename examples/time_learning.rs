//! Times learning on a CUDA device: `time_learning --weights FILE [--precision f16|bf16|f32] [--batch N] [--side N] [--repeats N]`.
//!
//! Prints images a second over the whole batch, its copy to the device included, the arithmetic that this is, and the time that
//! half of ImageNet would take; then the time of every kernel.

use clap::Parser;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use vggx::backend::cuda::{CudaOptions, Precision};
use vggx::backend::{Backend, Batch, Moments, Pixels};
use vggx::explain::on_cuda;
use vggx::network::PreprocessingOverrides;
use vggx::weights::Weights;

/// Images that the paper learnt from: half of ImageNet.
const HALF_OF_IMAGENET: f64 = 640_000.0;

#[derive(Parser)]
struct Options {
    #[arg(long)]
    weights: PathBuf,
    #[arg(long, default_value = "f16", value_parser = precision)]
    precision: Precision,
    /// Images of a batch
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Pixels a side
    #[arg(long, default_value_t = 224)]
    side: usize,
    #[arg(long, default_value_t = 20)]
    repeats: usize,
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f16" => Ok(Precision::F16),
        "bf16" => Ok(Precision::Bf16),
        "f32" => Ok(Precision::F32),
        _ => Err("expected f16, bf16 or f32".to_owned()),
    }
}

/// Noise: devices run faster on zeros.
fn pixels(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let weights = Arc::new(Weights::open(&options.weights, &PreprocessingOverrides::default())?);
    let cuda = on_cuda(&weights, &CudaOptions { precision: options.precision, ..CudaOptions::default() })?;
    println!("{}, batches of {} images of {s}×{s}", cuda.description(), options.batch, s = options.side);
    let pixels = pixels(options.batch * options.side * options.side * 3);
    let batch = Batch {
        images: options.batch,
        height: options.side,
        width: options.side,
        pixels: Pixels::Rgb8(&pixels),
    };

    let mut learner = cuda.learn(Moments::zeros(weights.network(), false))?;
    // Once step by step, once captured.
    learner.add(&batch)?;
    learner.add(&batch)?;
    let mut seconds = Vec::new();
    for _ in 0..options.repeats.max(1) {
        let start = Instant::now();
        learner.add(&batch)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let start = Instant::now();
    let moments = learner.moments()?;
    let read = start.elapsed().as_secs_f64();
    // A forward pass multiplies each weight with every position; the sums do so three times.
    let positions = |layer: &vggx::backend::LayerMoments| {
        layer.positions / ((seconds.len() + 2) * options.batch) as f64 * layer.positive_x.len() as f64
    };
    let forward = 2.0 * moments.layers.iter().map(positions).sum::<f64>();
    let rate = options.batch as f64 / median;
    println!(
        "{rate:.0} images/s ({:.0} at most), {:.1} TFLOP/s of forward and sums, {:.1} GFLOP an image",
        options.batch as f64 / seconds[0],
        4.0 * forward * rate / 1e12,
        4.0 * forward / 1e9
    );
    println!("640 000 images: {:.0} s", HALF_OF_IMAGENET / rate);
    println!("moments read back in {read:.2} s");
    drop(learner);

    let times = cuda.time_learning(&batch, options.repeats)?;
    let all: f64 = times.iter().map(|time| time.seconds).sum();
    println!("\nof {:.2} ms, one by one:", all * 1e3);
    for time in times {
        let share = 100.0 * time.seconds / all;
        println!("{:9.1} µs {share:5.1} %  {:32} {}", time.seconds * 1e6, time.kernel, time.shape);
    }
    for notice in cuda.notices() {
        println!("{notice}");
    }
    Ok(())
}
