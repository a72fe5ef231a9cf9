//! Times of layers, with the work that they did.

use super::work::work;
use crate::backend::profile::{KernelTime, Part, PartTime, Way};
use crate::network::{Extent, Layer, Network};

/// A layer, or a step between layers, that was timed.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// `features.0`, or what a step does.
    pub name: String,
    /// Whether it is a convolution.
    pub convolution: bool,
    /// Which way.
    pub way: Way,
    /// What ran.
    pub kernel: String,
    /// Median for the whole batch.
    pub seconds: f64,
    /// Operations for the whole batch; 0 for a step.
    pub flops: f64,
    /// Bytes that must move.
    pub bytes: f64,
    /// Every kernel that was tried.
    pub tried: Vec<KernelTime>,
}

impl LayerReport {
    /// TFLOP/s; `None` for a step.
    pub fn tflops(&self) -> Option<f64> {
        (self.flops > 0.0).then(|| self.flops / self.seconds / 1e12)
    }

    /// GB/s.
    pub fn gigabytes_per_second(&self) -> f64 {
        self.bytes / self.seconds / 1e9
    }

    /// The fastest kernel that was tried.
    pub fn best(&self) -> Option<&KernelTime> {
        self.tried.iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

/// Joins the times of a pass forward and backward with the network's work.
pub fn reports(
    times: Vec<PartTime>,
    network: &Network,
    extents: &[Extent],
    images: usize,
    element_bytes: usize,
) -> Vec<LayerReport> {
    let parametric: Vec<(usize, &str)> =
        network.parametric().map(|(index, layer)| (index, layer.name())).collect();
    let report = |time: PartTime| {
        let (name, convolution, flops, bytes) = match time.part {
            Part::Step { name, bytes } => (name, false, 0.0, bytes as f64),
            Part::Layer(layer) => {
                let (index, name) = parametric[layer];
                let work = work(network, extents, index, time.way, images, element_bytes);
                let convolution = matches!(network.layers[index], Layer::Convolution(_));
                (name, convolution, work.flops, work.bytes)
            }
        };
        LayerReport {
            name: name.to_owned(),
            convolution,
            way: time.way,
            kernel: time.kernel,
            seconds: time.seconds,
            flops,
            bytes,
            tried: time.tried,
        }
    };
    times.into_iter().map(report).collect()
}

/// Seconds and operations of some layers together.
pub fn total<'a>(layers: impl Iterator<Item = &'a LayerReport>) -> (f64, f64) {
    layers.fold((0.0, 0.0), |(seconds, flops), layer| (seconds + layer.seconds, flops + layer.flops))
}
