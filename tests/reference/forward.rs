//! The forward pass, which keeps everything.

use rayon::prelude::*;

use super::network::{ReferenceLayer, ReferenceNetwork};

/// All that a forward pass computed. [`ReferenceNetwork::explain`] reads masks and argmaxes from here, so a test may
/// overwrite them with the engine's own before it asks for the backward pass.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Channels, rows and columns of the image.
    pub image_shape: [usize; 3],
    /// One entry a layer of the network.
    pub layers: Vec<LayerTrace>,
    /// With a classifier the logits; headless, each channel's sum over the final map.
    pub responses: Vec<f64>,
}

/// What one layer computed. A dense layer is a map of 1×1.
#[derive(Clone, Debug)]
pub struct LayerTrace {
    /// Channels, rows and columns of `output`.
    pub shape: [usize; 3],
    /// Bias included, before the ReLU; empty for the pools.
    pub pre_activation: Vec<f64>,
    /// After the ReLU, where there is one.
    pub output: Vec<f64>,
    /// Where the pre-activation is above 0; empty for a layer without a ReLU.
    pub mask: Vec<bool>,
    /// For each pooled value the winner within its window, 2·row + column; empty for all but the max-pools.
    pub argmax: Vec<u8>,
}

impl Trace {
    /// The channel or class with the largest response, the first of several.
    pub fn top1(&self) -> usize {
        let mut best = 0;
        for (index, &response) in self.responses.iter().enumerate() {
            if response > self.responses[best] {
                best = index;
            }
        }
        best
    }
}

impl ReferenceNetwork {
    /// Runs an image, normalised and in the network's channel order, `[channels, height, width]`.
    ///
    /// Panics where shapes do not fit together and where a headless network does not end with a max-pool.
    pub fn forward(&self, image: &[f64], height: usize, width: usize) -> Trace {
        let channels = match self.layers.first() {
            Some(ReferenceLayer::Convolution { inputs, .. }) => *inputs,
            _ => panic!("a VGG starts with a convolution"),
        };
        assert_eq!(image.len(), channels * height * width, "image size");
        let image_shape = [channels, height, width];
        let mut layers: Vec<LayerTrace> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (input, shape) = match layers.last() {
                None => (image, image_shape),
                Some(previous) => (previous.output.as_slice(), previous.shape),
            };
            let next = run_layer(layer, input, shape);
            layers.push(next);
        }
        let last = &layers[layers.len() - 1];
        let responses = match self.layers.last() {
            Some(ReferenceLayer::Dense { .. }) => last.output.clone(),
            Some(ReferenceLayer::MaxPool) => {
                let [channels, rows, columns] = last.shape;
                let area = rows * columns;
                (0..channels).map(|c| last.output[c * area..(c + 1) * area].iter().sum()).collect()
            }
            _ => panic!("a network ends with a dense layer or, headless, with a max-pool"),
        };
        Trace { image_shape, layers, responses }
    }
}

fn run_layer(layer: &ReferenceLayer, input: &[f64], shape: [usize; 3]) -> LayerTrace {
    match layer {
        ReferenceLayer::Convolution { inputs, outputs, weight, bias } => {
            assert_eq!(shape[0], *inputs, "input channels of a convolution");
            assert_eq!(weight.len(), outputs * inputs * 9, "convolution weight");
            assert_eq!(bias.len(), *outputs, "convolution bias");
            let pre_activation = convolve(input, shape, weight, bias);
            rectified(pre_activation, [*outputs, shape[1], shape[2]])
        }
        ReferenceLayer::MaxPool => max_pool(input, shape),
        ReferenceLayer::AdaptiveAveragePool { side } => adaptive_average_pool(input, shape, *side),
        ReferenceLayer::Dense { inputs, outputs, weight, bias, relu } => {
            assert_eq!(input.len(), *inputs, "inputs of a dense layer");
            assert_eq!(weight.len(), outputs * inputs, "dense weight");
            assert_eq!(bias.len(), *outputs, "dense bias");
            let mut pre_activation = bias.clone();
            for (neuron, sum) in pre_activation.iter_mut().enumerate() {
                for k in 0..*inputs {
                    *sum += weight[neuron * inputs + k] * input[k];
                }
            }
            let shape = [*outputs, 1, 1];
            if *relu {
                rectified(pre_activation, shape)
            } else {
                LayerTrace {
                    shape,
                    output: pre_activation.clone(),
                    pre_activation,
                    mask: Vec::new(),
                    argmax: Vec::new(),
                }
            }
        }
    }
}

fn rectified(pre_activation: Vec<f64>, shape: [usize; 3]) -> LayerTrace {
    let mask: Vec<bool> = pre_activation.iter().map(|&z| z > 0.0).collect();
    let output = pre_activation.iter().map(|&z| if z > 0.0 { z } else { 0.0 }).collect();
    LayerTrace { shape, pre_activation, output, mask, argmax: Vec::new() }
}

