//! Integers that become shapes, and nodes that compute them.

use super::activation::wrap;
use super::node::Node;
use super::slice::Range;
use crate::weights::WeightProblem;

/// Integers of a shape, or indices into one. `None` stands for an extent that the file leaves open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Integers {
    /// No axis: a single one.
    pub(super) scalar: bool,
    pub(super) values: Vec<Option<i64>>,
}

/// Most integers of a shape.
pub(super) const MOST_INTEGERS: usize = 256;

impl Integers {
    pub(super) fn list(values: Vec<Option<i64>>) -> Self {
        Self { scalar: false, values }
    }

    /// All of them, if all are known.
    pub(super) fn known(&self) -> Option<Vec<i64>> {
        self.values.iter().copied().collect()
    }
}

/// The value of a node that runs on integers alone; `None` where it is not understood.
pub(super) fn fold_integers(
    node: &Node<'_>,
    first: &Integers,
    others: &[Option<&Integers>],
) -> Result<Option<Integers>, WeightProblem> {
    let other = |index: usize| others.get(index).copied().flatten();
    let values = &first.values;
    Ok(match node.operator {
        "Identity" | "Cast" => Some(first.clone()),
        "Unsqueeze" if first.scalar => Some(Integers::list(values.clone())),
        "Squeeze" if values.len() == 1 => Some(Integers { scalar: true, values: values.clone() }),
        "Reshape" => match other(0).and_then(Integers::known).as_deref() {
            Some([]) if values.len() == 1 => Some(Integers { scalar: true, values: values.clone() }),
            Some([extent]) if *extent == -1 || usize::try_from(*extent) == Ok(values.len()) => {
                Some(Integers::list(values.clone()))
            }
            _ => None,
        },
        "Gather" if !first.scalar && node.integer("axis", 0)? == 0 => other(0).and_then(|indices| {
            let pick = |index: &Option<i64>| wrap((*index)?, values.len()).map(|index| values[index]);
            let values = indices.values.iter().map(pick).collect::<Option<_>>()?;
            Some(Integers { scalar: indices.scalar, values })
        }),
        "Concat" => {
            let mut all = values.clone();
            for other in others {
                let Some(other) = other else { return Ok(None) };
                if all.len() + other.values.len() > MOST_INTEGERS {
                    return Ok(None);
                }
                all.extend_from_slice(&other.values);
            }
            Some(Integers::list(all))
        }
        "Slice" => {
            let ranges = Range::read(node, others)?.unwrap_or_default();
            let positions = match ranges[..] {
                [range] if !first.scalar => range.positions(values.len()),
                _ => None,
            };
            positions.map(|positions| {
                Integers::list(positions.into_iter().map(|position| values[position]).collect())
            })
        }
        "ReduceProd" => {
            let product = values.iter().copied().try_fold(1i64, |product, value| product.checked_mul(value?));
            Some(Integers { scalar: node.integer("keepdims", 1)? == 0, values: vec![product] })
        }
        "Add" | "Sub" | "Mul" | "Div" => other(0).and_then(|second| combine(node.operator, first, second)),
        _ => None,
    })
}

fn combine(operator: &str, first: &Integers, second: &Integers) -> Option<Integers> {
    let len = match (first.values.len(), second.values.len()) {
        (a, b) if a == b => a,
        (1, b) => b,
        (a, 1) => a,
        _ => return None,
    };
    let at = |integers: &Integers, index: usize| {
        integers.values[if integers.values.len() == 1 { 0 } else { index }]
    };
    let compute = |index| {
        let (a, b) = (at(first, index)?, at(second, index)?);
        match operator {
            "Add" => a.checked_add(b),
            "Sub" => a.checked_sub(b),
            "Mul" => a.checked_mul(b),
            _ => a.checked_div(b),
        }
    };
    Some(Integers { scalar: first.scalar && second.scalar, values: (0..len).map(compute).collect() })
}
