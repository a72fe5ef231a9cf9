//! From moments to a pattern file.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Centering, LayerSource, MomentRecord, Report, SolveError};
use crate::weights::{ElementType, Weights};

/// How patterns are solved and stored.
#[derive(Clone, Debug)]
pub struct SolveOptions {
    /// Which ȳ the two-component patterns are solved with.
    pub centering: Centering,
    /// Type of the file's elements.
    pub element: ElementType,
    /// More metadata for the file, such as `source` and `licence`; keys that the file has by itself are kept as they are.
    pub metadata: BTreeMap<String, String>,
}

impl Default for SolveOptions {
    /// Global centering, float32, no more metadata.
    fn default() -> Self {
        Self { centering: Centering::Global, element: ElementType::F32, metadata: BTreeMap::new() }
    }
}

/// Solves the `positive`, `negative` and `linear` patterns of every layer and writes them, with what was found. The file
/// appears, or replaces one, when it is complete and on the disk. Moments and patterns of one layer are in memory at a
/// time.
///
/// # Errors
/// When the moments are not of these weights, a pattern is beyond the range of `options.element`, or the file cannot be
/// written. Then what was at `path` is still there.
pub fn solve(
    moments: &dyn LayerSource,
    record: &MomentRecord,
    weights: &Weights,
    options: &SolveOptions,
    path: &Path,
) -> Result<Report, SolveError> {
    todo!()
}
