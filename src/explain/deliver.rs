//! Arrays that the host has made, on their way to memory of the device.

use super::half::to_half;
use super::{ExplainError, Explained};
use crate::backend::cuda::{DeviceDestination, Stored};
use crate::backend::{Backend, BackendError};

/// Writes the arrays of the method number `method` of all images that have one. Their values are gone then, and the exponents
/// are those of what was written.
///
/// # Errors
/// When the memory cannot be used.
pub fn deliver(
    backend: &dyn Backend,
    destination: &DeviceDestination,
    size: (usize, usize),
    method: usize,
    images: &mut [Result<Explained, ExplainError>],
) -> Result<(), BackendError> {
    let arrays: Vec<Option<Vec<u8>>> = images
        .iter_mut()
        .map(|image| {
            let explanation = &mut image.as_mut().ok()?.explanations[method];
            let values = std::mem::take(&mut explanation.values);
            Some(match destination.stored() {
                Stored::F32 => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
                Stored::F16 => {
                    let mut bytes = Vec::with_capacity(2 * values.len());
                    let write = |_, value: half::f16| bytes.extend(value.to_ne_bytes());
                    explanation.scale_log2 = to_half(&values, explanation.scale_log2, write);
                    bytes
                }
            })
        })
        .collect();
    let arrays: Vec<Option<&[u8]>> = arrays.iter().map(Option::as_deref).collect();
    backend.store(destination, size, &arrays)
}
