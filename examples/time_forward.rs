//! Times forwards and explanations on the CPU: the product's side of `benches/peers/onnxruntime_forward.py`.
//!
//! `time_forward --weights FILE [--patterns FILE] [--batch N] [--threads N] [--repeat R] [--size S] [--method M]...`
//! prints one JSON line: `{"forward_ms": [...], "explain_ms": {method: [...]}}`, milliseconds a call for the whole batch.

use clap::Parser;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use vggx::backend::cpu::Cpu;
use vggx::backend::{Backend, Batch, Pass, Pixels};
use vggx::explain::{Method, Operators, Recipe};
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
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let weights = Arc::new(Weights::open(&options.weights, &PreprocessingOverrides::default())?);
    let patterns = match &options.patterns {
        Some(path) => Some(Arc::new(Patterns::open(path, &weights)?)),
        None => None,
    };
    let layers = weights.network().parametric().count();
    let biases = (0..layers).map(|layer| weights.bias(layer).to_vec()).collect();
    let forward = Arc::new(Operators::forward(weights.clone()));
    let mut cpu = Cpu::new(weights.network().clone(), forward, biases, options.threads)?;
    // Any pixels do: the work does not depend on them, except that denormal numbers must not appear.
    let pixels: Vec<u8> = (0..options.batch * options.size * options.size * 3)
        .map(|index| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
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
