//! What has no ρ, and what is refused.

use std::borrow::Cow;

use vggx::backend::{LayerMoments, Moments, SecondMoments};
use vggx::evaluate::quality::{
    Candidate, Candidates, QualityError, QualityOptions, QualityReport, Reason, memory_needed, quality,
};
use vggx::network::{Convolution, Dense, Layer, Network, Preprocessing};
use vggx::patterns::{Component, LayerSource, Patterns};
use vggx::weights::ElementType;

use crate::agreement::measure;
use crate::estimators::{SEED, solved, written};
use crate::reference::{ReferenceLayer, ReferenceNetwork, random_vgg};
use crate::samples::{Image, SampleSet, correlated_images};
use crate::support::Case;

const SIZES: [(usize, usize); 3] = [(4, 4), (6, 5), (7, 9)];

/// Convolutions with 27 and 36 weights a neuron, dense layers with 20 and 7.
fn network() -> ReferenceNetwork {
    random_vgg(47, 3, &[&[4, 5]], Some((2, &[7, 3])))
}

fn set(case: &Case, images: usize, seed: u64) -> SampleSet {
    SampleSet::new(case, &correlated_images(&SIZES, images, seed))
}

/// Weights and bias of a layer, counted from 0 among those that have some.
fn parameters(network: &mut ReferenceNetwork, layer: usize) -> (&mut Vec<f64>, &mut Vec<f64>) {
    let layers = network.layers.iter_mut().filter_map(|layer| match layer {
        ReferenceLayer::Convolution { weight, bias, .. } | ReferenceLayer::Dense { weight, bias, .. } => {
            Some((weight, bias))
        }
        _ => None,
    });
    layers.into_iter().nth(layer).expect("so many layers")
}

/// Makes the rows of some neurons of a component zero.
fn learnt_without(case: &Case, patterns: &Patterns, gone: [(Component, usize, usize); 2]) -> Patterns {
    written(case, |component, layer, neuron, weight| {
        if gone.contains(&(component, layer, neuron)) {
            return vec![0.0; weight.len()];
        }
        let stored = patterns.tensor(component, layer).expect("every kind").to_vec();
        let row = &stored[neuron * weight.len()..][..weight.len()];
        row.iter().map(|&value| f64::from(value)).collect()
    })
}

/// Every ρ of a layer is there but for these neurons, whose ρ is null for this reason.
fn assert_undefined(
    report: &QualityReport,
    layer: usize,
    estimator: usize,
    neurons: &[usize],
    reason: Reason,
) {
    let layer = &report.layers[layer];
    let estimator = &layer.estimators[estimator];
    let at = format!("{}, {}", layer.name, estimator.name);
    for (neuron, rho) in estimator.rho.iter().enumerate() {
        assert_eq!(rho.is_none(), neurons.contains(&neuron), "{at}, neuron {neuron}: {rho:?}");
    }
    let counted: Vec<(Reason, usize)> = estimator.undefined.iter().map(|(&reason, &n)| (reason, n)).collect();
    let expected = if neurons.is_empty() { vec![] } else { vec![(reason, neurons.len())] };
    assert_eq!(counted, expected, "{at}");
    let held = estimator.rho.iter().flatten();
    let mean = held.clone().sum::<f64>() / held.clone().count() as f64;
    match estimator.mean {
        Some(found) => assert!((found - mean).abs() < 1e-12, "{at}: {found} {mean}"),
        None => assert_eq!(neurons.len(), estimator.rho.len(), "{at}"),
    }
}

