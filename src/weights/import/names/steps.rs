//! Steps made of tensors of a common name.

use super::super::super::error::{WeightProblem, shape_text};
use super::super::array::Array;
use super::super::step::{Operation, Step};
use super::Tensors;

/// PyTorch's ε of batch normalisation; files of tensors do not hold it, and torchvision and timm never change it.
const EPSILON: f64 = 1e-5;

/// Whether a layer of this name is batch normalisation.
pub(super) fn is_batch_normalisation(tensors: &Tensors, layer: &str) -> bool {
    tensors.has(&format!("{layer}.running_mean")) || tensors.has(&format!("{layer}.running_var"))
}

/// Batch normalisation of `channels`.
pub(super) fn batch_normalisation(
    tensors: &mut Tensors,
    layer: &str,
    channels: usize,
) -> Result<Step, WeightProblem> {
    let mut values = |suffix: &str| -> Result<Vec<f64>, WeightProblem> {
        let array = tensors.take(&format!("{layer}.{suffix}"))?;
        if array.shape() != [channels] {
            return Err(WeightProblem::Shape {
                tensor: array.name().to_owned(),
                found: array.shape().to_vec(),
                expected: format!("[{channels}], one for each channel"),
            });
        }
        array.into_float64()
    };
    let (gamma, beta) = (values("weight")?, values("bias")?);
    let (mean, variance) = (values("running_mean")?, values("running_var")?);
    Ok(Step {
        name: layer.to_owned(),
        operation: Operation::batch_normalisation(Some(&gamma), Some(&beta), &mean, &variance, EPSILON),
    })
}

/// The bias of a layer, which it must have unless batch normalisation follows.
pub(super) fn bias(
    tensors: &mut Tensors,
    layer: &str,
    normalised: bool,
) -> Result<Option<Array>, WeightProblem> {
    let name = format!("{layer}.bias");
    if normalised && !tensors.has(&name) {
        return Ok(None);
    }
    tensors.take(&name).map(Some)
}

pub(super) fn relu(layer: &str) -> Step {
    Step { name: format!("the ReLU after {layer}"), operation: Operation::Relu }
}

pub(super) fn mismatch(array: &Array, expected: &str) -> WeightProblem {
    WeightProblem::Shape {
        tensor: array.name().to_owned(),
        found: array.shape().to_vec(),
        expected: expected.to_owned(),
    }
}

/// A shape in a reason.
pub(super) fn shown(shape: &[usize]) -> String {
    shape_text(shape)
}
