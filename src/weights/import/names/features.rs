//! The convolutions: `features.N`.

use super::super::super::error::WeightProblem;
use super::super::step::{KernelAxes, Operation, Step};
use super::steps::{batch_normalisation, bias, is_batch_normalisation, mismatch, relu, shown};
use super::{Tensors, unsupported};

/// Adds convolutions, batch normalisation, ReLUs and max-pools. `numbers` are those that have tensors; a max-pool follows the
/// last convolution if `pool`.
///
/// The numbers of modules tell where pools are: a convolution, its batch normalisation if it has one and its ReLU follow
/// each other, then the next convolution, or a max-pool and then the next convolution.
pub(super) fn add(
    steps: &mut Vec<Step>,
    tensors: &mut Tensors,
    numbers: &[u32],
    pool: bool,
) -> Result<(), WeightProblem> {
    if numbers.first() != Some(&0) {
        return Err(tensors.missing("features.0.weight"));
    }
    let mut numbers = numbers.iter().copied().peekable();
    while let Some(number) = numbers.next() {
        let name = format!("features.{number}");
        let weight_name = format!("{name}.weight");
        let shape = tensors.shape(&weight_name)?;
        if shape.len() != 4 {
            return Err(if is_batch_normalisation(tensors, &name) {
                unsupported(
                    &weight_name,
                    "batch normalisation that does not directly follow a convolution cannot be folded into it",
                )
            } else if shape.len() == 1 {
                unsupported(
                    &weight_name,
                    &format!("it has shape {}, as batch normalisation, but no running_mean", shown(shape)),
                )
            } else {
                mismatch(&tensors.take(&weight_name)?, "four extents: [outputs, inputs, 3, 3]")
            });
        }
        let outputs = shape[0];
        let normalised = numbers.next_if(|&next| {
            next == number + 1 && is_batch_normalisation(tensors, &format!("features.{next}"))
        });
        let weight = tensors.take(&weight_name)?;
        let bias = bias(tensors, &name, normalised.is_some())?;
        steps.push(Step {
            name: name.clone(),
            operation: Operation::Convolution { weight, axes: KernelAxes::OutputsInputsRowsColumns, bias },
        });
        if let Some(normalised) = normalised {
            steps.push(batch_normalisation(tensors, &format!("features.{normalised}"), outputs)?);
        }
        steps.push(relu(&name));
        let relu = normalised.unwrap_or(number) + 1;
        let pooled = match numbers.peek() {
            None => pool,
            Some(next) if next - relu == 1 => false,
            Some(next) if next - relu == 2 => true,
            Some(next) => {
                return Err(unsupported(
                    &format!("features.{next}.weight"),
                    &format!(
                        "it follows features.{number}, and the numbers of successive convolutions differ by 2 (ReLU between) \
                         or 3 (ReLU and max-pool between), and by one more with batch normalisation; a layer may be missing"
                    ),
                ));
            }
        };
        if pooled {
            steps.push(Step { name: format!("the max-pool after {name}"), operation: Operation::MaxPool });
        }
    }
    Ok(())
}
