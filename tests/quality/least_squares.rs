//! ρ in closed form is that of least squares.

use vggx::evaluate::quality::{Candidate, Candidates};
use vggx::patterns::Component;
use vggx::weights::ElementType;

use crate::agreement::{Agreement, PROMISED, compare, measure};
use crate::estimators::{SEED, solved, written};
use crate::reference::{Random, ReferenceLayer, ReferenceNetwork, random_vgg};
use crate::samples::{SampleSet, correlated_images};
use crate::support::Case;

const ELEMENTS: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::Bf16];
/// Maps from 1×1 in the third block to 14×26 in the first.
const SIZES: [(usize, usize); 6] = [(4, 4), (5, 7), (7, 13), (14, 26), (9, 4), (15, 11)];
const SMALL: [(usize, usize); 4] = [(4, 4), (6, 5), (7, 13), (5, 9)];

/// Relative rounding of the moments and of what is made of them, in units of a variance: the largest E\[x²\] of these networks is some
/// tens of variances, with 2⁻⁵³ for each of a sum's few roundings that do not average out.
const SUMS: f64 = 1e-14;

fn headless() -> Case {
    Case::new(random_vgg(41, 3, &[&[4, 5], &[6], &[7]], None), ElementType::F32)
}

fn with_classifier() -> Case {
    Case::new(random_vgg(42, 3, &[&[5], &[6]], Some((2, &[9, 4]))), ElementType::F32)
}

/// Three sets of so many images: to learn patterns from, to fit v on and to evaluate it on.
fn sets(case: &Case, sizes: &[(usize, usize)], count: usize) -> [SampleSet; 3] {
    [50, 51, 52].map(|seed| SampleSet::new(case, &correlated_images(sizes, count, seed)))
}

/// All estimators, with patterns of a set in files of `element`.
fn compare_all(case: &Case, [learnt, fitted, evaluated]: [&SampleSet; 3], element: ElementType) -> Agreement {
    let files = solved(case, learnt, element);
    let layers = case.network.parametric_layers().len();
    let candidates = Candidates::all(&files, layers, SEED).expect("one file of each centering");
    let names: Vec<String> = candidates.held.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["random", "filter", "linear", "two-component-global", "two-component-regime"]);
    compare(case, &candidates.held, fitted, evaluated, SUMS)
}

#[test]
fn all_estimators_of_convolutions() {
    let case = headless();
    let [learnt, fitted, evaluated] = sets(&case, &SIZES, 26);
    for element in ELEMENTS {
        let agreement = compare_all(&case, [&learnt, &fitted, &evaluated], element);
        assert_eq!((agreement.compared, agreement.beyond), (110, 0));
    }
}

#[test]
fn all_estimators_of_dense_layers() {
    let case = with_classifier();
    let [learnt, fitted, evaluated] = sets(&case, &SMALL, 60);
    for element in ELEMENTS {
        let agreement = compare_all(&case, [&learnt, &fitted, &evaluated], element);
        assert_eq!((agreement.compared, agreement.beyond), (96, 0));
    }
}

/// Most of a patch is padding: eight of nine inputs never vary.
#[test]
fn maps_of_one_position() {
    let case = Case::new(random_vgg(45, 3, &[&[5], &[6], &[7]], None), ElementType::F32);
    let [learnt, fitted, evaluated] = sets(&case, &[(4, 4), (5, 7), (7, 6)], 140);
    let agreement = compare_all(&case, [&learnt, &fitted, &evaluated], ElementType::F32);
    assert_eq!((agreement.compared, agreement.beyond), (77, 0));
}

