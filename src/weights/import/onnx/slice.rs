//! What a Slice cuts out.

use super::integers::Integers;
use super::node::Node;
use crate::weights::WeightProblem;

/// Where exporters that do not know an extent let it end.
const ENDLESS: i64 = 1_000_000_000;

/// One axis of a Slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) axis: i64,
    start: i64,
    end: i64,
    step: i64,
}

impl Range {
    /// What a Slice cuts out, axis by axis; `others` are its inputs after the first, attributes before opset 10. `None` when it is
    /// not known.
    pub(super) fn read(
        node: &Node<'_>,
        others: &[Option<&Integers>],
    ) -> Result<Option<Vec<Self>>, WeightProblem> {
        let list = |name: &str, index: usize| match others.get(index).copied().flatten() {
            Some(integers) => Ok(integers.known()),
            None => node.integers(name),
        };
        let (Some(starts), Some(ends)) = (list("starts", 0)?, list("ends", 1)?) else { return Ok(None) };
        let axes = list("axes", 2)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list("steps", 3)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Ok(None);
        }
        let ranges = starts.iter().zip(ends).zip(axes.into_iter().zip(steps));
        Ok(Some(ranges.map(|((&start, end), (axis, step))| Self { axis, start, end, step }).collect()))
    }

    /// Whether nothing is cut off an axis of this extent, in order.
    pub(super) fn is_whole(self, extent: Option<usize>) -> bool {
        let extent = extent.and_then(|extent| i64::try_from(extent).ok()).unwrap_or(ENDLESS);
        self.step == 1 && (self.start == 0 || self.start <= -extent) && self.end >= extent
    }

    /// The positions along an axis of this many, as the standard clamps them.
    pub(super) fn positions(self, len: usize) -> Option<Vec<usize>> {
        let len = i64::try_from(len).ok().filter(|&len| len > 0)?;
        let from_start = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
        let (mut position, end) = match self.step {
            0 => return None,
            1.. => (from_start(self.start).clamp(0, len), from_start(self.end).clamp(0, len)),
            _ => (from_start(self.start).clamp(0, len - 1), from_start(self.end).clamp(-1, len - 1)),
        };
        let mut positions = Vec::new();
        while (self.step > 0 && position < end) || (self.step < 0 && position > end) {
            positions.push(usize::try_from(position).ok()?);
            position = position.saturating_add(self.step);
        }
        Some(positions)
    }
}
