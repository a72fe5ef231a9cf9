//! Moments and patterns as the library makes them.

use vggx::backend::{Backend, Batch, LayerMoments, Moments, Pixels};
use vggx::patterns::{Centering, Component, Outcome, solve_neuron};
use vggx::weights::Weights;

use crate::reference::{ReferenceCentering, ReferenceComponent};

/// Every component in both centerings; the linear one knows one.
pub const ALL: [(ReferenceComponent, ReferenceCentering); 5] = [
    (ReferenceComponent::Positive, ReferenceCentering::Global),
    (ReferenceComponent::Positive, ReferenceCentering::Regime),
    (ReferenceComponent::Negative, ReferenceCentering::Global),
    (ReferenceComponent::Negative, ReferenceCentering::Regime),
    (ReferenceComponent::Linear, ReferenceCentering::Global),
];

/// Images of one size, as many bytes each as the size says.
pub struct Images {
    pub size: (usize, usize),
    pub pixels: Vec<Vec<u8>>,
}

/// Adds batches to moments; every image must succeed.
pub fn learn_from(backend: &dyn Backend, moments: Moments, batches: &[Images]) -> Moments {
    let mut learner = backend.learn(moments).expect("memory for moments");
    for Images { size: (height, width), pixels } in batches {
        let joined = pixels.concat();
        let (images, height, width) = (pixels.len(), *height, *width);
        let batch = Batch { images, height, width, pixels: Pixels::Rgb8(&joined) };
        let failures = learner.add(&batch).expect("a batch that can run");
        assert_eq!(failures.len(), images);
        assert!(failures.iter().all(Option::is_none), "{failures:?}");
    }
    learner.moments().expect("a CPU does not fail").clone()
}

/// Adds batches to nothing, without second moments.
pub fn learn(backend: &dyn Backend, weights: &Weights, batches: &[Images]) -> Moments {
    learn_from(backend, Moments::zeros(weights.network(), false), batches)
}

/// A neuron's pattern; `None` where the library finds none, and then it must leave zeros.
pub fn pattern(
    moments: &LayerMoments,
    weight: &[f64],
    neuron: usize,
    component: ReferenceComponent,
    centering: ReferenceCentering,
) -> Option<Vec<f64>> {
    let component = match component {
        ReferenceComponent::Positive => Component::Positive,
        ReferenceComponent::Negative => Component::Negative,
        ReferenceComponent::Linear => Component::Linear,
    };
    let centering = match centering {
        ReferenceCentering::Global => Centering::Global,
        ReferenceCentering::Regime => Centering::Regime,
    };
    let fan_in = moments.fan_in();
    let weight = &weight[neuron * fan_in..][..fan_in];
    let mut pattern = vec![f64::NAN; fan_in];
    let solved = solve_neuron(moments, neuron, weight, component, centering, &mut pattern);
    if solved.outcome == Outcome::Pattern {
        return Some(pattern);
    }
    assert!(pattern.iter().all(|&value| value == 0.0), "a neuron without a pattern has {pattern:?}");
    None
}
