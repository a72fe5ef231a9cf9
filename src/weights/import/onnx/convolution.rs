//! Convolutions, and the padding in front of them.

use super::activation::{Activation, Role};
use super::node::Node;
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;
use crate::weights::import::{DenseAxes, KernelAxes, Operation};

/// Zeros before and after rows and columns: top, left, bottom, right, as ONNX has them.
type Pads = [usize; 4];

impl<'a> Walk<'a, '_> {
    /// 3×3 that keeps the extents, 1×1, or over the whole map.
    pub(super) fn convolution(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let mut activation = self.activation(node, inputs)?;
        for name in ["strides", "dilations"] {
            let values = node.integers(name)?.unwrap_or_default();
            if values.iter().any(|&value| value != 1) {
                return Err(node.refuse(format!("a convolution with {name} {values:?}")));
            }
        }
        let groups = node.integer("group", 1)?;
        if groups != 1 {
            return Err(node.refuse(format!("a convolution in {groups} groups")));
        }
        let weight = self.required(node, inputs, 1)?;
        let shape = weight.shape();
        let &[outputs, channels, rows, columns] = shape.as_slice() else {
            return Err(node.refuse(format!("a convolution over {} axes", shape.len().saturating_sub(2))));
        };
        if let Some(kernel) = node.integers("kernel_shape")?
            && !kernel.iter().copied().eq([rows, columns].map(|extent| extent as i64))
        {
            return Err(node.refuse(format!("kernel_shape {kernel:?} contradicts the weight's {shape:?}")));
        }
        let name = node.input(1).unwrap_or_default();
        let bias = self
            .optional(node, inputs, 2)?
            .map(|bias| bias.array(node.input(2).unwrap_or_default(), vec![outputs], self.folder))
            .transpose()?;
        let pads = total_padding(node, &activation, [rows, columns])?;
        if activation.vector {
            let plain =
                matches!(activation.roles()[..], [Role::Batch, Role::Feature, Role::Unit, Role::Unit]);
            if !plain || [rows, columns] != [1, 1] || pads != [0; 4] {
                return Err(node.refuse(format!("a {rows}×{columns} convolution over a flattened map")));
            }
            let weight = weight.array(name, vec![outputs, channels], self.folder)?;
            self.push(node, Operation::Dense { weight, axes: DenseAxes::OutputsInputs, bias });
            return self.advance(node, activation.features(outputs, 2));
        }
        require_map(node, &activation)?;
        if activation.extent(Role::Channel).is_some_and(|extent| extent != channels) {
            return Err(node.refuse(format!(
                "a weight for {channels} channels, where there are {}",
                activation.extent(Role::Channel).unwrap_or_default()
            )));
        }
        let whole = match activation.grid() {
            Some(grid) => grid == (rows, columns),
            // Sizes that fit no convolution of a VGG are those of its last map.
            None => rows == columns && ![1, 3].contains(&rows),
        };
        if whole && pads == [0; 4] {
            let weight = weight.array(name, shape.clone(), self.folder)?;
            self.push(node, Operation::Dense { weight, axes: DenseAxes::OutputsInputs, bias });
            return self.advance(node, activation.features(outputs, 2));
        }
        if !matches!((rows, columns, pads), (3, 3, [1, 1, 1, 1]) | (1, 1, [0, 0, 0, 0])) {
            return Err(node.refuse(format!("a {rows}×{columns} convolution with padding {pads:?}")));
        }
        let weight = weight.array(name, shape.clone(), self.folder)?;
        self.push(node, Operation::Convolution { weight, axes: KernelAxes::OutputsInputsRowsColumns, bias });
        activation.set_extent(Role::Channel, Some(outputs));
        activation.axes.iter_mut().for_each(|axis| axis.padding = (0, 0));
        self.advance(node, activation)
    }

    /// Zeros around a map are kept in mind for the convolution after it.
    pub(super) fn pad(&mut self, node: &Node<'a>, inputs: &[Option<Value<'a>>]) -> Result<(), WeightProblem> {
        let mut activation = self.activation(node, inputs)?;
        let rank = activation.axes.len();
        let integers = |index: usize| match inputs.get(index).and_then(Option::as_ref) {
            Some(Value::Integers(integers)) => integers.known(),
            _ => None,
        };
        let pads = integers(1).or(node.integers("pads")?).or(node.integers("paddings")?);
        let axes: Option<Vec<usize>> = match inputs.get(3).and_then(Option::as_ref) {
            None => Some((0..rank).collect()),
            Some(_) => {
                integers(3).and_then(|axes| axes.into_iter().map(|axis| activation.axis(axis)).collect())
            }
        };
        let pads: Option<Vec<usize>> =
            pads.and_then(|pads| pads.into_iter().map(|pad| usize::try_from(pad).ok()).collect());
        let (Some(axes), Some(pads)) = (axes, pads) else {
            return Err(node.refuse("a Pad that cuts off, or whose extents are not constant"));
        };
        if pads.len() != 2 * axes.len() {
            return Err(node.refuse(format!("{} pads for {} axes", pads.len(), axes.len())));
        }
        let value = match self.number(node, inputs, 2)? {
            Some(value) => value,
            None => f64::from(node.float("value", 0.0)?),
        };
        let (before, after) = pads.split_at(axes.len());
        for ((&axis, &before), &after) in axes.iter().zip(before).zip(after) {
            if (before, after) == (0, 0) {
                continue;
            }
            let axis = &mut activation.axes[axis];
            if !matches!(axis.role, Role::Row | Role::Column) {
                return Err(node.refuse("a Pad of other axes than rows and columns"));
            }
            if value != 0.0 || node.text("mode", "constant")? != "constant" {
                return Err(node.refuse("a Pad with other values than zeros"));
            }
            axis.padding = (axis.padding.0.saturating_add(before), axis.padding.1.saturating_add(after));
        }
        self.advance(node, activation)
    }
}

