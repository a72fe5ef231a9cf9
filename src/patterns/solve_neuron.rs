//! The patterns of one neuron.
//!
//! With s the regime (positive, negative, or all positions for the linear estimator), and ȳ the mean of y that the
//! centering says (over all positions for the linear one), a pattern is
//!
//! a = k / (wᵀk),  k = Σ_s xy − ȳ Σ_s x,
//!
//! which is (E_s\[xy\] − E_s\[x\] ȳ) / (wᵀ numerator): the number of positions cancels, and is not divided by.
//!
//! In exact arithmetic wᵀk = Σ_s y² − ȳ Σ_s y, which would do as denominator too. It is no better where much cancels: both
//! are small differences of the same large sums. And it is worse otherwise: the Σ_s xy that was summed carries the
//! forward pass's rounding of y and, on tensor cores, of x and w, and Σ_s y² carries it differently, so that wᵀa would miss
//! 1 by as much as they differ (10⁻³ in float16). Divided by wᵀk, wᵀa = 1 holds to the rounding of float64 whatever the
//! errors of the sums, the length of a pattern is right for the weights it is used with, and only its direction depends
//! on the sums. Σ_s y² serves as the scale that wᵀk is compared with.
//!
//! ȳ is taken from the sums of y, not as wᵀE\[x\]: they were made from the same rounded y as Σxy, so that an offset of x
//! cancels in k exactly.
//!
//! Σ₋x = Σx − Σ₊x is the only difference of stored sums. Its error is theirs: relative to Σ₋x, N/N₋ times that of Σx, 2⁻⁵³
//! for the arithmetic here and more for what was summed in float32 before. Only for neurons that are nearly always active
//! does it matter, and there for ȳ Σ₋x alone; Σ₋xy was summed by itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Component;
use crate::backend::LayerMoments;

/// Share of E\[y²\] up to which a denominator is none.
const DEGENERATE: f64 = 1e-10;

/// Which mean of y is taken from it in the two-component estimator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Centering {
    /// ȳ = E\[y\] over all positions, as in the paper by Kindermans and others and their code.
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
    /// Denominator relative to E\[y²\] of the regime: how little of the sums cancels.
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
    let fan_in = moments.fan_in();
    assert!(weight.len() == fan_in && pattern.len() == fan_in, "a neuron of {fan_in} weights");
    let row = neuron * fan_in..(neuron + 1) * fan_in;
    let (positive_x, x) = (&moments.positive_x[row.clone()], &moments.x);
    let (positive_xy, negative_xy) = (&moments.positive_xy[row.clone()], &moments.negative_xy[row]);
    let (positive_y, negative_y) = (moments.positive_y[neuron], moments.negative_y[neuron]);
    let (positive_yy, negative_yy) = (moments.positive_yy[neuron], moments.negative_yy[neuron]);
    let positive_count = moments.positive_count[neuron];

    let (positions, y, yy) = match component {
        Component::Positive => (positive_count, positive_y, positive_yy),
        Component::Negative => (moments.positions - positive_count, negative_y, negative_yy),
        Component::Linear => (moments.positions, positive_y + negative_y, positive_yy + negative_yy),
    };
    let none = |outcome, pattern: &mut [f64]| {
        pattern.fill(0.0);
        Solved { outcome, positions, conditioning: 0.0 }
    };
    if positions.is_nan() || positions < 2.0 {
        return none(Outcome::FewPositions, pattern);
    }
    let mean = match centering {
        Centering::Regime => y / positions,
        Centering::Global => (positive_y + negative_y) / moments.positions,
    };
    match component {
        Component::Positive => {
            for ((k, xy), x) in pattern.iter_mut().zip(positive_xy).zip(positive_x) {
                *k = xy - mean * x;
            }
        }
        Component::Negative => {
            for (((k, xy), positive_x), x) in pattern.iter_mut().zip(negative_xy).zip(positive_x).zip(x) {
                *k = xy - mean * (x - positive_x);
            }
        }
        Component::Linear => {
            for (((k, positive), negative), x) in pattern.iter_mut().zip(positive_xy).zip(negative_xy).zip(x)
            {
                *k = (positive + negative) - mean * x;
            }
        }
    }
    let denominator: f64 = weight.iter().zip(&*pattern).map(|(w, k)| w * k).sum();
    if !(denominator > DEGENERATE * yy && denominator > 0.0 && denominator.is_finite()) {
        return none(Outcome::Degenerate, pattern);
    }
    pattern.iter_mut().for_each(|k| *k /= denominator);
    Solved { outcome: Outcome::Pattern, positions, conditioning: denominator / yy }
}
