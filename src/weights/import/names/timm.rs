//! timm's dense layers, the first two of them written as convolutions over the whole grid.

use super::super::super::error::WeightProblem;
use super::super::step::{DenseAxes, Operation, Step};
use super::Tensors;
use super::steps::{mismatch, relu};

/// timm's names for the dense layers, and torchvision's for the same layers.
const TIMM: [(&str, &str); 3] =
    [("pre_logits.fc1", "classifier.0"), ("pre_logits.fc2", "classifier.3"), ("head.fc", "classifier.6")];

/// timm's name for a dense layer called `name` here.
pub(crate) fn timm_name(name: &str) -> Option<&'static str> {
    TIMM.iter().find(|(_, torchvision)| *torchvision == name).map(|(timm, _)| *timm)
}

/// Which of timm's dense layers has this name.
pub(super) fn number(layer: &str) -> Option<usize> {
    TIMM.iter().position(|(timm, _)| *timm == layer)
}

pub(super) fn add(steps: &mut Vec<Step>, tensors: &mut Tensors) -> Result<(), WeightProblem> {
    for (number, (timm, torchvision)) in TIMM.iter().enumerate() {
        let last = number + 1 == TIMM.len();
        let weight = tensors.take(&format!("{timm}.weight"))?;
        let fits = match *weight.shape() {
            [_, _, height, width] => !last && height == width && (number == 0 || height == 1),
            [_, _] => last,
            _ => false,
        };
        if !fits {
            let expected = ["[outputs, inputs, side, side]", "[outputs, inputs, 1, 1]", "[classes, inputs]"];
            return Err(mismatch(&weight, expected[number]));
        }
        let bias = Some(tensors.take(&format!("{timm}.bias"))?);
        steps.push(Step {
            name: (*torchvision).to_owned(),
            operation: Operation::Dense { weight, axes: DenseAxes::OutputsInputs, bias },
        });
        if !last {
            steps.push(relu(timm));
        }
    }
    Ok(())
}
