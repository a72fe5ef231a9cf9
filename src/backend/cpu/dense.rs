//! Dense layers, forward and backward, streamed row by row from the mapped file: fc6 alone holds 103 million weights,
//! which are read once for all images of a batch and never copied as a whole.

use super::simd::vectorised;
use crate::backend::OperatorSource;
use crate::parallel;

/// Partial sums of a dot product: enough independent chains to fill wide vector units. Fixed, so that results do not
/// depend on the processor's vector width.
const CHAINS: usize = 64;
/// Neurons that one task reads forward.
const NEURONS_AT_A_TIME: usize = 16;
/// Inputs that one task accumulates backward: a row's piece and the images' sums stay in the L1 cache.
const INPUTS_AT_A_TIME: usize = 1024;

/// A dense layer's place and shape.
#[derive(Clone, Copy)]
pub struct DenseShape {
    /// Number among the parametric layers.
    pub layer: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// z \[images, outputs\] = x \[images, inputs\] · Wᵀ + b.
pub fn forward(
    source: &dyn OperatorSource,
    shape: DenseShape,
    bias: &[f32],
    x: &[f32],
    images: usize,
) -> Vec<f32> {
    let gain = 2f32.powi(source.gain_log2(shape.layer));
    let mut by_neuron = vec![0.0; shape.outputs * images];
    let blocks = by_neuron.chunks_mut(NEURONS_AT_A_TIME * images).enumerate();
    parallel::each(blocks, |(block, by_neuron)| {
        let mut row = vec![0.0; shape.inputs];
        for (index, z) in by_neuron.chunks_exact_mut(images).enumerate() {
            let neuron = block * NEURONS_AT_A_TIME + index;
            source.read(shape.layer, neuron, 0, &mut row);
            for (z, x) in z.iter_mut().zip(x.chunks_exact(shape.inputs)) {
                *z = dot(&row, x) * gain + bias[neuron];
            }
        }
    });
    let mut z = vec![0.0; images * shape.outputs];
    for (image, z) in z.chunks_exact_mut(shape.outputs).enumerate() {
        for (neuron, z) in z.iter_mut().enumerate() {
            *z = by_neuron[neuron * images + image];
        }
    }
    z
}

/// Σ aᵢbᵢ in a fixed order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let mut sums = [0f32; CHAINS];
            let (a_chunks, b_chunks) = (a.chunks_exact(CHAINS), b.chunks_exact(CHAINS));
            let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
            for (a, b) in a_chunks.zip(b_chunks) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += a * b;
                }
            }
            // Pairwise, so that rounding grows with the logarithm of the number of chains.
            let mut width = CHAINS;
            while width > 1 {
                width /= 2;
                for i in 0..width {
                    sums[i] += sums[i + width];
                }
            }
            sums[0] + rest
        },
    )
}

/// r_in \[images, inputs\] = r_out \[images, outputs\] · Op, without the operator's gain. Neurons that no image's signal
/// reaches are not read.
pub fn backward(source: &dyn OperatorSource, shape: DenseShape, r_out: &[f32], images: usize) -> Vec<f32> {
    let reached: Vec<usize> = (0..shape.outputs)
        .filter(|&neuron| (0..images).any(|image| r_out[image * shape.outputs + neuron] != 0.0))
        .collect();
    let blocks = parallel::map((0..shape.inputs).step_by(INPUTS_AT_A_TIME), |first| {
        let count = INPUTS_AT_A_TIME.min(shape.inputs - first);
        let mut row = vec![0.0; count];
        let mut sums = vec![0.0; images * count];
        for &neuron in &reached {
            source.read(shape.layer, neuron, first, &mut row);
            for (image, sums) in sums.chunks_exact_mut(count).enumerate() {
                let r = r_out[image * shape.outputs + neuron];
                // Skipped, not added as zero: a sum must not depend on the other images of the batch.
                if r != 0.0 {
                    vectorised(
                        #[inline(always)]
                        || sums.iter_mut().zip(&row).for_each(|(sum, &op)| *sum += r * op),
                    );
                }
            }
        }
        sums
    });
    let mut r_in = vec![0.0; images * shape.inputs];
    for (block, sums) in blocks.iter().enumerate() {
        let (first, count) = (block * INPUTS_AT_A_TIME, sums.len() / images);
        for (image, sums) in sums.chunks_exact(count).enumerate() {
            r_in[image * shape.inputs + first..][..count].copy_from_slice(sums);
        }
    }
    r_in
}
