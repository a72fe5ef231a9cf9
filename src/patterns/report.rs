//! What was found while patterns were solved.

use serde::{Deserialize, Serialize};

use super::solve::Stored;
use super::{Centering, Component, Outcome, Patterns, Solved};
use crate::backend::LayerMoments;

/// How patterns came out, layer by layer; kept in their file as JSON under the metadata key `report`.
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
    /// Positions of the regime, over all neurons.
    pub positions: Spread,
    /// wᵀ(numerator of the pattern) relative to E\[y²\] of the regime, over the neurons that have a pattern: how little of
    /// the sums cancels. `None` where no neuron has one.
    pub conditioning: Option<Spread>,
    /// Largest |wᵀa − 1| of the patterns as they are stored, which is the rounding of the file's elements. `None` where no
    /// neuron has a pattern.
    pub rounding: Option<f64>,
    /// Neurons without a pattern because fewer than 2 positions are of the regime.
    pub few_positions: Vec<usize>,
    /// Neurons without a pattern because the denominator is not above 10⁻¹⁰·E\[y²\]: see [`Outcome::Degenerate`].
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

impl Report {
    /// The report of a pattern file; `None` where it has none, or one that cannot be read.
    pub fn of(patterns: &Patterns) -> Option<Self> {
        Self::parse(patterns.metadata("report")?)
    }

    /// Reads the JSON of a file's metadata; `None` when it is of another structure.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl LayerReport {
    /// The part of one component.
    pub fn component(&self, component: Component) -> &ComponentReport {
        match component {
            Component::Positive => &self.positive,
            Component::Negative => &self.negative,
            Component::Linear => &self.linear,
        }
    }
}

impl ComponentReport {
    /// Neurons without a pattern, in order.
    pub fn without(&self) -> Vec<usize> {
        let mut without = [self.few_positions.as_slice(), &self.degenerate].concat();
        without.sort_unstable();
        without
    }
}

impl Spread {
    /// `None` without values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let least = *values.first()?;
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { least, median: low + (high - low) / 2.0 })
    }
}

/// Collects what is reported of a layer, neuron by neuron.
pub(super) struct LayerTally<'a> {
    layer: &'a LayerMoments,
    neurons: Vec<[Stored; 3]>,
}

impl<'a> LayerTally<'a> {
    pub(super) fn of(layer: &'a LayerMoments) -> Self {
        Self { layer, neurons: Vec::with_capacity(layer.outputs()) }
    }

    /// The next neuron.
    pub(super) fn add(&mut self, neuron: [Stored; 3]) {
        self.neurons.push(neuron);
    }

    pub(super) fn report(self) -> LayerReport {
        let Self { layer, neurons } = self;
        let positive: f64 = layer.positive_count.iter().sum();
        let all = layer.positions * neurons.len() as f64;
        let component = |index: usize| component(neurons.iter().map(|neuron| neuron[index]));
        LayerReport {
            name: layer.name.clone(),
            neurons: neurons.len(),
            positions: layer.positions as u64,
            active: (all > 0.0).then_some(positive / all),
            positive: component(0),
            negative: component(1),
            linear: component(2),
        }
    }
}

fn component(neurons: impl Iterator<Item = Stored> + Clone) -> ComponentReport {
    let is = |outcome| move |(_, (solved, _)): &(usize, Stored)| solved.outcome == outcome;
    let without = |outcome| {
        neurons.clone().enumerate().filter(is(outcome)).map(|(neuron, _)| neuron).collect::<Vec<_>>()
    };
    let held = neurons.clone().enumerate().filter(is(Outcome::Pattern)).map(|(_, stored)| stored);
    let positions = neurons.clone().map(|(Solved { positions, .. }, _)| positions).collect();
    ComponentReport {
        positions: Spread::of(positions).unwrap_or(Spread { least: 0.0, median: 0.0 }),
        conditioning: Spread::of(held.clone().map(|(solved, _)| solved.conditioning).collect()),
        rounding: held.map(|(_, miss)| miss).reduce(f64::max),
        few_positions: without(Outcome::FewPositions),
        degenerate: without(Outcome::Degenerate),
    }
}

/// A report whose JSON is at least as long as that of any of the layer: files leave room for it before they are solved.
pub(super) fn widest(name: &str, neurons: usize) -> LayerReport {
    // −1.7976931348623157e308: no float64 has more digits.
    let spread = Spread { least: f64::MIN, median: f64::MIN };
    // A neuron is in one of the two lists.
    let component = ComponentReport {
        positions: spread,
        conditioning: Some(spread),
        rounding: Some(f64::MIN),
        few_positions: (0..neurons).collect(),
        degenerate: Vec::new(),
    };
    LayerReport {
        name: name.to_owned(),
        neurons,
        positions: u64::MAX,
        active: Some(f64::MIN),
        positive: component.clone(),
        negative: component.clone(),
        linear: component,
    }
}
