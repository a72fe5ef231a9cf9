//! What changes the order or the shape of an activation and none of its numbers.

use super::activation::{Activation, Axis, Role};
use super::node::Node;
use super::shapes::{self, unsqueezed};
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;
use crate::weights::import::FlattenOrder;

impl<'a> Walk<'a, '_> {
    pub(super) fn rearrange(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        let activation = self.activation(node, inputs)?;
        let mut moved = match node.operator {
            "Transpose" => transposed(node, &activation)?,
            "Squeeze" => squeezed(node, &activation, shapes::axes(node, inputs)?)?,
            "Unsqueeze" => {
                let axes = shapes::axes(node, inputs)?.unwrap_or_default();
                let axes = unsqueezed(&activation.axes, &axes, Axis::new(Role::Unit, Some(1)));
                let axes = axes.ok_or_else(|| node.refuse("its axes are impossible"))?;
                Activation { axes, vector: activation.vector }
            }
            "Flatten" => {
                let axis = node.integer("axis", 1)?;
                if axis != 1 && activation.axis(axis) != Some(1) {
                    return Err(node.refuse(format!("a Flatten at axis {axis}, not after the batch")));
                }
                self.flattened(node, activation, 2, 1)?
            }
            _ => self.reshaped(node, activation, inputs)?,
        };
        self.settle(node, &mut moved)?;
        self.advance(node, moved)
    }

    /// Where rows and columns have gone, the map has become a vector.
    pub(super) fn settle(
        &mut self,
        node: &Node<'a>,
        activation: &mut Activation,
    ) -> Result<(), WeightProblem> {
        let gone = activation.position(Role::Row).is_none() && activation.position(Role::Column).is_none();
        if gone && activation.position(Role::Channel).is_some() {
            self.settle_units(node, activation)?;
        }
        Ok(())
    }

    /// All elements of an image on one axis, `place`, of `rank`; the others are 1 but that of the batch, the first.
    fn flattened(
        &mut self,
        node: &Node<'a>,
        mut activation: Activation,
        rank: usize,
        place: usize,
    ) -> Result<Activation, WeightProblem> {
        let order = match activation.flatten_order() {
            // A vector stays one.
            _ if activation.vector => FlattenOrder::ChannelsFirst,
            Some(order) => order,
            None => {
                return Err(node.refuse(format!(
                    "it flattens axes that are {:?}; they must be channels, rows and columns, or rows, columns and channels",
                    activation.roles()
                )));
            }
        };
        if activation.axes.first().is_none_or(|axis| axis.role != Role::Batch) {
            return Err(node.refuse("the batch is not the first axis"));
        }
        let elements = activation.elements();
        self.flatten(node, &mut activation, order)?;
        let mut axes = vec![Axis::new(Role::Unit, Some(1)); rank];
        axes[0] = activation.axes[0];
        axes[place] = Axis::new(Role::Feature, elements);
        Ok(Activation { axes, vector: true })
    }

    fn reshaped(
        &mut self,
        node: &Node<'a>,
        activation: Activation,
        inputs: &[Option<Value<'a>>],
    ) -> Result<Activation, WeightProblem> {
        let target = match inputs.get(1).and_then(Option::as_ref) {
            Some(Value::Integers(target)) => target.values.clone(),
            Some(_) => return Err(node.refuse("its shape is not constant")),
            None => node.integers("shape")?.unwrap_or_default().into_iter().map(Some).collect(),
        };
        let keeps_zeros = node.integer("allowzero", 0)? == 0;
        let mut open = Vec::new();
        let mut extents = Vec::with_capacity(target.len());
        for (axis, extent) in target.iter().enumerate() {
            extents.push(match extent {
                Some(0) if keeps_zeros => activation.axes.get(axis).and_then(|axis| axis.extent),
                Some(-1) => {
                    open.push(axis);
                    None
                }
                Some(extent) => Some(
                    usize::try_from(*extent)
                        .ok()
                        .filter(|&extent| extent > 0)
                        .ok_or_else(|| node.refuse(format!("a shape with the extent {extent}")))?,
                ),
                None => None,
            });
        }
        let impossible = || {
            node.refuse(format!(
                "a Reshape to {target:?} of axes that are {:?}, which is neither a flatten nor one that keeps the axes",
                activation.roles()
            ))
        };
        if extents.is_empty() || open.len() > 1 {
            return Err(impossible());
        }
        // -1 is what the other extents leave; the batch keeps itself, whatever its size.
        if let [axis] = open[..]
            && axis > 0
        {
            let known = extents.iter().enumerate().skip(1).filter(|&(other, _)| other != axis);
            let known =
                known.map(|(_, extent)| *extent).try_fold(1usize, |len, extent| len.checked_mul(extent?));
            let elements = activation.elements();
            extents[axis] = known.zip(elements).and_then(|(known, elements)| {
                (known > 0 && elements.is_multiple_of(known)).then(|| elements / known)
            });
        }
        if let Some(kept) = activation.reshaped(&extents) {
            return Ok(kept);
        }
        let batch = (activation.extent(Role::Batch), extents[0]);
        if !matches!(batch, (None, _) | (_, None)) && batch.0 != batch.1 {
            return Err(impossible());
        }
        let wide: Vec<usize> = (1..extents.len()).filter(|&axis| extents[axis] != Some(1)).collect();
        match (&wide[..], activation.elements()) {
            (&[place], elements)
                if extents[place].is_none() || elements.is_none() || extents[place] == elements =>
            {
                let mut flat = self.flattened(node, activation, extents.len(), place)?;
                flat.axes[place].extent = flat.axes[place].extent.or(extents[place]);
                Ok(flat)
            }
            _ => Err(impossible()),
        }
    }
}

fn transposed(node: &Node<'_>, activation: &Activation) -> Result<Activation, WeightProblem> {
    let rank = activation.axes.len();
    let permutation = shapes::permutation(node, rank)?.filter(|permutation| {
        let mut sorted = permutation.clone();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..rank)
    });
    let permutation =
        permutation.ok_or_else(|| node.refuse(format!("it is no permutation of {rank} axes")))?;
    let axes = permutation.into_iter().map(|axis| activation.axes[axis]).collect();
    Ok(Activation { axes, vector: activation.vector })
}

fn squeezed(
    node: &Node<'_>,
    activation: &Activation,
    axes: Option<Vec<i64>>,
) -> Result<Activation, WeightProblem> {
    let mut dropped: Vec<bool> =
        activation.axes.iter().map(|axis| axes.is_none() && axis.extent == Some(1)).collect();
    for axis in axes.unwrap_or_default() {
        let place = activation.axis(axis).filter(|&place| activation.axes[place].extent == Some(1));
        let place =
            place.ok_or_else(|| node.refuse(format!("it drops axis {axis}, which is not known to be 1")))?;
        dropped[place] = true;
    }
    let kept = activation.axes.iter().zip(&dropped).filter(|(_, dropped)| !**dropped);
    let axes: Vec<Axis> = kept.map(|(axis, _)| *axis).collect();
    if !axes.iter().any(|axis| axis.role == Role::Batch) {
        return Err(node.refuse("it drops the axis of the batch"));
    }
    Ok(Activation { axes, vector: activation.vector })
}