#[test]
fn layers_with_few_positions_have_none_and_the_others_go_on() {
    let case = Case::new(network(), ElementType::F32);
    let (many, few) = (set(&case, 40, 1), set(&case, 20, 2));
    let [global, _] = solved(&case, &many, ElementType::F32);
    let candidates = [Candidate::Filter, Candidate::Linear(&global), Candidate::Identity];
    // As many positions as inputs a neuron: 20.
    for evaluated in [None, Some(&many)] {
        let report = measure(&case, &candidates, &few, evaluated);
        for layer in [0, 1, 3] {
            assert_undefined(&report, layer, 0, &[], Reason::FewPositions);
            assert!(report.layers[layer].ridge.is_some());
        }
        let dense = &report.layers[2];
        assert_eq!((dense.k, dense.fit_positions, dense.ridge), (20, 20, None));
        assert_eq!(dense.positions, if evaluated.is_some() { 40 } else { 20 });
        for (estimator, found) in dense.estimators.iter().enumerate() {
            assert_undefined(&report, 2, estimator, &[0, 1, 2, 3, 4, 5, 6], Reason::FewPositions);
            assert_eq!(found.rho_in_sample, [None; 7]);
            assert_eq!((found.mean, found.quartiles, found.mean_in_sample), (None, None, None));
        }
        let warnings = dense.undefined();
        assert_eq!(warnings.len(), 1);
        assert_eq!((warnings[0].reason, warnings[0].estimator), (Reason::FewPositions, None));
    }
    // One more is enough; and ρ may be taken on few.
    let enough = set(&case, 21, 2);
    let one_more = measure(&case, &candidates, &enough, None);
    assert!(one_more.layers[2].estimators[0].rho.iter().all(Option::is_some));
    let on_few = measure(&case, &candidates, &many, Some(&few));
    assert!(on_few.layers[2].estimators[0].rho.iter().all(Option::is_some));
}

#[test]
fn identity_leaves_no_distractor() {
    let mut network = network();
    parameters(&mut network, 1).0[..36].fill(0.0);
    let case = Case::new(network, ElementType::F32);
    let set = set(&case, 40, 1);
    let report = measure(&case, &[Candidate::Identity], &set, None);
    assert_undefined(&report, 0, 0, &[0, 1, 2, 3], Reason::NoDistractor);
    // The neuron without weights says so with every estimator.
    let counts = &report.layers[1].estimators[0].undefined;
    assert_eq!((counts[&Reason::NoWeights], counts[&Reason::NoDistractor]), (1, 4));
}

#[test]
fn neurons_without_weights_or_with_a_constant_response_have_none() {
    let mut network = network();
    // Its first channel is always 3, and the border around it 0; its second never active.
    let (weight, bias) = parameters(&mut network, 0);
    weight[..27].fill(0.0);
    (bias[0], bias[1]) = (3.0, -60.0);
    // Of the next, the first neuron has no weights, the second sees the constant under the centre tap, the third what is dead.
    let (weight, _) = parameters(&mut network, 1);
    weight[..3 * 36].fill(0.0);
    weight[36 + 4] = 1.5;
    weight[2 * 36 + 9..2 * 36 + 18].fill(0.7);
    let case = Case::new(network, ElementType::F32);
    let [learnt, fitted, evaluated] = [1, 2, 3].map(|seed| set(&case, 40, seed));
    let files = solved(&case, &learnt, ElementType::F32);
    let candidates = Candidates::all(&files, 4, SEED).expect("one file of each centering").held;
    for evaluated in [None, Some(&evaluated)] {
        let report = measure(&case, &candidates, &fitted, evaluated);
        for (number, candidate) in candidates.iter().enumerate() {
            // The one that is never active has no positive pattern; that comes after what all estimators lack.
            let first = &report.layers[0].estimators[number];
            let two = matches!(candidate, Candidate::TwoComponent { .. });
            assert_eq!(first.undefined.get(&Reason::NoWeights), Some(&1), "{candidate}");
            assert_eq!(first.undefined.get(&Reason::NoPattern), two.then_some(&1), "{candidate}");
            assert_eq!((first.rho[0], first.rho[1].is_none()), (None, two), "{candidate}");
            let undefined = &report.layers[1].estimators[number].undefined;
            assert_eq!(undefined.get(&Reason::NoWeights), Some(&1), "{candidate}");
            assert_eq!(undefined.get(&Reason::ConstantResponse), Some(&2), "{candidate}");
            let rho = &report.layers[1].estimators[number].rho;
            assert_eq!((&rho[..3], rho[3].is_some(), rho[4].is_some()), (&[None; 3][..], true, true));
        }
        let warnings = report.layers[1].undefined();
        assert!(warnings.iter().all(|warning| warning.estimator.is_none()), "{warnings:?}");
    }
}