/// Refuses what is not images × channels × rows × columns here.
pub(super) fn require_map(node: &Node<'_>, activation: &Activation) -> Result<(), WeightProblem> {
    match activation.roles()[..] {
        [Role::Batch, Role::Channel, Role::Row, Role::Column] => Ok(()),
        _ => Err(node.refuse(format!(
            "{} over axes that are {:?}, where ONNX has the batch, channels, rows and columns",
            node.operator,
            activation.roles()
        ))),
    }
}

/// The padding of the node and of the Pad before it.
fn total_padding(
    node: &Node<'_>,
    activation: &Activation,
    kernel: [usize; 2],
) -> Result<Pads, WeightProblem> {
    let own = match node.text("auto_pad", "NOTSET")? {
        "VALID" => [0; 4],
        // With stride 1 the extents stay: k - 1 zeros, evenly where k is odd.
        "SAME_UPPER" | "SAME_LOWER" => {
            if kernel.iter().any(|extent| extent % 2 == 0) {
                return Err(
                    node.refuse(format!("a {}×{} convolution with padding SAME", kernel[0], kernel[1]))
                );
            }
            let [vertical, horizontal] = kernel.map(|extent| extent / 2);
            [vertical, horizontal, vertical, horizontal]
        }
        _ => pads(node)?,
    };
    let padding =
        |role| activation.position(role).map_or((0, 0), |axis: usize| activation.axes[axis].padding);
    let ((top, bottom), (left, right)) = (padding(Role::Row), padding(Role::Column));
    let both = |own: usize, pad: usize| own.saturating_add(pad);
    Ok([both(own[0], top), both(own[1], left), both(own[2], bottom), both(own[3], right)])
}

/// The attribute `pads` of a convolution or pool over rows and columns.
pub(super) fn pads(node: &Node<'_>) -> Result<Pads, WeightProblem> {
    let Some(pads) = node.integers("pads")? else { return Ok([0; 4]) };
    let refuse = || node.refuse(format!("{} with padding {pads:?}", node.operator));
    let sizes: Vec<usize> =
        pads.iter().map(|&pad| usize::try_from(pad)).collect::<Result<_, _>>().map_err(|_| refuse())?;
    sizes.try_into().map_err(|_| refuse())
}
