//! Which signals are stored in float8 on the way back ([`Precision::F8`], docs/float8.md). It depends on the layers' extents alone.

use super::options::Precision;
use super::plan::padded;
use super::stage_kernels::StageShape;
use super::tiles::Limits;
use super::warpgroups::BoxVariant;

/// Channels of a row of a box in float8.
pub(super) const ROW_CHANNELS: usize = 128;

/// What a stage's backward kernel reads and writes in float8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Float8Signals {
    /// The signal at the stage's output.
    pub input: bool,
    /// The one below.
    pub output: bool,
}

impl Float8Signals {
    pub fn any(self) -> bool {
        self.input || self.output
    }

    /// What the names of kernels say of it; nothing where there is no float8.
    pub fn elements(self) -> Option<&'static str> {
        match (self.input, self.output) {
            (false, false) => None,
            (false, true) => Some("f16_to_f8"),
            (true, true) => Some("f8"),
            (true, false) => Some("f8_to_f16"),
        }
    }
}

/// Whether so many channels fill rows of boxes in float8.
pub(super) fn fills_rows(channels: usize) -> bool {
    padded(channels).is_multiple_of(ROW_CHANNELS)
}

/// Says it of all stages.
pub(super) fn mark(shapes: &mut [StageShape], precision: Precision, limits: Limits) {
    let last = shapes.len() - 1;
    // The start of a pass is 16-bit elements, and so is what the image's kernel reads.
    let is_stored = |shape: &StageShape| {
        let runs = |(height, width)| {
            BoxVariant::runs(precision, (height, width), false, limits)
                && BoxVariant::choose_ring((1, height, width), shape.outputs, false, limits).is_some()
        };
        precision == Precision::F8
            && shape.index > 0
            && shape.index < last
            && fills_rows(shape.outputs)
            && runs((shape.height, shape.width))
            && runs(shape.stored())
    };
    let mut below = false;
    for shape in shapes {
        let input = is_stored(shape);
        shape.float8 = Float8Signals { input, output: below };
        below = input;
    }
}