/// Of linear patterns of the very set that v is fitted on, nothing is left to find: ρ = 1, but for the rounding of the file.
#[test]
fn linear_patterns_of_the_fitted_set_are_perfect_in_sample() {
    let case = headless();
    let [fitted, evaluated, _] = sets(&case, &SIZES, 26);
    for (element, short) in ELEMENTS.into_iter().zip([1e-5, 1e-2, 0.1]) {
        let agreement = compare_all(&case, [&fitted, &fitted, &evaluated], element);
        assert!(agreement.in_sample <= PROMISED, "{agreement}");
        // In float32 what is left is of the size of rounding, and v arbitrary; not so in float16.
        assert!(agreement.beyond == 0 || element == ElementType::F32);
        let [global, _] = solved(&case, &fitted, element);
        let report = measure(&case, &[Candidate::Linear(&global)], &fitted, Some(&evaluated));
        for layer in &report.layers {
            let [linear] = &layer.estimators[..] else { panic!("one estimator") };
            for rho in linear.rho_in_sample.iter().flatten() {
                assert!(*rho <= 1.0 && *rho > 1.0 - short, "{}: {rho}", layer.name);
            }
        }
    }
}

/// Any directions, and a₊ and a₋ from equal to far apart.
#[test]
fn patterns_that_nobody_learnt() {
    let case = with_classifier();
    let [fitted, evaluated, _] = sets(&case, &SMALL, 60);
    for apart in [0.0, 1e-6, 1e-3, 0.1, 1.0, 10.0] {
        let mut noise = Random::new(7);
        let patterns = written(&case, |component, _, _, weight| {
            let apart = if component == Component::Negative { apart } else { 0.0 };
            let direction =
                |index: usize| 0.1 * ((index * index) as f64).sin() + 0.3 * apart * noise.normal();
            weight.iter().zip((0..weight.len()).map(direction)).map(|(w, other)| w + other).collect()
        });
        let candidates = [
            Candidate::Linear(&patterns),
            Candidate::TwoComponent { patterns: &patterns, named_by_centering: false },
        ];
        let agreement = compare(&case, &candidates, &fitted, &evaluated, SUMS);
        assert_eq!((agreement.compared, agreement.beyond), (48, 0));
        // Without a difference it is one component.
        if apart == 0.0 {
            for layer in measure(&case, &candidates, &fitted, Some(&evaluated)).layers {
                let [one, two] = &layer.estimators[..] else { panic!("two estimators") };
                for (one, two) in [(&one.rho, &two.rho), (&one.rho_in_sample, &two.rho_in_sample)] {
                    for (one, two) in one.iter().zip(two) {
                        assert!((one.unwrap() - two.unwrap()).abs() < 1e-8, "{one:?} {two:?}");
                    }
                }
            }
        }
    }
}

/// Neurons that are never, always, rarely and nearly always active, and two that differ by a share of their weights: inputs of the
/// next layer that never vary, and that are all but equal.
fn singular(nearly: f64) -> ReferenceNetwork {
    let mut network = random_vgg(43, 3, &[&[7], &[7]], Some((2, &[11, 5])));
    let mut random = Random::new(8);
    for layer in &mut network.layers {
        let (ReferenceLayer::Convolution { weight, bias, .. } | ReferenceLayer::Dense { weight, bias, .. }) =
            layer
        else {
            continue;
        };
        if bias.len() < 7 {
            continue;
        }
        (bias[0], bias[1], bias[2], bias[3]) = (-60.0, 60.0, -3.0, 3.0);
        let fan_in = weight.len() / bias.len();
        for index in 0..fan_in {
            let w = weight[4 * fan_in + index];
            weight[5 * fan_in + index] = f64::from((w * (1.0 + nearly * random.normal())) as f32);
        }
        bias[5] = bias[4];
    }
    network
}

#[test]
fn singular_and_nearly_singular_inputs() {
    // At a thousandth the variances of two inputs' difference are a few thousand ridges: v is known to that, ρ in sample to its square.
    for (nearly, held_out) in [(0.1, PROMISED), (1e-2, PROMISED), (1e-3, 3e-4), (0.0, PROMISED)] {
        let case = Case::new(singular(nearly), ElementType::F32);
        let [learnt, fitted, evaluated] = sets(&case, &SMALL, 80);
        let agreement = compare_all(&case, [&learnt, &fitted, &evaluated], ElementType::F32);
        assert!(agreement.compared - agreement.undetermined > 80);
        assert!(agreement.in_sample <= PROMISED && agreement.held_out <= held_out, "{nearly}: {agreement}");
    }
}
