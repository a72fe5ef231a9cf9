//! torchvision's dense layers: `classifier.N`.

use std::collections::BTreeMap;

use super::super::super::error::WeightProblem;
use super::super::array::Array;
use super::super::step::{DenseAxes, FlattenOrder, Operation, Step};
use super::steps::{batch_normalisation, bias, is_batch_normalisation, mismatch, relu};
use super::{Tensors, unsupported};

/// A classifier that is one dense layer and has no number gets one.
pub(super) fn numbered(mut tensors: BTreeMap<String, Array>) -> BTreeMap<String, Array> {
    if !tensors.keys().any(|name| name.starts_with("classifier.0.")) {
        for suffix in ["weight", "bias"] {
            if let Some(array) = tensors.remove(&format!("classifier.{suffix}")) {
                tensors.insert(format!("classifier.0.{suffix}"), array);
            }
        }
    }
    tensors
}

/// Adds dense layers with a ReLU after each but the last; dropout is somewhere between them.
///
/// Where batch normalisation does not directly follow its dense layer and something else may stand behind it, names do not
/// tell whether the ReLU comes before or after: refused.
pub(super) fn add(
    steps: &mut Vec<Step>,
    tensors: &mut Tensors,
    numbers: &[u32],
) -> Result<(), WeightProblem> {
    steps.push(Step {
        name: "the flattened map of features".to_owned(),
        operation: Operation::Flatten(FlattenOrder::ChannelsFirst),
    });
    let mut numbers = numbers.iter().copied().peekable();
    while let Some(number) = numbers.next() {
        let name = format!("classifier.{number}");
        let weight_name = format!("{name}.weight");
        let shape = tensors.shape(&weight_name)?;
        let &[outputs, _] = shape else {
            return Err(if is_batch_normalisation(tensors, &name) {
                unsupported(&weight_name, "batch normalisation does not follow a dense layer here")
            } else {
                mismatch(&tensors.take(&weight_name)?, "two extents: [outputs, inputs]")
            });
        };
        let is_normal = |next: u32| is_batch_normalisation(tensors, &format!("classifier.{next}"));
        let normalised = numbers.next_if(|&next| is_normal(next));
        let next = numbers.peek().copied();
        let weight = tensors.take(&weight_name)?;
        let bias = bias(tensors, &name, normalised == Some(number + 1))?;
        steps.push(Step {
            name: name.clone(),
            operation: Operation::Dense { weight, axes: DenseAxes::OutputsInputs, bias },
        });
        if let Some(normalised) = normalised {
            let step = batch_normalisation(tensors, &format!("classifier.{normalised}"), outputs)?;
            match (normalised - number, next.map(|next| next - normalised)) {
                // Directly after the layer: the ReLU can only follow.
                (1, Some(2..) | None) => {
                    steps.push(step);
                    steps.extend(next.map(|_| relu(&name)));
                }
                // With something between, and nothing behind: the ReLU can only be between.
                (2.., Some(1)) => steps.extend([relu(&name), step]),
                _ => {
                    return Err(unsupported(
                        &format!("classifier.{normalised}.weight"),
                        "names do not tell on which side of this batch normalisation the ReLU is; convert the network to ONNX",
                    ));
                }
            }
        } else if let Some(next) = next {
            if next - number < 2 {
                return Err(unsupported(
                    &format!("classifier.{next}.weight"),
                    &format!("there is no ReLU between it and {name}"),
                ));
            }
            steps.push(relu(&name));
        }
    }
    Ok(())
}