fn convolve(input: &[f64], shape: [usize; 3], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let [inputs, height, width] = shape;
    let padded = pad(input, shape);
    let mut output = vec![0.0; bias.len() * height * width];
    output.par_chunks_mut((height * width).max(1)).enumerate().for_each(|(o, plane)| {
        for y in 0..height {
            let row = &mut plane[y * width..(y + 1) * width];
            row.fill(bias[o]);
            for i in 0..inputs {
                let kernel = &weight[(o * inputs + i) * 9..][..9];
                let rows = [0, 1, 2].map(|ky| padded_row(&padded, shape, i, y + ky));
                let taps = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|k| kernel[k]);
                add_row(row, rows, taps);
            }
        }
    });
    output
}

/// Surrounds every plane with a border of zeros one wide.
pub(super) fn pad(map: &[f64], shape: [usize; 3]) -> Vec<f64> {
    let [channels, height, width] = shape;
    let mut padded = vec![0.0; channels * (height + 2) * (width + 2)];
    for c in 0..channels {
        for y in 0..height {
            let from = (c * height + y) * width;
            let to = (c * (height + 2) + y + 1) * (width + 2) + 1;
            padded[to..to + width].copy_from_slice(&map[from..from + width]);
        }
    }
    padded
}

/// Row `y` of a padded plane, counted from its upper border.
pub(super) fn padded_row(padded: &[f64], shape: [usize; 3], channel: usize, y: usize) -> &[f64] {
    let [_, height, width] = shape;
    let at = (channel * (height + 2) + y) * (width + 2);
    &padded[at..at + width + 2]
}

/// `row[x] += Σ taps[3·v + u] · padded[v][x + u]`; columns innermost, so that the compiler makes vectors of them.
pub(super) fn add_row(row: &mut [f64], padded: [&[f64]; 3], taps: [f64; 9]) {
    let width = row.len();
    let [upper, middle, lower] = padded.map(|source| {
        let (left, centre, right) = (&source[..width], &source[1..], &source[2..]);
        (left, &centre[..width], &right[..width])
    });
    for x in 0..width {
        row[x] += taps[0] * upper.0[x]
            + taps[1] * upper.1[x]
            + taps[2] * upper.2[x]
            + taps[3] * middle.0[x]
            + taps[4] * middle.1[x]
            + taps[5] * middle.2[x]
            + taps[6] * lower.0[x]
            + taps[7] * lower.1[x]
            + taps[8] * lower.2[x];
    }
}

fn max_pool(input: &[f64], shape: [usize; 3]) -> LayerTrace {
    let [channels, height, width] = shape;
    let (rows, columns) = (height / 2, width / 2);
    let mut output = Vec::with_capacity(channels * rows * columns);
    let mut argmax = Vec::with_capacity(channels * rows * columns);
    for c in 0..channels {
        for y in 0..rows {
            for x in 0..columns {
                let mut winner = 0;
                let mut largest = f64::NEG_INFINITY;
                for place in 0..4 {
                    let value = input[pooled_source(shape, c, y, x, place)];
                    if value > largest {
                        winner = place;
                        largest = value;
                    }
                }
                output.push(largest);
                argmax.push(winner);
            }
        }
    }
    LayerTrace {
        shape: [channels, rows, columns],
        pre_activation: Vec::new(),
        output,
        mask: Vec::new(),
        argmax,
    }
}

/// Where in the unpooled map `place` (2·row + column) of a pooling window lies.
pub(super) fn pooled_source(unpooled: [usize; 3], channel: usize, y: usize, x: usize, place: u8) -> usize {
    let [_, height, width] = unpooled;
    let place = usize::from(place);
    (channel * height + 2 * y + place / 2) * width + 2 * x + place % 2
}

fn adaptive_average_pool(input: &[f64], shape: [usize; 3], side: usize) -> LayerTrace {
    let [channels, height, width] = shape;
    assert!(height > 0 && width > 0, "average pool of an empty map");
    let mut output = Vec::with_capacity(channels * side * side);
    for c in 0..channels {
        for y in 0..side {
            for x in 0..side {
                let rows = adaptive_window(y, side, height);
                let columns = adaptive_window(x, side, width);
                let count = rows.len() * columns.len();
                let mut sum = 0.0;
                for v in rows {
                    for u in columns.clone() {
                        sum += input[(c * height + v) * width + u];
                    }
                }
                output.push(sum / count as f64);
            }
        }
    }
    LayerTrace {
        shape: [channels, side, side],
        pre_activation: Vec::new(),
        output,
        mask: Vec::new(),
        argmax: Vec::new(),
    }
}

/// torch's rule: from ⌊i·extent/side⌋ up to ⌈(i+1)·extent/side⌉.
pub(super) fn adaptive_window(i: usize, side: usize, extent: usize) -> std::ops::Range<usize> {
    i * extent / side..((i + 1) * extent).div_ceil(side)
}
