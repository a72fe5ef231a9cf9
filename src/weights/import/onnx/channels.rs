//! What takes an image's channels apart and puts them together: red and blue exchanged.

use super::activation::{Activation, Role, wrap};
use super::integers::Integers;
use super::node::Node;
use super::slice::Range;
use super::walk::{Value, Walk};
use crate::weights::WeightProblem;
use crate::weights::import::Operation;

/// Channels of an image.
const CHANNELS: usize = 3;

/// One channel of an activation, and what was done to it: scale·x + shift.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    /// The activation.
    source: &'a str,
    channel: usize,
    scale: f64,
    shift: f64,
}

impl Part<'_> {
    /// With another factor and summand after its own.
    pub(super) fn then(&self, scale: f64, shift: f64) -> Self {
        Self { scale: self.scale * scale, shift: self.shift * scale + shift, ..*self }
    }
}

impl<'a> Walk<'a, '_> {
    pub(super) fn channels(
        &mut self,
        node: &Node<'a>,
        inputs: &[Option<Value<'a>>],
    ) -> Result<(), WeightProblem> {
        if node.operator == "Concat" {
            return self.concat(node, inputs);
        }
        let activation = self.activation(node, inputs)?;
        let integers: Vec<Option<&Integers>> = inputs
            .iter()
            .skip(1)
            .map(|input| match input {
                Some(Value::Integers(integers)) => Some(integers),
                _ => None,
            })
            .collect();
        if node.operator == "Split" {
            return self.split(node, &activation, integers.first().copied().flatten());
        }
        let chosen = match node.operator {
            "Slice" => sliced(node, &activation, &integers)?,
            "Gather" => {
                let axis = node.integer("axis", 0)?;
                gathered(node, &activation, axis, integers.first().copied().flatten())?
            }
            // Indices of one number each choose along the first axis: so torch.export writes x[:, [2, 1, 0]].
            "GatherND" if node.integer("batch_dims", 0)? == 0 => {
                let indices = self.column(node, inputs, 1)?;
                gathered(node, &activation, 0, Some(&indices))?
            }
            _ => reversed(node, &activation, integers.first().copied().flatten())?,
        };
        match chosen[..] {
            [0, 1, 2] => self.advance(node, activation),
            [2, 1, 0] => {
                self.push(node, Operation::ReverseChannels);
                self.advance(node, activation)
            }
            [channel] => {
                self.set(node.output()?, self.part(channel));
                Ok(())
            }
            _ => Err(node.refuse(format!("it makes an image of the channels {chosen:?}"))),
        }
    }

    fn part(&self, channel: usize) -> Value<'a> {
        Value::Part(Part { source: self.newest, channel, scale: 1.0, shift: 0.0 })
    }

    fn split(
        &mut self,
        node: &Node<'a>,
        activation: &Activation,
        sizes: Option<&Integers>,
    ) -> Result<(), WeightProblem> {
        channel_axis(node, activation, node.integer("axis", 0)?)?;
        let sizes = match sizes {
            Some(sizes) => sizes.known(),
            None => node.integers("split")?,
        };
        if node.outputs.len() != CHANNELS || sizes.is_some_and(|sizes| sizes != [1; CHANNELS]) {
            return Err(node.refuse("a Split in other parts than single channels"));
        }
        for (channel, output) in node.outputs.iter().enumerate() {
            self.set(output, self.part(channel));
        }
        Ok(())
    }

    fn concat(&mut self, node: &Node<'a>, inputs: &[Option<Value<'a>>]) -> Result<(), WeightProblem> {
        let parts: Option<Vec<&Part<'a>>> = inputs
            .iter()
            .map(|input| match input {
                Some(Value::Part(part)) if part.source == self.newest => Some(part),
                _ => None,
            })
            .collect();
        let parts = parts.ok_or_else(|| node.refuse("Concat joins branches"))?;
        let activation = self.newest_activation(node)?;
        channel_axis(node, &activation, node.integer("axis", 0)?)?;
        let channels: Vec<usize> = parts.iter().map(|part| part.channel).collect();
        match channels[..] {
            [0, 1, 2] => {}
            [2, 1, 0] => self.push(node, Operation::ReverseChannels),
            _ => return Err(node.refuse(format!("it makes an image of the channels {channels:?}"))),
        }
        if parts.iter().any(|part| (part.scale, part.shift) != (1.0, 0.0)) {
            let (scale, shift) = parts.iter().map(|part| (part.scale, part.shift)).collect();
            self.push(node, Operation::Affine { scale, shift });
        }
        self.advance(node, activation)
    }
}

/// Checks that an axis is that of the three channels of an image.
fn channel_axis(node: &Node<'_>, activation: &Activation, axis: i64) -> Result<(), WeightProblem> {
    let axis = activation.axis(axis).map(|axis| activation.axes[axis]);
    match axis {
        Some(axis) if axis.role == Role::Channel && axis.extent.is_none_or(|extent| extent == CHANNELS) => {
            Ok(())
        }
        _ => Err(node.refuse(format!("{} of other axes than the channels of an image", node.operator))),
    }
}

/// Channels that a Slice takes; it may also take all of other axes.
fn sliced(
    node: &Node<'_>,
    activation: &Activation,
    others: &[Option<&Integers>],
) -> Result<Vec<usize>, WeightProblem> {
    let mut channels = (0..CHANNELS).collect();
    let ranges = Range::read(node, others)?.ok_or_else(|| node.refuse("a Slice that is not constant"))?;
    for range in ranges {
        let axis = activation.axis(range.axis).map(|axis| activation.axes[axis]);
        let axis = axis.ok_or_else(|| node.refuse("a Slice of an axis that is not there"))?;
        if range.is_whole(axis.extent) {
            continue;
        }
        channel_axis(node, activation, range.axis)?;
        channels = range.positions(CHANNELS).ok_or_else(|| node.refuse("a Slice with a step of 0"))?;
    }
    Ok(channels)
}

fn gathered(
    node: &Node<'_>,
    activation: &Activation,
    axis: i64,
    indices: Option<&Integers>,
) -> Result<Vec<usize>, WeightProblem> {
    channel_axis(node, activation, axis)?;
    let indices = indices.filter(|indices| !indices.scalar).and_then(Integers::known);
    let channels =
        indices.and_then(|indices| indices.into_iter().map(|index| wrap(index, CHANNELS)).collect());
    channels.ok_or_else(|| node.refuse("a Gather of channels that are not there or not constant"))
}

fn reversed(
    node: &Node<'_>,
    activation: &Activation,
    lengths: Option<&Integers>,
) -> Result<Vec<usize>, WeightProblem> {
    channel_axis(node, activation, node.integer("time_axis", 0)?)?;
    match lengths.and_then(Integers::known) {
        Some(lengths) if lengths.iter().all(|&length| length == CHANNELS as i64) => Ok(vec![2, 1, 0]),
        _ => Err(node.refuse("a ReverseSequence of other lengths than all channels")),
    }
}
