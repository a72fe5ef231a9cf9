//! What was found while patterns were solved.

use serde::{Deserialize, Serialize};

use super::Centering;

/// How patterns came out, layer by layer; kept in their file under the metadata key `report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which ȳ the two-component patterns were solved with.
    pub centering: Centering,
    /// Images that were summed.
    pub images: u64,
    /// One a layer with weights.
    pub layers: Vec<LayerReport>,
}

/// How the patterns of one layer came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The layer's name.
    pub name: String,
    /// Neurons.
    pub neurons: usize,
    /// Positions that were summed.
    pub positions: u64,
    /// Share of positions that are positive, over all neurons; `None` without positions.
    pub active: Option<f64>,
    /// The positive patterns.
    pub positive: ComponentReport,
    /// The negative patterns.
    pub negative: ComponentReport,
    /// The linear patterns.
    pub linear: ComponentReport,
}

/// How one component's patterns of one layer came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// Positions of the regime.
    pub positions: Spread,
    /// wᵀ(numerator of the pattern) relative to E\[y²\] of the regime, over the neurons that have a pattern; the smaller, the
    /// more of the sums cancels. `None` where no neuron has one.
    pub conditioning: Option<Spread>,
    /// Largest |wᵀa − 1| of the patterns as they are stored, which is rounding; `None` where no neuron has one.
    pub rounding: Option<f64>,
    /// Neurons without a pattern because fewer than 2 positions are of the regime.
    pub few_positions: Vec<usize>,
    /// Neurons without a pattern because y hardly varies there: the denominator is at most 10⁻¹⁰·E\[y²\].
    pub degenerate: Vec<usize>,
}

/// A number per neuron, in short.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle; the mean of the two in the middle where the number of neurons is even.
    pub median: f64,
}
