//! How fast a network runs on a device: layer by layer and end to end, beside what the device could do.
//!
//! Rates count the operations that the layers need, 2 · 9 · inputs · outputs a position of a convolution, whatever was padded
//! and whichever algorithm ran (Winograd's needs fewer, so it can exceed a ceiling); and the bytes that must move at least
//! once. Pixels are random, never constant: devices run faster on zeros.

mod ceiling;
mod datasheet;
mod end_to_end;
mod json;
mod layers;
mod table;
mod work;

pub use ceiling::{Ceiling, CopyRate, ProductRate};
pub use end_to_end::Throughput;
pub use layers::LayerReport;

use crate::backend::profile::{Hardware, PartsRequest};
use crate::backend::{Backend, BackendError, Batch, Pass, PassId, Pixels};
use crate::explain::{Method, OperatorError, Operators, Recipe};
use crate::patterns::Patterns;
use crate::weights::Weights;
use std::sync::Arc;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Images of a batch.
    pub batch: usize,
    /// Side of the images.
    pub side: usize,
    /// Methods to run end to end.
    pub methods: Vec<Method>,
    /// Timed runs of each part; by default what the device suggests.
    pub repeats: Option<usize>,
    /// TFLOP/s that were measured elsewhere.
    pub ceiling: Option<f64>,
    /// Side of the matrix product that gives the kernels' own ceiling; by default what the device suggests.
    pub product: Option<usize>,
    /// Bytes of the copy; by default what the device suggests.
    pub copy: Option<usize>,
    /// Whether to try every kernel on every layer.
    pub every_kernel: bool,
    /// Of the pixels, and of the random estimator.
    pub seed: u64,
    /// What to measure.
    pub parts: Vec<BenchPart>,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchPart {
    /// Matrix product and copy.
    Ceiling,
    /// Layer by layer.
    Layers,
    /// End to end.
    Methods,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// The device in the backend's words.
    pub device: String,
    /// Its facts, where it can time its parts.
    pub hardware: Option<Hardware>,
    /// The network's architecture.
    pub architecture: String,
    /// The batch's images.
    pub batch: usize,
    /// Their side.
    pub side: usize,
    /// Timed runs of each part.
    pub repeats: usize,
    /// What shares are of.
    pub ceiling: Ceiling,
    /// The copy within the device's memory.
    pub copy: Option<CopyRate>,
    /// Layer by layer, in the order in which they run.
    pub layers: Vec<LayerReport>,
    /// End to end: the forward pass, then the methods.
    pub end_to_end: Vec<Throughput>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The device failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A method's operators cannot be had.
    #[error("{method}: {source}")]
    Operators {
        /// The method.
        method: Method,
        /// What is missing.
        source: OperatorError,
    },
    /// Nothing to measure.
    #[error("{method} is the input itself: there is nothing to time; leave it out")]
    NoPass {
        /// The method.
        method: Method,
    },
}

