//! What an earlier run left where this one is to write.

use super::Options;
use crate::cli::exit::Failure;
use crate::cli::identity::difference;
use crate::output::path_text;
use crate::patterns::{LayerSource, MomentFile, Patterns, SolveOptions};
use crate::weights::Weights;
use serde_json::{Map, Value};
use std::path::Path;

/// What is there of this very run.
pub struct Present {
    pub patterns: Option<Patterns>,
    pub moments: Option<MomentFile>,
}

/// Looks at the files that the options name.
///
/// # Errors
/// When one of them is something else, which would be lost.
pub fn look(
    options: &Options,
    solve: &SolveOptions,
    run: &Map<String, Value>,
    weights: &Weights,
) -> Result<Present, Failure> {
    let existing = |path: &Option<_>| -> Option<std::path::PathBuf> {
        path.clone().filter(|path: &std::path::PathBuf| path.exists() && !options.overwrite)
    };
    let mut present = Present { patterns: None, moments: None };
    if let Some(path) = existing(&options.output) {
        let patterns = Patterns::open(&path, weights).map_err(|error| refuse(&path, &error.to_string()))?;
        let unfinished = patterns.unfinished();
        let other = other_patterns(&patterns, solve, run)
            .or_else(|| unfinished.then(|| "they are of a run that had not finished".to_owned()));
        if let Some(other) = other {
            return Err(refuse(&path, &other));
        }
        present.patterns = Some(patterns);
    }
    if let Some(path) = existing(&options.moments) {
        let moments = MomentFile::open(&path, weights).map_err(|error| refuse(&path, &error.to_string()))?;
        let second = moments.has_second_moments() || !options.second_moments;
        let other = difference(&moments.record().run, run)
            .or_else(|| moments.record().progress.as_ref().map(|_| "they are a checkpoint".to_owned()))
            .or_else(|| (!second).then(|| "they have no second moments".to_owned()));
        if let Some(other) = other {
            return Err(refuse(&path, &other));
        }
        present.moments = Some(moments);
    }
    Ok(present)
}

/// How patterns differ from those that a run would write.
pub fn other_patterns(patterns: &Patterns, solve: &SolveOptions, run: &Map<String, Value>) -> Option<String> {
    let earlier: Map<String, Value> =
        patterns.metadata("run").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if earlier.is_empty() {
        return Some("it does not say which run it is of".to_owned());
    }
    let centering = solve.centering.to_string();
    difference(&earlier, run)
        .or_else(|| {
            (patterns.centering() != Some(centering.as_str()))
                .then(|| format!("centering: {} and now {centering}", patterns.centering().unwrap_or("none")))
        })
        .or_else(|| {
            let stored = patterns.element()?.to_string();
            let now = solve.element.to_string();
            (stored != now).then(|| format!("element type: {stored} and now {now}"))
        })
}

/// A file that must not be replaced without being asked.
pub fn refuse(path: &Path, why: &str) -> Failure {
    Failure::Run(format!(
        "{} is there already and is not what this call would write ({why}); name another file, or use --overwrite",
        path_text(path)
    ))
}
