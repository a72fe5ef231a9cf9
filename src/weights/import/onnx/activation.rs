//! What the axes of an activation mean, whatever layout a graph computes in.

use crate::weights::import::FlattenOrder;

/// The one tensor that runs through a sequential network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Activation {
    /// Outermost first.
    pub(super) axes: Vec<Axis>,
    /// Whether rows and columns are gone: it is an input or output of dense layers.
    pub(super) vector: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) role: Role,
    /// `None` where the file leaves it open.
    pub(super) extent: Option<usize>,
    /// Zeros put before and after by a Pad that no convolution has taken up yet.
    pub(super) padding: (usize, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Batch,
    Channel,
    Row,
    Column,
    /// Elements of a flattened map, or neurons of a dense layer.
    Feature,
    /// Of extent 1, without a meaning.
    Unit,
}

impl Axis {
    pub(super) fn new(role: Role, extent: Option<usize>) -> Self {
        Self { role, extent, padding: (0, 0) }
    }

    fn is_one(self) -> bool {
        self.extent == Some(1)
    }
}

impl Activation {
    /// Channels × rows × columns, and the images before them.
    pub(super) fn map(extents: [Option<usize>; 4]) -> Self {
        let roles = [Role::Batch, Role::Channel, Role::Row, Role::Column];
        let axes = roles.into_iter().zip(extents).map(|(role, extent)| Axis::new(role, extent)).collect();
        Self { axes, vector: false }
    }

    /// The outputs of a dense layer over the same images, with as many axes of extent 1 as are asked for.
    pub(super) fn features(&self, outputs: usize, units: usize) -> Self {
        let batch = self.extent(Role::Batch);
        let mut axes = vec![Axis::new(Role::Batch, batch), Axis::new(Role::Feature, Some(outputs))];
        axes.extend((0..units).map(|_| Axis::new(Role::Unit, Some(1))));
        Self { axes, vector: true }
    }

    pub(super) fn roles(&self) -> Vec<Role> {
        self.axes.iter().map(|axis| axis.role).collect()
    }

    pub(super) fn position(&self, role: Role) -> Option<usize> {
        self.axes.iter().position(|axis| axis.role == role)
    }

    /// How large it is along the axis of this role, where that is known.
    pub(super) fn extent(&self, role: Role) -> Option<usize> {
        self.position(role).and_then(|position| self.axes[position].extent)
    }

    pub(super) fn set_extent(&mut self, role: Role, extent: Option<usize>) {
        for axis in self.axes.iter_mut().filter(|axis| axis.role == role) {
            axis.extent = extent;
        }
    }

    /// Rows and columns, where both are known.
    pub(super) fn grid(&self) -> Option<(usize, usize)> {
        self.extent(Role::Row).zip(self.extent(Role::Column))
    }

    pub(super) fn is_padded(&self) -> bool {
        self.axes.iter().any(|axis| axis.padding != (0, 0))
    }

    /// An axis counted from the end where it is negative.
    pub(super) fn axis(&self, axis: i64) -> Option<usize> {
        wrap(axis, self.axes.len())
    }

    /// The order of the elements when all axes but that of the images are written in one row; none where it is neither.
    pub(super) fn flatten_order(&self) -> Option<FlattenOrder> {
        if self.axes.first()?.role != Role::Batch {
            return None;
        }
        let wide = self.axes.iter().skip(1).filter(|axis| !axis.is_one() && axis.role != Role::Unit);
        match wide.map(|axis| axis.role).collect::<Vec<_>>()[..] {
            [] | [Role::Channel] | [Role::Channel, Role::Row, Role::Column] => {
                Some(FlattenOrder::ChannelsFirst)
            }
            // One channel, or one row.
            [Role::Row, Role::Column] | [Role::Channel, Role::Row | Role::Column] => {
                Some(FlattenOrder::ChannelsFirst)
            }
            [Role::Row | Role::Column] => Some(FlattenOrder::ChannelsFirst),
            [Role::Row, Role::Column, Role::Channel] | [Role::Row | Role::Column, Role::Channel] => {
                Some(FlattenOrder::ChannelsLast)
            }
            _ => None,
        }
    }

    /// Elements of one image, where they are known.
    pub(super) fn elements(&self) -> Option<usize> {
        let inner = self.axes.iter().filter(|axis| axis.role != Role::Batch);
        inner.map(|axis| axis.extent).try_fold(1usize, |product, extent| product.checked_mul(extent?))
    }

    /// Whether writing the axes one after the other in another shape changes none of those that are wider than 1: their extents
    /// stay the same in the same order. Then the roles move along.
    pub(super) fn reshaped(&self, target: &[Option<usize>]) -> Option<Self> {
        let mut kept = self.axes.iter().filter(|axis| axis.role == Role::Batch || !axis.is_one()).peekable();
        let mut axes = Vec::with_capacity(target.len());
        for &extent in target {
            match kept.peek() {
                Some(axis) if axis.extent == extent => axes.push(**axis),
                // Nothing else is open in the shape of a batch.
                Some(axis) if axis.role == Role::Batch && (extent.is_none() || axis.extent.is_none()) => {
                    axes.push(**axis);
                }
                _ if extent == Some(1) => {
                    axes.push(Axis::new(Role::Unit, Some(1)));
                    continue;
                }
                _ => return None,
            }
            kept.next();
        }
        kept.next().is_none().then_some(Self { axes, vector: self.vector })
    }
}

/// An index counted from the end where it is negative.
pub(super) fn wrap(index: i64, len: usize) -> Option<usize> {
    let from_start = if index < 0 { index.checked_add(i64::try_from(len).ok()?)? } else { index };
    usize::try_from(from_start).ok().filter(|&index| index < len)
}
