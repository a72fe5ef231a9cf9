//! The patterns of one neuron.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Component;
use crate::backend::LayerMoments;

/// Which mean of y is taken from it in the two-component estimator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Centering {
    /// ȳ = E\[y\] over all positions.
    #[default]
    Global,
    /// ȳ = E₊\[y\] or E₋\[y\], over the positions of the regime.
    Regime,
}

/// A text that names no centering.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown centering `{0}`: choose global or regime")]
pub struct CenteringError(pub String);

impl FromStr for Centering {
    type Err = CenteringError;

    fn from_str(text: &str) -> Result<Self, CenteringError> {
        match text {
            "global" => Ok(Self::Global),
            "regime" => Ok(Self::Regime),
            _ => Err(CenteringError(text.to_owned())),
        }
    }
}

impl fmt::Display for Centering {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Global => "global",
            Self::Regime => "regime",
        })
    }
}

/// Whether a neuron has a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has.
    Pattern,
    /// Fewer than 2 positions are of the regime.
    FewPositions,
    /// y hardly varies over the regime: the denominator is at most 10⁻¹⁰·E\[y²\], or not a number.
    Degenerate,
}

/// How a neuron's pattern came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Solved {
    /// Whether there is one.
    pub outcome: Outcome,
    /// Positions of the regime.
    pub positions: f64,
    /// Denominator relative to E\[y²\] of the regime, a measure of how much of the sums cancels.
    pub conditioning: f64,
}

/// Solves a pattern into `pattern`, \[fan-in\]: zeros where there is none. `weight` is the neuron's.
///
/// # Panics
/// When the neuron does not exist, or `weight` or `pattern` are not of its fan-in.
pub fn solve_neuron(
    moments: &LayerMoments,
    neuron: usize,
    weight: &[f64],
    component: Component,
    centering: Centering,
    pattern: &mut [f64],
) -> Solved {
    todo!()
}
