//! The backward pass that all explanation methods share.

use rayon::prelude::*;

use super::forward::{Trace, adaptive_window, add_row, pad, padded_row, pooled_source};
use super::network::{ReferenceLayer, ReferenceNetwork};

/// What passes a ReLU on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceGate {
    /// Where the forward pre-activation was positive: gradient, PatternNet, PatternAttribution.
    Mask,
    /// Where what comes back is positive: deconvnet.
    Sign,
    /// Both: guided backprop.
    Both,
}

/// What the backward pass starts with at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceStart {
    /// 1 at the target's logit; headless, 1 at every position of the target's channel of the final map.
    One,
    /// The target's logit; headless, every position's own activation.
    Response,
}

impl ReferenceNetwork {
    /// Explains `target`: `[channels, height, width]` in units of the normalised image.
    ///
    /// `operators` holds one operator a convolution or dense layer, shaped like its weight. No bias takes part.
    /// Masks and argmaxes come from `trace`. A dense layer's ReLU is gated like a convolution's; the last dense layer
    /// has none. A max-pool sends all of a window to its argmax, the rows and columns that no window covers get 0; the
    /// adaptive average pool spreads 1/count over each window.
    pub fn explain(
        &self,
        trace: &Trace,
        operators: &[Vec<f64>],
        gate: ReferenceGate,
        start: ReferenceStart,
        target: usize,
    ) -> Vec<f64> {
        assert_eq!(trace.layers.len(), self.layers.len(), "layers in the trace");
        assert_eq!(operators.len(), self.parametric_layers().len(), "operators");
        let mut operators = operators.iter().rev();
        let mut relevance = starting_relevance(trace, start, target);
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let traced = &trace.layers[index];
            let input_shape = match index {
                0 => trace.image_shape,
                _ => trace.layers[index - 1].shape,
            };
            assert_eq!(relevance.len(), traced.output.len());
            relevance = match layer {
                ReferenceLayer::Convolution { inputs, outputs, weight, .. } => {
                    let operator = operators.next().expect("counted above");
                    assert_eq!(operator.len(), weight.len(), "operator of layer {index}");
                    apply_gate(&mut relevance, &traced.mask, gate);
                    convolve_back(&relevance, [*outputs, input_shape[1], input_shape[2]], *inputs, operator)
                }
                ReferenceLayer::Dense { inputs, outputs, weight, relu, .. } => {
                    let operator = operators.next().expect("counted above");
                    assert_eq!(operator.len(), weight.len(), "operator of layer {index}");
                    if *relu {
                        apply_gate(&mut relevance, &traced.mask, gate);
                    }
                    let mut back = vec![0.0; *inputs];
                    for neuron in 0..*outputs {
                        for k in 0..*inputs {
                            back[k] += operator[neuron * inputs + k] * relevance[neuron];
                        }
                    }
                    back
                }
                ReferenceLayer::MaxPool => {
                    max_pool_back(&relevance, traced.shape, &traced.argmax, input_shape)
                }
                ReferenceLayer::AdaptiveAveragePool { side } => {
                    adaptive_average_pool_back(&relevance, *side, input_shape)
                }
            };
        }
        relevance
    }
}

fn starting_relevance(trace: &Trace, start: ReferenceStart, target: usize) -> Vec<f64> {
    let last = &trace.layers[trace.layers.len() - 1];
    let [channels, rows, columns] = last.shape;
    assert!(target < channels, "target {target} of {channels}");
    let area = rows * columns;
    let mut relevance = vec![0.0; last.output.len()];
    for at in target * area..(target + 1) * area {
        relevance[at] = match start {
            ReferenceStart::One => 1.0,
            ReferenceStart::Response => last.output[at],
        };
    }
    relevance
}

fn apply_gate(relevance: &mut [f64], mask: &[bool], gate: ReferenceGate) {
    assert_eq!(relevance.len(), mask.len(), "mask");
    for (value, &active) in relevance.iter_mut().zip(mask) {
        let passes = match gate {
            ReferenceGate::Mask => active,
            ReferenceGate::Sign => *value > 0.0,
            ReferenceGate::Both => active && *value > 0.0,
        };
        if !passes {
            *value = 0.0;
        }
    }
}

/// `back[i, y, x] = Σ operator[o, i, ky, kx] · relevance[o, y + 1 − ky, x + 1 − kx]`; `shape` is that of `relevance`.
fn convolve_back(relevance: &[f64], shape: [usize; 3], inputs: usize, operator: &[f64]) -> Vec<f64> {
    let [outputs, height, width] = shape;
    let padded = pad(relevance, shape);
    let mut back = vec![0.0; inputs * height * width];
    back.par_chunks_mut((height * width).max(1)).enumerate().for_each(|(i, plane)| {
        for y in 0..height {
            let row = &mut plane[y * width..(y + 1) * width];
            for o in 0..outputs {
                let kernel = &operator[(o * inputs + i) * 9..][..9];
                // Row y + 1 − ky lies at y + 2 − ky of the padded plane, so the kernel turns by 180 degrees.
                let rows = [0, 1, 2].map(|v| padded_row(&padded, shape, o, y + v));
                let taps = [8, 7, 6, 5, 4, 3, 2, 1, 0].map(|k| kernel[k]);
                add_row(row, rows, taps);
            }
        }
    });
    back
}

fn max_pool_back(relevance: &[f64], pooled: [usize; 3], argmax: &[u8], unpooled: [usize; 3]) -> Vec<f64> {
    let [channels, rows, columns] = pooled;
    let mut back = vec![0.0; unpooled.iter().product()];
    for c in 0..channels {
        for y in 0..rows {
            for x in 0..columns {
                let at = (c * rows + y) * columns + x;
                back[pooled_source(unpooled, c, y, x, argmax[at])] = relevance[at];
            }
        }
    }
    back
}

fn adaptive_average_pool_back(relevance: &[f64], side: usize, unpooled: [usize; 3]) -> Vec<f64> {
    let [channels, height, width] = unpooled;
    let mut back = vec![0.0; channels * height * width];
    for c in 0..channels {
        for y in 0..side {
            for x in 0..side {
                let rows = adaptive_window(y, side, height);
                let columns = adaptive_window(x, side, width);
                let share = relevance[(c * side + y) * side + x] / (rows.len() * columns.len()) as f64;
                for v in rows {
                    for u in columns.clone() {
                        back[(c * height + v) * width + u] += share;
                    }
                }
            }
        }
    }
    back
}