/// Measures. `progress` is told what begins.
///
/// # Errors
/// When the device fails, the images are too small for the network, or a method needs patterns that are not there.
pub fn run(
    backend: &dyn Backend,
    weights: &Arc<Weights>,
    patterns: Option<&Arc<Patterns>>,
    plan: &Plan,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, BenchError> {
    let network = weights.network();
    let extents = network.extents(plan.side, plan.side).map_err(BackendError::from)?;
    let gradient = prepare(backend, weights, patterns, Method::Gradient, plan.seed)?;
    let methods = if plan.parts.contains(&BenchPart::Methods) { plan.methods.as_slice() } else { &[] };
    let passes = methods
        .iter()
        .map(|&method| Ok((method, prepare(backend, weights, patterns, method, plan.seed)?)))
        .collect::<Result<Vec<_>, BenchError>>()?;
    let pixels = random_pixels(plan.batch * plan.side * plan.side * 3, plan.seed);
    let batch =
        Batch { images: plan.batch, height: plan.side, width: plan.side, pixels: Pixels::Rgb8(&pixels) };

    let hardware = backend.profiler().map(|profiler| profiler.hardware());
    let repeats = plan.repeats.or(hardware.as_ref().map(|hardware| hardware.repeats)).unwrap_or(5).max(1);
    let mut report = Report {
        device: backend.description(),
        hardware,
        architecture: network.architecture.clone(),
        batch: plan.batch,
        side: plan.side,
        repeats,
        ceiling: Ceiling::default(),
        copy: None,
        layers: Vec::new(),
        end_to_end: Vec::new(),
    };
    if let (Some(profiler), Some(hardware)) = (backend.profiler(), &report.hardware) {
        let mut products = Vec::new();
        if plan.parts.contains(&BenchPart::Ceiling) {
            let side = plan.product.unwrap_or(hardware.product_side).max(1).next_multiple_of(64);
            progress(&format!("matrix product, {side}³"));
            let times = profiler.time_product(side, repeats)?;
            products = times.into_iter().map(|time| ProductRate::new(time, side)).collect();
            let bytes = plan.copy.unwrap_or(hardware.copy_bytes).max(1);
            progress(&format!("copy, {} MiB", bytes >> 20));
            report.copy = Some(CopyRate::new(hardware, bytes, profiler.time_copy(bytes, repeats)?));
        }
        report.ceiling = Ceiling::new(plan.ceiling, hardware, products);
        if plan.parts.contains(&BenchPart::Layers) {
            progress("layer by layer");
            let request = PartsRequest { batch, pass: gradient, repeats, every_kernel: plan.every_kernel };
            let times = profiler.time_parts(&request)?;
            report.layers = layers::reports(times, network, &extents, plan.batch, hardware.element_bytes);
        }
    } else {
        report.ceiling.given = plan.ceiling;
    }
    if plan.parts.contains(&BenchPart::Methods) {
        let flops = work::pass_flops(network, &extents) * plan.batch as f64;
        progress("forward, end to end");
        report.end_to_end.push(end_to_end::measure(backend, &batch, None, repeats, flops)?);
        for (method, pass) in passes {
            progress(&format!("{method}, end to end"));
            let flops = 2.0 * flops;
            report.end_to_end.push(end_to_end::measure(
                backend,
                &batch,
                Some((method, pass)),
                repeats,
                flops,
            )?);
        }
    }
    Ok(report)
}

fn prepare(
    backend: &dyn Backend,
    weights: &Arc<Weights>,
    patterns: Option<&Arc<Patterns>>,
    method: Method,
    seed: u64,
) -> Result<PassId, BenchError> {
    let Recipe::Pass { operator, gate, start, .. } = method.recipe() else {
        return Err(BenchError::NoPass { method });
    };
    let operators = Operators::new(weights.clone(), patterns.cloned(), operator, seed)
        .map_err(|source| BenchError::Operators { method, source })?;
    Ok(backend.prepare(&Pass { operators: Arc::new(operators), gate, start })?)
}

/// Noise (SplitMix64), the same for the same seed.
fn random_pixels(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut pixels = Vec::with_capacity(count.next_multiple_of(8));
    while pixels.len() < count {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        pixels.extend((bits ^ bits >> 31).to_le_bytes());
    }
    pixels.truncate(count);
    pixels
}

#[cfg(test)]
mod tests {
    use super::random_pixels;

    #[test]
    fn pixels_are_noise_and_reproducible() {
        let pixels = random_pixels(30_001, 3);
        assert_eq!(pixels.len(), 30_001);
        assert_eq!(pixels[..1000], random_pixels(1000, 3)[..]);
        assert_ne!(pixels[..1000], random_pixels(1000, 4)[..]);
        let mean = pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / 30_001.0;
        // The mean of so many uniform values has a standard deviation of 0.43.
        assert!((mean - 127.5).abs() < 3.0, "{mean}");
    }
}