/// v can be fitted, but ρ cannot be taken where y is always the same.
#[test]
fn responses_that_are_constant_only_held_out_leave_the_value_in_sample() {
    let mut network = network();
    let (weight, _) = parameters(&mut network, 0);
    weight[..27].fill(0.0);
    (weight[4], weight[13]) = (0.7, -1.3);
    let case = Case::new(network, ElementType::F32);
    let fitted = set(&case, 40, 1);
    let flat: Vec<Image> = (0..40).map(|_| (vec![0.3; 3 * 30], 6, 5)).collect();
    let report = measure(&case, &[Candidate::Filter], &fitted, Some(&SampleSet::new(&case, &flat)));
    assert_undefined(&report, 0, 0, &[0], Reason::ConstantResponse);
    let estimator = &report.layers[0].estimators[0];
    assert!(estimator.rho_in_sample.iter().all(Option::is_some));
}

#[test]
fn neurons_without_a_pattern_have_none_for_that_estimator_alone() {
    let case = Case::new(network(), ElementType::F32);
    let set = set(&case, 40, 1);
    let [_, regime] = solved(&case, &set, ElementType::F32);
    let two = |patterns| Candidate::TwoComponent { patterns, named_by_centering: false };
    let before = measure(&case, &[two(&regime)], &set, None).layers[1].estimators[0].rho.clone();
    assert_eq!(before.iter().flatten().count(), 5, "a network with all patterns");
    let patterns = learnt_without(&case, &regime, [(Component::Negative, 1, 2), (Component::Linear, 1, 3)]);
    let candidates = [Candidate::Filter, Candidate::Linear(&patterns), two(&patterns)];
    let report = measure(&case, &candidates, &set, None);
    assert_undefined(&report, 1, 0, &[], Reason::NoPattern);
    assert_undefined(&report, 1, 1, &[3], Reason::NoPattern);
    assert_undefined(&report, 1, 2, &[2], Reason::NoPattern);
    let warnings: Vec<_> =
        report.layers[1].undefined().iter().map(|w| w.estimator.map(str::to_owned)).collect();
    assert_eq!(warnings, [Some("linear".to_owned()), Some("two-component".to_owned())]);
}

/// A pattern that is orthogonal to the weights estimates no signal of them.
#[test]
fn orthogonal_patterns_are_none() {
    let mut network = network();
    let (weight, _) = parameters(&mut network, 3);
    weight[0] = 0.0;
    let case = Case::new(network, ElementType::F32);
    let set = set(&case, 40, 1);
    let patterns = written(&case, |_, layer, neuron, weight| match (layer, neuron) {
        (3, 0) => (0..weight.len()).map(|index| if index == 0 { 2.0 } else { 0.0 }).collect(),
        _ => weight.to_vec(),
    });
    let report = measure(&case, &[Candidate::Linear(&patterns)], &set, None);
    assert_undefined(&report, 3, 0, &[0], Reason::NoPattern);
}

/// Runs, and says whether a layer was done before an error came.
fn refused(
    case: &Case,
    candidates: &[Candidate],
    evaluated: &Moments,
    fitted: Option<&Moments>,
) -> (QualityError, usize) {
    let mut done = 0;
    let options = QualityOptions {
        weights: &case.weights,
        candidates,
        evaluated,
        fitted: fitted.map(|fitted| fitted as _),
    };
    match quality(&options, |_| done += 1) {
        Err(error) => (error, done),
        Ok(_) => panic!("nothing was refused"),
    }
}

