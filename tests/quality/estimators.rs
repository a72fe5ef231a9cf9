//! Pattern files, and what a candidate means in float64.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tempfile::TempDir;
use vggx::evaluate::quality::Candidate;
use vggx::explain::random_direction;
use vggx::patterns::{Centering, Component, MomentRecord, Patterns, SolveOptions, solve};
use vggx::weights::{ElementType, NewTensor, write_tensors};

use crate::reference::ReferenceSignal;
use crate::samples::SampleSet;
use crate::support::Case;

/// Chooses the random estimator's directions.
pub const SEED: u64 = 3;

/// Patterns of a set with either centering, stored in `element`.
pub fn solved(case: &Case, set: &SampleSet, element: ElementType) -> [Patterns; 2] {
    let folder = TempDir::new().expect("a temporary folder");
    [Centering::Global, Centering::Regime].map(|centering| {
        let path = folder.path().join(centering.to_string());
        let record = MomentRecord { images: 1, run: serde_json::Map::new(), progress: None };
        let options = SolveOptions { centering, element, ..SolveOptions::default() };
        solve(&set.moments, &record, &case.weights, &options, &path).expect("a writable folder");
        Patterns::open(&path, &case.weights).expect("its patterns")
    })
}

/// Patterns in float32: `pattern` tells that of a component, a layer and a neuron, given the neuron's weights.
pub fn written(
    case: &Case,
    mut pattern: impl FnMut(Component, usize, usize, &[f64]) -> Vec<f64>,
) -> Patterns {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("patterns");
    let mut tensors = Vec::new();
    for (layer, named) in case.weights.network().parametric().map(|(_, layer)| layer).enumerate() {
        let weight = case.network.parametric_layers()[layer].weight;
        for component in Component::ALL {
            let rows = weight.chunks_exact(named.fan_in()).enumerate();
            let values = rows.flat_map(|(neuron, weight)| pattern(component, layer, neuron, weight));
            tensors.push(NewTensor {
                name: format!("{}.{component}", named.name()),
                element: ElementType::F32,
                shape: named.weight_shape(),
                bytes: Cow::Owned(values.flat_map(|value| (value as f32).to_le_bytes()).collect()),
            });
        }
    }
    write_tensors(&path, &BTreeMap::new(), &tensors).expect("a writable folder");
    Patterns::open(&path, &case.weights).expect("its patterns")
}

/// The signal that a candidate estimates for a neuron, its directions scaled; `None` where it has none. Only numbers are taken
/// from the library: what its files hold, and random ones.
pub fn signal(candidate: &Candidate, layer: usize, neuron: usize, weight: &[f64]) -> Option<ReferenceSignal> {
    let stored = |patterns: &Patterns, component| -> Vec<f64> {
        let values = patterns.tensor(component, layer).expect("every kind").to_vec();
        values[neuron * weight.len()..][..weight.len()].iter().map(|&value| f64::from(value)).collect()
    };
    let signal = match candidate {
        Candidate::Identity => panic!("no distractor"),
        Candidate::Random { seed } => ReferenceSignal::One(
            (0..weight.len()).map(|index| random_direction(*seed, layer, neuron, index)).collect(),
        ),
        Candidate::Filter => ReferenceSignal::One(weight.to_vec()),
        Candidate::Linear(patterns) => ReferenceSignal::One(stored(patterns, Component::Linear)),
        Candidate::TwoComponent { patterns, .. } => ReferenceSignal::Two {
            positive: stored(patterns, Component::Positive),
            negative: stored(patterns, Component::Negative),
        },
    };
    signal.scaled(weight)
}
