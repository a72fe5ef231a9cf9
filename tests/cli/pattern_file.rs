//! Pattern files in float32, and how far two of them are apart.

use safetensors::{Dtype, SafeTensors};

/// The values of all tensors of a pattern file, by name.
pub fn tensors(bytes: &[u8]) -> Vec<(String, Vec<f32>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let mut tensors: Vec<(String, Vec<f32>)> = file
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
            let values = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            (name, values.collect())
        })
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// 1 − cosine of the rows of neurons that differ most.
pub fn largest_difference(a: &[u8], b: &[u8]) -> f64 {
    let (a, b) = (tensors(a), tensors(b));
    assert_eq!(a.len(), b.len());
    let mut largest = 0f64;
    for ((name, a), (other, b)) in a.iter().zip(&b) {
        assert_eq!((name, a.len()), (other, b.len()));
        // The first layer has 27 weights a neuron; rows of other layers are longer, so a stretch of 27 values is harder
        // to get right than a row.
        for (a, b) in a.chunks(27).zip(b.chunks(27)) {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let norms = (dot(a, a) * dot(b, b)).sqrt();
            if norms > 0.0 {
                largest = largest.max(1.0 - dot(a, b) / norms);
            } else {
                assert_eq!(dot(a, a), dot(b, b), "{name}");
            }
        }
    }
    largest
}
