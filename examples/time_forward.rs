//! Times forwards and explanations on the CPU: the product's side of `benches/peers/onnxruntime_forward.py`.
//!
//! `time_forward --weights FILE [--patterns FILE] [--batch N] [--threads N] [--repeat R] [--size S] [--method M]...`
//! [--photos FOLDER | --flat] prints one JSON line: `{"forward_ms": [...], "explain_ms": {method: [...]}}`, milliseconds a call for the whole batch.

use clap::Parser;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use vggx::backend::{Backend, Batch, Pass, Pixels};
use vggx::explain::{Method, Operators, Recipe, on_cpu};
use vggx::images::find::find;
use vggx::images::{LoadOptions, load};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::Patterns;
use vggx::weights::Weights;

#[derive(Parser)]
struct Options {
    #[arg(long)]
    weights: PathBuf,
    #[arg(long)]
    patterns: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[arg(long, default_value_t = 10)]
    repeat: usize,
    #[arg(long, default_value_t = 224)]
    size: usize,
    #[arg(long)]
    method: Vec<Method>,
    /// Photos to run on, again and again
    #[arg(long, default_value = "samples")]
    photos: PathBuf,
    /// One grey instead: the most work, since every position repeats its neighbours
    #[arg(long)]
    flat: bool,
}

/// The pixels of a batch.
fn pixels(options: &Options) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    if options.flat {
        return Ok(vec![128; options.batch * options.size * options.size * 3]);
    }
    let photos = find(&[&options.photos])?.images;
    let size = u32::try_from(options.size)?;
    let load_options = LoadOptions { resize: size, crop: size, ..LoadOptions::default() };
    let mut pixels = Vec::new();
    for photo in photos.iter().cycle().take(options.batch) {
        pixels.extend(load(&photo.path, &load_options)?.pixels);
    }
    Ok(pixels)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let weights = Arc::new(Weights::open(&options.weights, &PreprocessingOverrides::default())?);
    let patterns = match &options.patterns {
        Some(path) => Some(Arc::new(Patterns::open(path, &weights)?)),
        None => None,
    };
    let cpu = on_cpu(&weights, options.threads)?;
    let pixels = pixels(&options)?;
    let batch = Batch {
        images: options.batch,
        height: options.size,
        width: options.size,
        pixels: Pixels::Rgb8(&pixels),
    };
    let milliseconds = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    let mut forward_ms = Vec::new();
    cpu.forward(&batch)?;
    for _ in 0..options.repeat {
        let start = Instant::now();
        cpu.forward(&batch)?;
        forward_ms.push(milliseconds(start));
    }
    let mut explain_ms = serde_json::Map::new();
    for method in &options.method {
        let Recipe::Pass { operator, gate, start, .. } = method.recipe() else { continue };
        let operators = Arc::new(Operators::new(weights.clone(), patterns.clone(), operator, 0)?);
        let id = cpu.prepare(&Pass { operators, gate, start })?;
        let mut times = Vec::new();
        for _ in 0..=options.repeat {
            let start = Instant::now();
            let trace = cpu.forward(&batch)?;
            for relevance in trace.backward(id, &vec![0; options.batch]) {
                relevance?;
            }
            times.push(milliseconds(start));
        }
        explain_ms.insert(method.to_string(), times.split_off(1).into());
    }
    println!("{}", serde_json::json!({"forward_ms": forward_ms, "explain_ms": explain_ms}));
    Ok(())
}