#[test]
fn moments_that_do_not_fit_are_refused() {
    let case = Case::new(network(), ElementType::F32);
    let good = set(&case, 40, 1).moments;
    let filter = &[Candidate::Filter][..];
    // Each as the set that is evaluated alone, that is evaluated, and that is fitted.
    let check = |bad: &Moments, layers: usize, right: &dyn Fn(&QualityError, &str) -> bool| {
        for (evaluated, fitted, which) in
            [(bad, None, "evaluated"), (bad, Some(&good), "evaluated"), (&good, Some(bad), "fitted")]
        {
            let (error, done) = refused(&case, filter, evaluated, fitted);
            assert!(right(&error, which), "{which}: {error:?}");
            assert_eq!(done, layers, "{error}");
        }
    };
    let mut bad = good.clone();
    bad.layers[2].second = None;
    check(&bad, 0, &|error, of| matches!(error, QualityError::NoSecondMoments { which } if *which == of));
    let mut bad = good.clone();
    bad.layers.pop();
    check(&bad, 0, &|error, of| {
        matches!(error, QualityError::OtherNetwork { which, found, expected }
            if *which == of && found == "3 layers" && expected == "4 layers")
    });
    let other = Case::new(random_vgg(47, 3, &[&[4, 6]], Some((2, &[7, 3]))), ElementType::F32);
    check(&set(&other, 40, 1).moments, 1, &|error, of| {
        matches!(error, QualityError::OtherNetwork { which, found, expected }
            if *which == of && found.contains("[6, 4, 3, 3]") && expected.contains("[5, 4, 3, 3]"))
    });
    let none = Moments::zeros(case.weights.network(), true);
    check(&none, 0, &|error, of| matches!(error, QualityError::NoPositions { which } if *which == of));
}

#[test]
fn second_moments_that_are_no_numbers_leave_the_other_layers() {
    let case = Case::new(network(), ElementType::F32);
    let good = set(&case, 40, 1).moments;
    for (layer, name) in [(1, "features.2"), (2, "classifier.0")] {
        let mut bad = good.clone();
        match bad.layers[layer].second.as_mut() {
            Some(SecondMoments::Convolution(lags)) => lags.map[5] = f64::NAN,
            Some(SecondMoments::Dense(triangle)) => triangle[5] = f64::NAN,
            None => panic!("second moments"),
        }
        let options = QualityOptions {
            weights: &case.weights,
            candidates: &[Candidate::Filter],
            evaluated: &good,
            fitted: Some(&bad),
        };
        let report = quality(&options, |_| {}).expect("the others are good");
        for (number, measured) in report.layers.iter().enumerate() {
            let filter = &measured.estimators[0];
            let neurons = filter.rho.len();
            if number == layer {
                assert_eq!(measured.name, name);
                assert_eq!(filter.undefined.get(&Reason::BadMoments), Some(&neurons));
                assert!(filter.rho.iter().chain(&filter.rho_in_sample).all(Option::is_none));
            } else {
                assert!(!filter.undefined.contains_key(&Reason::BadMoments));
                assert!(filter.rho.iter().any(Option::is_some), "{}", measured.name);
            }
        }
    }
}

#[test]
fn patterns_that_are_no_numbers_are_refused_before_any_work() {
    let case = Case::new(network(), ElementType::F32);
    let good = set(&case, 40, 1).moments;
    let patterns = written(&case, |component, layer, neuron, weight| {
        let is_bad = (component, layer, neuron) == (Component::Negative, 3, 1);
        weight.iter().map(|w| if is_bad { f64::INFINITY } else { *w }).collect()
    });
    let two = Candidate::TwoComponent { patterns: &patterns, named_by_centering: false };
    let (error, done) = refused(&case, &[Candidate::Filter, two], &good, None);
    assert!(matches!(error, QualityError::Patterns(_)) && done == 0, "{error:?}");
    // Those that are not read do not matter.
    measure(&case, &[Candidate::Linear(&patterns)], &set(&case, 40, 1), None);
}

