//! Dense layers.

use super::activation::{Activation, Role};
use super::constant::Constant;
use super::node::Node;
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;
use crate::weights::import::{DenseAxes, FlattenOrder, Operation};

impl<'a> Walk<'a, '_> {
    /// Gemm: α·x·W + β·b; MatMul: x·W.
    pub(super) fn dense(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let mut activation = self.activation(node, inputs)?;
        if activation.elements().is_some() && activation.grid() == Some((1, 1)) {
            self.settle_units(node, &mut activation)?;
        }
        let last = activation.axes.last().map(|axis| axis.role);
        let others =
            activation.axes.iter().rev().skip(1).all(|axis| matches!(axis.role, Role::Batch | Role::Unit));
        if !activation.vector || last != Some(Role::Feature) || !others {
            return Err(node.refuse(format!(
                "{} over axes that are {:?}; dense layers need a flattened map",
                node.operator,
                activation.roles()
            )));
        }
        let weight = self.required(node, inputs, 1)?;
        let shape = weight.shape();
        let &[first, second] = shape.as_slice() else {
            return Err(node.refuse(format!("a matrix of shape {shape:?}")));
        };
        let gemm = node.operator == "Gemm";
        if gemm && (node.integer("transA", 0)? != 0 || activation.axes.len() != 2) {
            return Err(node.refuse("a Gemm that transposes its input, or one over more than two axes"));
        }
        let transposed = gemm && node.integer("transB", 0)? != 0;
        let (inner, outputs) = if transposed { (second, first) } else { (first, second) };
        if activation.extent(Role::Feature).is_some_and(|extent| extent != inner) {
            return Err(node.refuse(format!(
                "a matrix for {inner} inputs, where there are {}",
                activation.extent(Role::Feature).unwrap_or_default()
            )));
        }
        let matrix = weight.matrix(node.input(1).unwrap_or_default(), self.folder)?;
        let axes =
            if transposed != matrix.transposed { DenseAxes::OutputsInputs } else { DenseAxes::InputsOutputs };
        let (alpha, beta) = match gemm {
            true => (node.float("alpha", 1.0)?, node.float("beta", 1.0)?),
            false => (1.0, 1.0),
        };
        let bias = if gemm { self.optional(node, inputs, 2)? } else { None };
        let plain = bias.as_ref().is_none_or(|bias| is_row(bias, outputs)) && alpha == 1.0 && beta == 1.0;
        let array = match &bias {
            Some(bias) if plain => {
                Some(bias.array(node.input(2).unwrap_or_default(), vec![outputs], self.folder)?)
            }
            _ => None,
        };
        self.push(node, Operation::Dense { weight: matrix.array, axes, bias: array });
        if !plain {
            let shift = match bias {
                None => vec![0.0],
                Some(bias) => bias.numbers(self.folder)?.values,
            };
            if ![1, outputs].contains(&shift.len()) {
                return Err(node.refuse(format!("a bias of {} numbers for {outputs} outputs", shift.len())));
            }
            let shift: Vec<f64> = shift.into_iter().map(|value| value * f64::from(beta)).collect();
            self.push(node, Operation::Affine { scale: vec![f64::from(alpha); shift.len()], shift });
        }
        let axis = activation.axes.len() - 1;
        activation.axes[axis].extent = Some(outputs);
        self.advance(node, activation)
    }

    /// A map of one position is a vector, whatever the order of its axes.
    pub(super) fn settle_units(
        &mut self,
        node: &Node<'a>,
        activation: &mut Activation,
    ) -> Result<(), WeightProblem> {
        self.flatten(node, activation, FlattenOrder::ChannelsFirst)?;
        for axis in &mut activation.axes {
            axis.role = match axis.role {
                Role::Channel => Role::Feature,
                Role::Row | Role::Column => Role::Unit,
                other => other,
            };
        }
        Ok(())
    }
}

/// One number an output.
fn is_row(bias: &Constant<'_>, outputs: usize) -> bool {
    matches!(bias.shape()[..], [len] | [1, len] if len == outputs)
}
