//! The estimators whose quality is measured.

use std::collections::HashSet;
use std::fmt;

use crate::patterns::{Component, Patterns};

/// A signal estimator with the directions that it takes.
#[derive(Clone, Copy, Debug)]
pub enum Candidate<'a> {
    /// S(x) = x: nothing is left for the distractor, so ρ is not defined.
    Identity,
    /// S(x) = u y / (wᵀu), with a random direction u.
    Random {
        /// Chooses the directions.
        seed: u64,
    },
    /// S(x) = w y / (wᵀw).
    Filter,
    /// S(x) = a y, a = cov\[x, y\] / var\[y\].
    Linear(&'a Patterns),
    /// S(x) = a₊ y where the neuron is active, a₋ y elsewhere.
    TwoComponent {
        /// The patterns.
        patterns: &'a Patterns,
        /// Whether other patterns of the kind are measured too, so that the name tells the centering.
        named_by_centering: bool,
    },
}

/// An estimator that the files do not allow, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub estimator: String,
    /// What is missing.
    pub reason: String,
}

/// The estimators that can be measured, in the order of figure 4.
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    /// Those that are measured.
    pub held: Vec<Candidate<'a>>,
    /// Those that are not.
    pub missing: Vec<Missing>,
}

/// Why estimators cannot be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// There is none of the name.
    #[error("unknown estimator '{0}'; there are {known}", known = KNOWN.join(", "))]
    Unknown(String),
    /// It was asked for, and the files do not have it.
    #[error("the estimator '{estimator}' cannot be measured: {reason}")]
    Missing {
        /// The estimator.
        estimator: String,
        /// What is missing.
        reason: String,
    },
    /// Two files have two-component patterns of one centering, or do not say which.
    #[error(
        "two pattern files have two-component patterns with the same centering ({0}), so their results would have one \
         name; give one file of each centering"
    )]
    SameCentering(String),
}

/// All names.
const KNOWN: [&str; 7] = [
    "identity",
    "random",
    "filter",
    "linear",
    "two-component",
    "two-component-global",
    "two-component-regime",
];

impl fmt::Display for Candidate<'_> {
    /// The name in tables and files.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Candidate::Identity => formatter.write_str("identity"),
            Candidate::Random { .. } => formatter.write_str("random"),
            Candidate::Filter => formatter.write_str("filter"),
            Candidate::Linear(_) => formatter.write_str("linear"),
            Candidate::TwoComponent { named_by_centering: false, .. } => formatter.write_str("two-component"),
            Candidate::TwoComponent { patterns, .. } => {
                write!(formatter, "two-component-{}", centering(patterns))
            }
        }
    }
}

/// Patterns of files without the word are of unknown centering.
fn centering(patterns: &Patterns) -> &str {
    patterns.centering().unwrap_or("unknown")
}

/// Whether a file has patterns of a kind for every layer.
fn has(patterns: &Patterns, layers: usize, component: Component) -> bool {
    (0..layers).all(|layer| patterns.tensor(component, layer).is_some())
}

impl<'a> Candidates<'a> {
    /// All that pattern files allow for a network of so many layers with weights. `seed` is that of the random directions.
    ///
    /// # Errors
    /// When two files have two-component patterns of one centering.
    pub fn all(files: &'a [Patterns], layers: usize, seed: u64) -> Result<Self, CandidateError> {
        let mut held = vec![Candidate::Random { seed }, Candidate::Filter];
        let mut missing = Vec::new();
        let of = |component| match component {
            None => "no pattern file was given".to_owned(),
            Some(component) => format!("no pattern file has '{component}' patterns of every layer"),
        };
        let lacks = |estimator: &str, component| Missing {
            estimator: estimator.to_owned(),
            reason: of((!files.is_empty()).then_some(component)),
        };
        // Linear patterns do not depend on the centering.
        match files.iter().find(|file| has(file, layers, Component::Linear)) {
            Some(patterns) => held.push(Candidate::Linear(patterns)),
            None => missing.push(lacks("linear", Component::Linear)),
        }
        let both = [Component::Positive, Component::Negative];
        let two: Vec<&Patterns> =
            files.iter().filter(|file| both.iter().all(|&component| has(file, layers, component))).collect();
        if two.is_empty() {
            let positive = files.iter().any(|file| has(file, layers, Component::Positive));
            let lacking = if positive { Component::Negative } else { Component::Positive };
            missing.push(lacks("two-component", lacking));
        }
        for (index, patterns) in two.iter().enumerate() {
            if two[..index].iter().any(|other| centering(other) == centering(patterns)) {
                return Err(CandidateError::SameCentering(centering(patterns).to_owned()));
            }
            held.push(Candidate::TwoComponent { patterns, named_by_centering: two.len() > 1 });
        }
        Ok(Candidates { held, missing })
    }

    /// # Errors
    /// When a name is unknown.
    pub fn check_names(names: &[String]) -> Result<(), CandidateError> {
        match names.iter().find(|name| !KNOWN.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(CandidateError::Unknown(name.clone())),
        }
    }

    /// Those of these names, in this order, each once; nothing is missing then.
    ///
    /// # Errors
    /// When a name is unknown, or the files do not allow it.
    pub fn choose(self, names: &[String]) -> Result<Self, CandidateError> {
        Self::check_names(names)?;
        let mut held: Vec<Candidate> = Vec::with_capacity(names.len());
        for name in names {
            if name == "identity" {
                held.push(Candidate::Identity);
                continue;
            }
            let mut named = self.held.iter().filter(|candidate| candidate.answers_to(name)).peekable();
            if named.peek().is_none() {
                let known = self.missing.iter().find(|missing| name.starts_with(&missing.estimator));
                let reason = known.map_or_else(
                    || "no pattern file has such patterns of every layer".to_owned(),
                    |missing| missing.reason.clone(),
                );
                return Err(CandidateError::Missing { estimator: name.clone(), reason });
            }
            held.extend(named);
        }
        let mut seen = HashSet::new();
        held.retain(|candidate| seen.insert(candidate.to_string()));
        Ok(Candidates { held, missing: Vec::new() })
    }
}

impl<'a> Candidate<'a> {
    /// The file that its directions are in.
    pub fn patterns(&self) -> Option<&'a Patterns> {
        match self {
            Candidate::Linear(patterns) | Candidate::TwoComponent { patterns, .. } => Some(patterns),
            Candidate::Identity | Candidate::Random { .. } | Candidate::Filter => None,
        }
    }

    /// Whether a name on the command line means it: `two-component` means those of all centerings.
    fn answers_to(&self, name: &str) -> bool {
        match self {
            Candidate::TwoComponent { patterns, .. } => {
                name == "two-component" || name == format!("two-component-{}", centering(patterns))
            }
            other => other.to_string() == name,
        }
    }
}
