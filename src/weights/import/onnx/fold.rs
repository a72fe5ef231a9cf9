//! Nodes that compute constants: the shapes for a Reshape, and batch normalisation that was left in pieces.

use super::constant::{Constant, MOST_COMPUTED, Numbers};
use super::external::Folder;
use super::integers::fold_integers;
use super::node::Node;
use super::shapes::{axes, permutation, resolved, squeezed, unsqueezed};
use super::walk::Value;
use crate::weights::WeightProblem;

/// The value of a node whose inputs are constants all.
pub(super) fn fold<'a>(
    node: &Node<'a>,
    inputs: &[Option<Value<'a>>],
    folder: &Folder,
) -> Result<Value<'a>, WeightProblem> {
    let refuse = || {
        node.refuse(format!(
            "{} computes a constant in a way that is not understood; simplify the model with onnxsim or ONNX Runtime \
             first",
            node.operator
        ))
    };
    let first = inputs.first().and_then(Option::as_ref).ok_or_else(refuse)?;
    match first {
        Value::Constant(constant) => fold_numbers(node, constant, inputs, folder)
            .and_then(|folded| folded.map(Value::Constant).ok_or_else(refuse)),
        Value::Integers(first) => {
            let others: Option<Vec<_>> = inputs
                .iter()
                .skip(1)
                .map(|input| match input {
                    None => Some(None),
                    Some(Value::Integers(integers)) => Some(Some(integers)),
                    Some(_) => None,
                })
                .collect();
            if let (Some(Value::Constant(_)), "Add" | "Sub" | "Mul" | "Div") =
                (inputs.get(1).and_then(Option::as_ref), node.operator)
            {
                return Err(refuse());
            }
            if node.operator == "Cast" && matches!(node.integer("to", 0)?, 1 | 10 | 11 | 16) {
                let values = first.known().ok_or_else(refuse)?;
                let shape = if first.scalar { vec![] } else { vec![values.len()] };
                let values = values.into_iter().map(|value| value as f64).collect();
                return Ok(Value::Constant(Constant::computed(Numbers { shape, values })));
            }
            let folded = others.map(|others| fold_integers(node, first, &others)).transpose()?.flatten();
            folded.map(Value::Integers).ok_or_else(refuse)
        }
        _ => Err(refuse()),
    }
}

fn fold_numbers<'a>(
    node: &Node<'a>,
    first: &Constant<'a>,
    inputs: &[Option<Value<'a>>],
    folder: &Folder,
) -> Result<Option<Constant<'a>>, WeightProblem> {
    let shape = first.shape();
    let elementwise = |function: &dyn Fn(f64) -> f64| {
        let Numbers { shape, values } = first.numbers(folder)?;
        Ok(Some(Constant::computed(Numbers { shape, values: values.into_iter().map(function).collect() })))
    };
    let second = match inputs.get(1).and_then(Option::as_ref) {
        Some(Value::Constant(second)) => Some(second),
        _ => None,
    };
    match node.operator {
        "Identity" => Ok(Some(first.clone())),
        "Cast" if matches!(node.integer("to", 0)?, 1 | 10 | 11 | 16) => Ok(Some(first.clone())),
        "Neg" => elementwise(&|value| -value),
        "Sqrt" => elementwise(&f64::sqrt),
        "Reciprocal" => elementwise(&f64::recip),
        "Add" | "Sub" | "Mul" | "Div" => {
            let Some(second) = second else { return Ok(None) };
            let combined = broadcast(node.operator, &first.numbers(folder)?, &second.numbers(folder)?);
            folder.count_copied(combined.as_ref().map_or(0, |combined| combined.values.len()))?;
            Ok(combined.map(Constant::computed))
        }
        "Transpose" => {
            let permutation = permutation(node, shape.len())?;
            permutation.and_then(|permutation| first.transposed(&permutation, folder)).transpose()
        }
        "Squeeze" | "Unsqueeze" => {
            let axes = axes(node, inputs)?;
            let shape = match node.operator {
                "Squeeze" => squeezed(&shape, axes.as_deref()),
                _ => axes.and_then(|axes| unsqueezed(&shape, &axes, 1)),
            };
            shape.map(|shape| first.reshaped(shape, folder)).transpose()
        }
        "Reshape" | "Flatten" => {
            let target = match (node.operator, inputs.get(1).and_then(Option::as_ref)) {
                ("Reshape", Some(Value::Integers(target))) => target.known(),
                ("Reshape", None) => node.integers("shape")?,
                _ => None,
            };
            let shape = target.and_then(|target| resolved(&shape, &target));
            shape.map(|shape| first.reshaped(shape, folder)).transpose()
        }
        _ => Ok(None),
    }
}

/// NumPy's broadcasting, two float64 operands.
fn broadcast(operator: &str, first: &Numbers, second: &Numbers) -> Option<Numbers> {
    let rank = first.shape.len().max(second.shape.len());
    let extent = |numbers: &Numbers, axis: usize| {
        (axis + numbers.shape.len()).checked_sub(rank).map_or(1, |axis| numbers.shape[axis])
    };
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        shape.push(match (extent(first, axis), extent(second, axis)) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => return None,
        });
    }
    let len = shape.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent))?;
    if len > MOST_COMPUTED {
        return None;
    }
    let at = |numbers: &Numbers, mut index: usize| {
        let (mut offset, mut stride) = (0, 1);
        for axis in (0..rank).rev() {
            let position = index % shape[axis];
            index /= shape[axis];
            let own = extent(numbers, axis);
            offset += stride * if own == 1 { 0 } else { position };
            stride *= own;
        }
        numbers.values.get(offset).copied()
    };
    let compute = |index| {
        let (a, b) = (at(first, index)?, at(second, index)?);
        Some(match operator {
            "Add" => a + b,
            "Sub" => a - b,
            "Mul" => a * b,
            _ => a / b,
        })
    };
    let values = (0..len).map(compute).collect::<Option<_>>()?;
    Some(Numbers { shape, values })
}
