//! The file that is written.

use super::source::Description;
use crate::evaluate::quality::{Candidate, LayerQuality};
use crate::output::path_text;
use crate::patterns::Patterns;
use serde::Serialize;

/// quality.json.
#[derive(Serialize)]
pub struct Document<'a> {
    pub layers: &'a [LayerQuality],
    /// What ρ was taken on.
    pub evaluated: Description,
    /// What v was fitted on; none: on the same, and ρ is in sample.
    pub fit: Option<Description>,
    pub patterns: Vec<PatternFile>,
    /// A short name of the weights.
    pub weights: String,
    /// Of the random estimator's directions.
    pub seed: u64,
    /// Of the program.
    pub version: &'static str,
}

/// A file of patterns.
#[derive(Serialize)]
pub struct PatternFile {
    /// None: learnt in this call.
    pub path: Option<String>,
    pub centering: Option<String>,
    /// The estimators that are measured with it.
    pub estimators: Vec<String>,
    /// A short name of what it holds.
    pub patterns: String,
}

impl PatternFile {
    pub fn of(patterns: &Patterns, candidates: &[Candidate], is_kept: bool) -> Self {
        let measured = |candidate: &&Candidate| {
            candidate.patterns().is_some_and(|measured| std::ptr::eq(measured, patterns))
        };
        PatternFile {
            estimators: candidates.iter().filter(measured).map(Candidate::to_string).collect(),
            path: is_kept.then(|| path_text(patterns.path())),
            centering: patterns.centering().map(str::to_owned),
            patterns: patterns.digest(),
        }
    }
}
