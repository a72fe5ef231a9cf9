//! The parts of a batch in which consecutive stages run, as [`Schedule`](super::schedule::Schedule) says.

use super::buffers::Addresses;
use super::plan::Plan;
use super::schedule::Segment;
use std::ops::Range;

/// Stages with the parts that run through them.
pub(super) struct SegmentParts {
    pub stages: Range<usize>,
    /// One after another; of stages that run for the whole batch, one with all images.
    pub parts: Vec<Part>,
}

/// Some of a batch's images.
pub(super) struct Part {
    /// With their number, and the kernels for it.
    pub plan: Plan,
    /// Where what belongs to them begins.
    pub at: Addresses,
    /// The first one's number.
    pub first: usize,
    /// Whether the batch has others.
    pub is_some: bool,
}

/// The parts of all segments, for a plan at its addresses.
pub(super) fn parts(plan: &Plan, at: &Addresses, segments: &[Segment]) -> Vec<SegmentParts> {
    let images = plan.geometry.images;
    let of_segment = |segment: &Segment| {
        let is_some = segment.images < images;
        let part =
            |(first, count)| Part { plan: plan.of_part(count), at: plan.at_image(at, first), first, is_some };
        SegmentParts { stages: segment.stages.clone(), parts: segment.parts(images).map(part).collect() }
    };
    segments.iter().map(of_segment).collect()
}
