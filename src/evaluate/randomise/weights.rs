//! Weights of which some layers are drawn anew.

use super::RandomiseError;
use crate::network::PreprocessingOverrides;
use crate::parallel;
use crate::random::{normal, scatter};
use crate::weights::{ElementType, NewTensor, Tensor, Weights, write_tensors};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Numbers drawn at a time.
const DRAWN: usize = 1 << 12;

/// Writes a network's weights to `path` and opens them: those of the layers that `is_random` chooses, by their number among
/// the layers with weights, drawn anew, and the others as they are. A layer's weights become independent normal numbers with mean zero, as
/// of networks before training, and the mean square that they had, so that activations stay as large; its biases become zero. Which numbers
/// depends on the seed and the layer alone. (With the mean that they had, which is negative in deep layers, no neuron would be active.)
///
/// # Errors
/// When the file cannot be written or opened.
pub fn randomised(
    weights: &Weights,
    is_random: impl Fn(usize) -> bool,
    seed: u64,
    path: &Path,
) -> Result<Weights, RandomiseError> {
    let network = weights.network();
    let mut tensors = Vec::new();
    for (layer, (_, parametric)) in network.parametric().enumerate() {
        for (kind, tensor) in [("weight", weights.weight(layer)), ("bias", weights.bias(layer))] {
            let (element, bytes) = match (is_random(layer), kind) {
                (false, _) => (tensor.element(), Cow::Borrowed(tensor.bytes())),
                (true, "bias") => (ElementType::F32, Cow::Owned(vec![0; 4 * tensor.len()])),
                (true, _) => {
                    let stream = scatter(scatter(seed) ^ layer as u64);
                    (ElementType::F32, Cow::Owned(drawn_anew(tensor, stream)))
                }
            };
            let name = format!("{}.{kind}", parametric.name());
            tensors.push(NewTensor { name, element, shape: tensor.shape().to_vec(), bytes });
        }
    }
    write_tensors(path, &BTreeMap::new(), &tensors)?;
    // What was said on the command line counts, not what the file says.
    let preprocessing = network.preprocessing;
    let overrides = PreprocessingOverrides {
        channel_order: Some(preprocessing.channel_order),
        pixel_scale: Some(preprocessing.pixel_scale),
        mean: Some(preprocessing.mean),
        std: Some(preprocessing.std),
    };
    Ok(Weights::open(path, &overrides)?)
}

/// Normal numbers with mean zero and the mean square of a tensor's elements, as little-endian float32.
fn drawn_anew(tensor: Tensor, stream: u64) -> Vec<u8> {
    let values = tensor.to_vec();
    let square =
        values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len().max(1) as f64;
    let deviation = square.sqrt();
    let mut bytes = vec![0; values.len() * size_of::<f32>()];
    parallel::each(bytes.as_chunks_mut().0.chunks_mut(DRAWN).enumerate(), |(piece, values)| {
        for (index, value) in values.iter_mut().enumerate() {
            let index = piece * DRAWN + index;
            *value = ((deviation * normal(stream, index as u64)) as f32).to_le_bytes();
        }
    });
    bytes
}
