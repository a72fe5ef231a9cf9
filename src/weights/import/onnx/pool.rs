//! Pools.

use super::activation::{Activation, Role};
use super::convolution::{pads, require_map};
use super::node::Node;
use super::shapes;
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;
use crate::weights::import::Operation;

impl<'a> Walk<'a, '_> {
    /// 2×2 with stride 2. What other ways of rounding do is the same where extents are even.
    pub(super) fn max_pool(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let mut activation = self.activation(node, inputs)?;
        require_map(node, &activation)?;
        let kernel = node.integers("kernel_shape")?.unwrap_or_default();
        let strides = node.integers("strides")?.unwrap_or_else(|| vec![1; kernel.len()]);
        let dilations = node.integers("dilations")?.unwrap_or_default();
        if kernel != [2, 2] || strides != [2, 2] || dilations.iter().any(|&dilation| dilation != 1) {
            return Err(node.refuse(format!("a max-pool of {kernel:?} with strides {strides:?}")));
        }
        let automatic = node.text("auto_pad", "NOTSET")?;
        if automatic == "NOTSET" && pads(node)? != [0; 4] {
            return Err(node.refuse(format!("a max-pool with padding {:?}", pads(node)?)));
        }
        let rounds_up = node.integer("ceil_mode", 0)? != 0 || automatic.starts_with("SAME");
        let even = activation.grid().is_some_and(|(rows, columns)| rows % 2 == 0 && columns % 2 == 0);
        if rounds_up && !even {
            return Err(node.refuse(
                "a max-pool that keeps half windows at the border (ceil_mode or padding SAME), over extents that are odd or not \
                 fixed",
            ));
        }
        for role in [Role::Row, Role::Column] {
            activation.set_extent(role, activation.extent(role).map(|extent| extent / 2));
        }
        if activation.grid().is_some_and(|(rows, columns)| rows == 0 || columns == 0) {
            return Err(node.refuse("nothing is left of the image here"));
        }
        self.push(node, Operation::MaxPool);
        self.advance(node, activation)
    }

    /// Averages over all positions, or over as many as leave torchvision's grid.
    pub(super) fn average_pool(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let mut activation = self.activation(node, inputs)?;
        // What a convolution over the whole map leaves is averaged too, one position.
        let single = activation.vector && activation.axes.iter().skip(2).all(|axis| axis.role == Role::Unit);
        let (mut side, mut averaged) = (1, [2, 3].to_vec());
        match node.operator {
            "GlobalAveragePool" if single => {}
            "GlobalAveragePool" => require_map(node, &activation)?,
            "AveragePool" => {
                require_map(node, &activation)?;
                side = averaged_side(node, &activation)?;
            }
            _ => averaged = averaged_axes(node, &activation, shapes::axes(node, inputs)?)?,
        }
        if !single {
            self.push(node, Operation::AdaptiveAveragePool { side });
        }
        for role in [Role::Row, Role::Column] {
            activation.set_extent(role, Some(side));
        }
        if node.operator == "ReduceMean" && node.integer("keepdims", 1)? == 0 {
            let kept = activation.axes.iter().enumerate().filter(|(axis, _)| !averaged.contains(axis));
            activation.axes = kept.map(|(_, axis)| *axis).collect();
        }
        self.settle(node, &mut activation)?;
        self.advance(node, activation)
    }
}

/// The axes of a ReduceMean: those of rows and columns, or such as are gone.
fn averaged_axes(
    node: &Node<'_>,
    activation: &Activation,
    axes: Option<Vec<i64>>,
) -> Result<Vec<usize>, WeightProblem> {
    let axes = axes.unwrap_or_default().into_iter().map(|axis| activation.axis(axis));
    let axes = axes.collect::<Option<Vec<_>>>().unwrap_or_default();
    let mut roles: Vec<_> = axes.iter().map(|&axis| activation.axes[axis].role).collect();
    roles.sort_unstable_by_key(|role| *role != Role::Row);
    if axes.len() == 2 && matches!(roles[..], [Role::Row, Role::Column] | [Role::Unit, Role::Unit]) {
        return Ok(axes);
    }
    Err(node.refuse("a mean over other axes than rows and columns"))
}

/// The side of the grid that an AveragePool leaves, where that is torchvision's adaptive pool at the graph's extents.
fn averaged_side(node: &Node<'_>, activation: &Activation) -> Result<usize, WeightProblem> {
    let kernel = node.integers("kernel_shape")?.unwrap_or_default();
    let strides = node.integers("strides")?.unwrap_or_else(|| vec![1; kernel.len()]);
    let refuse = || {
        node.refuse(format!(
            "an average pool of {kernel:?} with strides {strides:?}, which is not one that leaves a square grid of separate windows"
        ))
    };
    let dilations = node.integers("dilations")?.unwrap_or_default();
    let (Some((rows, columns)), [height, width]) = (activation.grid(), &kernel[..]) else {
        return Err(refuse());
    };
    let sizes = usize::try_from(*height).ok().zip(usize::try_from(*width).ok());
    let (height, width) = sizes.filter(|&(height, width)| height > 0 && width > 0).ok_or_else(refuse)?;
    let plain = strides == kernel && dilations.iter().all(|&dilation| dilation == 1) && pads(node)? == [0; 4];
    let fits =
        rows % height == 0 && columns % width == 0 && rows / height == columns / width && rows >= height;
    // One window only: the stride does not matter.
    let single = (height, width) == (rows, columns) && pads(node)? == [0; 4];
    if fits && (plain || single) { Ok(rows / height) } else { Err(refuse()) }
}