/// Moments whose layers are read anew each time, as those in files are.
struct Owned(Moments);

impl LayerSource for Owned {
    fn layer_count(&self) -> usize {
        self.0.layers.len()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        Cow::Owned(self.0.layers[layer].clone())
    }

    fn has_second_moments(&self) -> bool {
        true
    }
}

/// What is let go of early is not missed.
#[test]
fn moments_of_files_give_the_same_bits() {
    let case = Case::new(network(), ElementType::F32);
    let [fitted, evaluated] = [1, 2].map(|seed| set(&case, 40, seed));
    let files = solved(&case, &evaluated, ElementType::F32);
    let candidates = Candidates::all(&files, 4, SEED).expect("one file of each centering").held;
    let expected = measure(&case, &candidates, &fitted, Some(&evaluated));
    let [fitted, evaluated] = [fitted, evaluated].map(|set| Owned(set.moments));
    let options = QualityOptions {
        weights: &case.weights,
        candidates: &candidates,
        evaluated: &evaluated,
        fitted: Some(&fitted),
    };
    let mut told = Vec::new();
    let report = quality(&options, |layer| told.push(layer.name.clone())).expect("good moments");
    assert_eq!(told, ["features.0", "features.2", "classifier.0", "classifier.3"]);
    for (layer, expected) in report.layers.iter().zip(&expected.layers) {
        assert_eq!(layer.estimators, expected.estimators);
    }
}

/// VGG16 with its classifier.
fn vgg16() -> Network {
    let mut layers = Vec::new();
    let mut inputs = 3;
    for (block, widths) in
        [&[64, 64][..], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]].iter().enumerate()
    {
        for (index, &outputs) in widths.iter().enumerate() {
            layers.push(Layer::Convolution(Convolution {
                name: format!("features.{block}.{index}"),
                inputs,
                outputs,
            }));
            inputs = outputs;
        }
        layers.push(Layer::MaxPool);
    }
    layers.push(Layer::AdaptiveAveragePool { side: 7 });
    for (name, inputs, outputs) in
        [("classifier.0", 25088, 4096), ("classifier.3", 4096, 4096), ("classifier.6", 4096, 1000)]
    {
        layers.push(Layer::Dense(Dense { name: name.to_owned(), inputs, outputs, relu: outputs != 1000 }));
    }
    Network::new(layers, Preprocessing::default())
}

/// Of the first dense layer: Σ in full, 8·25088² bytes, the triangle that it is made of, and sums of [4096, 25088]; not twice as
/// much as these.
#[test]
fn memory_is_that_of_the_first_dense_layer() {
    let (square, sums) = (8.0 * 25088.0 * 25088.0, 8.0 * 4096.0 * 25088.0);
    let (name, needed) = memory_needed(&vgg16(), 5, false, |_| 1e6).expect("layers");
    assert_eq!(name, "classifier.0");
    let least = 1.5 * square + sums;
    assert!((least..2.0 * least).contains(&(needed as f64)), "{needed} of {least}");
    let (name, held_out) = memory_needed(&vgg16(), 5, true, |_| 1e6).expect("layers");
    assert_eq!(name, "classifier.0");
    assert!(held_out >= needed && (held_out as f64) < 2.0 * least, "{held_out} of {least}");
    // A small network needs little, whatever is measured of it at a time.
    let (_, small) =
        memory_needed(Case::new(network(), ElementType::F32).weights.network(), 5, true, |_| 1e6).unwrap();
    assert!(small < 1 << 20, "{small}");
    // Layers that will not be measured need none: with 25088 images the first dense one, with 4096 all of them.
    let of = |images: f64| {
        let positions = |layer| if layer < 13 { images * 196.0 } else { images };
        memory_needed(&vgg16(), 5, true, positions).map(|(name, _)| name)
    };
    assert_eq!(of(25089.0).as_deref(), Some("classifier.0"));
    assert_eq!(of(25088.0).as_deref(), Some("classifier.3"));
    assert_eq!(of(0.0), None);
}
