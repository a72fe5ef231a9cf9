//! What a node runs on: the activation, and constants.

use super::activation::Activation;
use super::constant::Constant;
use super::integers::{Integers, MOST_INTEGERS};
use super::node::Node;
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;

impl<'a> Walk<'a, '_> {
    /// The activation that a node runs on, its first input.
    pub(super) fn activation(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<Activation, WeightProblem> {
        self.activation_at(node, inputs, 0)
    }

    pub(super) fn activation_at(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
        index: usize,
    ) -> Result<Activation, WeightProblem> {
        let name = node.input(index).unwrap_or_default();
        let others = inputs.iter().enumerate().filter(|(other, _)| *other != index);
        let mut runs =
            others.filter(|(_, input)| matches!(input, Some(Value::Activation(_) | Value::Part(_))));
        if runs.next().is_some() {
            return Err(node.refuse(format!("{} joins two branches", node.operator)));
        }
        match inputs.get(index) {
            Some(Some(Value::Activation(_))) if name != self.newest => {
                Err(node.refuse(format!("a branch: another node has used {name:?} already")))
            }
            Some(Some(Value::Activation(activation))) => {
                if activation.is_padded()
                    && !matches!(node.operator, "Conv" | "Transpose" | "Identity" | "Pad")
                {
                    return Err(node.refuse("a Pad must be followed by a convolution"));
                }
                Ok(activation.clone())
            }
            _ => Err(node.refuse(format!("{} runs on a constant or on a part of an image", node.operator))),
        }
    }

    /// The newest activation, for a node that runs on parts of it.
    pub(super) fn newest_activation(&self, node: &Node<'a>) -> Result<Activation, WeightProblem> {
        match self.values.get(self.newest) {
            Some(Value::Activation(activation)) if !activation.is_padded() => Ok(activation.clone()),
            _ => Err(node.refuse("it joins parts of an image that was padded")),
        }
    }

    /// A constant of floating-point numbers; `None` where it was left out.
    pub(super) fn optional(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
        index: usize,
    ) -> Result<Option<Constant<'a>>, WeightProblem> {
        match inputs.get(index) {
            None | Some(None) => Ok(None),
            Some(Some(Value::Constant(constant))) => Ok(Some(constant.clone())),
            Some(Some(_)) => {
                Err(node.refuse(format!("input {index} is not a constant of floating-point numbers")))
            }
        }
    }

    pub(super) fn required(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
        index: usize,
    ) -> Result<Constant<'a>, WeightProblem> {
        self.optional(node, inputs, index)?.ok_or_else(|| node.refuse(format!("input {index} is missing")))
    }

    /// The constants of batch normalisation: as many as there are channels, or one.
    pub(super) fn vector(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
        index: usize,
    ) -> Result<Vec<f64>, WeightProblem> {
        Ok(self.required(node, inputs, index)?.numbers(self.folder)?.values)
    }

    /// A constant that is a single number.
    pub(super) fn number(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
        index: usize,
    ) -> Result<Option<f64>, WeightProblem> {
        if let Some(Some(Value::Integers(integers))) = inputs.get(index) {
            return match integers.known().as_deref() {
                Some([value]) => Ok(Some(*value as f64)),
                _ => Err(node.refuse(format!("input {index} is not a single number"))),
            };
        }
        let Some(constant) = self.optional(node, inputs, index)? else { return Ok(None) };
        match constant.numbers(self.folder)?.values[..] {
            [value] => Ok(Some(value)),
            _ => Err(node.refuse(format!("input {index} is not a single number"))),
        }
    }

    /// A constant column of integers, n × 1.
    pub(super) fn column(
        &self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
        index: usize,
    ) -> Result<Integers, WeightProblem> {
        match inputs.get(index) {
            Some(Some(Value::Constant(constant)))
                if matches!(constant.shape()[..], [0..=MOST_INTEGERS, 1]) =>
            {
                let values = constant.numbers(self.folder)?.values;
                Ok(Integers::list(values.into_iter().map(|value| Some(value as i64)).collect()))
            }
            _ => Err(node.refuse(format!("input {index} is not a constant column"))),
        }
    }
}
