//! Every mode, replacement and order against float64; ties; the same bits however images are batched.

use std::cell::Cell;

use vggx::backend::{Backend, Filling, First, PatchGrid};
use vggx::evaluate::perturb::{
    Curve, ImageCurves, ImageFailure, Mode, Order, PerturbError, PerturbInput, PerturbSettings, Perturbing,
    Replacement, Steps,
};
use vggx::explain::{Estimator, ExplainError, Explainer, Method, Target, TargetError};
use vggx::weights::ElementType;

use crate::expected::{self, Cut};
use crate::reference::{Random, ReferenceNetwork, Trace, random_vgg};
use crate::support::{Case, decisive_images, random_pixels};

/// Of a value of a curve. A response errs by 1e-5 of the largest (`engine/agreement`, measured less), of which a probability takes a
/// quarter, and a headless network's values are relative to responses near the largest. Measured: 6e-7.
const VALUE: f64 = 1e-5;

/// Sums of patches must differ by so much of the largest: pixels of the engine's maps err by 3e-5 at most.
const GAP: f64 = 1e-3;

const REPLACEMENTS: [Replacement; 5] =
    [Replacement::Mean, Replacement::Black, Replacement::DatasetMean, Replacement::Blur, Replacement::Noise];

const SEED: u64 = 40;

fn settings(
    case: &Case,
    methods: &[Method],
    mode: Mode,
    cut: Cut,
    replacement: Replacement,
) -> PerturbSettings {
    PerturbSettings {
        curves: Curve::all(methods, &[Order::Most, Order::Least]),
        mode,
        counts: Steps::default().counts(mode, cut.patches()).unwrap(),
        grid: PatchGrid { height: cut.height, width: cut.width, side: cut.side },
        replacement,
        seed: SEED,
        batch: 8,
        preprocessing: case.weights.network().preprocessing,
    }
}

fn run(
    explainer: &Explainer,
    settings: &PerturbSettings,
    images: &[(String, Vec<u8>)],
) -> Vec<Result<ImageCurves, ImageFailure>> {
    let inputs: Vec<PerturbInput> =
        images.iter().map(|(name, pixels)| PerturbInput { pixels, name, key: None }).collect();
    let mut results: Vec<Option<Result<ImageCurves, ImageFailure>>> = images.iter().map(|_| None).collect();
    let target = Target::Top(1);
    let perturbing = Perturbing::new(explainer, settings, &target);
    perturbing
        .run(&inputs, &|| false, &mut |place, curves| assert!(results[place].replace(curves).is_none()))
        .expect("a device that runs");
    results.into_iter().map(|result| result.expect("all are heard of")).collect()
}

/// Images whose patches float32 must rank as float64 does.
fn ranked_images(case: &Case, cut: Cut, methods: &[Method], count: usize) -> Vec<(Vec<u8>, Trace)> {
    let is_clear = |(pixels, trace): &(Vec<u8>, Trace)| {
        methods.iter().all(|&method| {
            let mut sums = expected::relevance(case, cut, method, trace, &Case::input(pixels));
            sums.sort_by(f64::total_cmp);
            let largest = sums.iter().fold(0.0_f64, |largest, sum| largest.max(sum.abs()));
            sums.windows(2).all(|pair| pair[1] - pair[0] > GAP * largest)
        }) && trace.responses[trace.top1()] > 0.0
    };
    let images: Vec<_> = (0..60)
        .flat_map(|seed| decisive_images(&case.network, (cut.height, cut.width), 10, 300 + seed))
        .filter(is_clear)
        .take(count)
        .collect();
    assert_eq!(images.len(), count, "too few images whose patches float32 can rank");
    images
}

fn agrees(network: ReferenceNetwork, cut: Cut, methods: &[Method], count: usize) {
    let case = Case::new(network, ElementType::F32);
    let explainer = case.explainer(methods, 2);
    let drawn = ranked_images(&case, cut, methods, count);
    let images: Vec<(String, Vec<u8>)> = drawn
        .iter()
        .enumerate()
        .map(|(number, (pixels, _))| (format!("{number}.png"), pixels.clone()))
        .collect();
    let mut worst = 0.0_f64;
    for mode in [Mode::Flip, Mode::Deletion, Mode::Insertion] {
        for replacement in REPLACEMENTS {
            let settings = settings(&case, methods, mode, cut, replacement);
            let results = run(&explainer, &settings, &images);
            for (((name, pixels), (_, trace)), result) in images.iter().zip(&drawn).zip(results) {
                let curves = result.expect("an image that can be perturbed");
                let (input, target) = (Case::input(pixels), trace.top1());
                assert_eq!(curves.target, target);
                assert_eq!(curves.probability.is_none(), case.network.is_headless());
                let preprocessing = &settings.preprocessing;
                let filling = expected::replaced(replacement, &input, cut, preprocessing, SEED, name);
                for (&curve, values) in settings.curves.iter().zip(&curves.values) {
                    let order = expected::order(&case, cut, curve, (trace, &input), SEED, name);
                    let both = (&input[..], &filling[..]);
                    let expected = expected::curve(&case, cut, mode, both, &order, &settings.counts, target);
                    for (step, (value, expected)) in values.iter().zip(&expected).enumerate() {
                        let error = (value - expected).abs() / expected.abs().max(1.0);
                        worst = worst.max(error);
                        assert!(
                            error <= VALUE,
                            "{mode}, {replacement}, {curve}, {name}, step {step}: {value}, not {expected}"
                        );
                    }
                    let spread =
                        expected.iter().fold(0.0_f64, |most, value| most.max((value - expected[0]).abs()));
                    assert!(
                        spread > 1e-3 || cut.patches() == 1,
                        "{mode}, {replacement}, {curve}: nothing changes"
                    );
                }
            }
        }
    }
    println!("{cut:?}: worst value {worst:.1e}");
}

const METHODS: [Method; 5] = [
    Method::Gradient,
    Method::PatternNet,
    Method::PatternAttribution,
    Method::Signal(Estimator::Identity),
    Method::Attribution(Estimator::Identity),
];

#[test]
fn curves_of_probabilities_are_those_of_float64() {
    let network = random_vgg(31, 3, &[&[8], &[10, 10]], Some((2, &[12, 6])));
    // Partial patches at the right and at the bottom.
    agrees(network, Cut { height: 11, width: 14, side: 4 }, &METHODS, 2);
}

#[test]
fn curves_of_responses_are_those_of_float64() {
    let network = random_vgg(32, 3, &[&[8], &[9]], None);
    agrees(network, Cut { height: 13, width: 7, side: 5 }, &METHODS, 3);
}

#[test]
fn an_image_may_be_one_patch() {
    let network = random_vgg(33, 3, &[&[6]], Some((1, &[7, 4])));
    // The smallest image that a max-pool leaves something of.
    agrees(network, Cut { height: 2, width: 2, side: 9 }, &[Method::Gradient], 1);
}

#[test]
fn equal_patches_are_taken_in_scan_order() {
    let case = Case::new(random_vgg(34, 3, &[&[4]], None), ElementType::F32);
    let (cpu, grid) = (case.backend(1), PatchGrid { height: 5, width: 6, side: 2 });
    let image = vec![0.5; 3 * 5 * 6];
    let mut perturber = cpu.perturb(&image, 1, grid, Filling::PatchMeans).unwrap();
    let cut = Cut { height: 5, width: 6, side: 2 };
    let mut random = Random::new(1);
    let mut ties = 0;
    for _ in 0..50 {
        // Few values, so that sums are exact and often equal; zeros of both signs.
        let maps: Vec<f32> =
            (0..2 * image.len()).map(|_| [0.0, -0.0, 1.0, -1.0][random.next_u64() as usize % 4]).collect();
        for absolute in [false, true] {
            for first in [First::Largest, First::Smallest] {
                let ranks = perturber.rank(&maps, absolute, first).unwrap();
                for (map, ranks) in maps.chunks_exact(image.len()).zip(ranks.chunks_exact(cut.patches())) {
                    let exact: Vec<f64> = map.iter().map(|&value| f64::from(value)).collect();
                    let sums = cut.sums(&exact, absolute);
                    let mut order: Vec<usize> = (0..cut.patches()).collect();
                    order.sort_by_key(|&patch| ranks[patch]);
                    for pair in order.windows(2) {
                        let (one, next) = (sums[pair[0]], sums[pair[1]]);
                        let in_order = if first == First::Largest { one > next } else { one < next };
                        assert!(in_order || one == next && pair[0] < pair[1], "{sums:?} {order:?}");
                        ties += usize::from(one == next);
                    }
                }
            }
        }
    }
    assert!(ties > 100);
}

#[test]
fn nothing_depends_on_batches_threads_or_other_images() {
    let case = Case::new(random_vgg(35, 3, &[&[6], &[8]], Some((1, &[9, 5]))), ElementType::F32);
    let cut = Cut { height: 13, width: 10, side: 3 };
    let methods = [Method::PatternAttribution, Method::DeconvNet];
    let images: Vec<(String, Vec<u8>)> =
        (0..33).map(|seed| (format!("{seed}"), random_pixels(seed, cut.height, cut.width))).collect();
    for (mode, replacement) in [(Mode::Flip, Replacement::Mean), (Mode::Insertion, Replacement::Noise)] {
        let with = |threads: usize, batch: usize, images: &[(String, Vec<u8>)]| -> Vec<ImageCurves> {
            let settings = PerturbSettings { batch, ..settings(&case, &methods, mode, cut, replacement) };
            let results = run(&case.explainer(&methods, threads), &settings, images);
            results.into_iter().map(|result| result.unwrap()).collect()
        };
        let all = with(2, 8, &images);
        assert_eq!(all, with(1, 33, &images));
        assert_eq!(all[..3], with(3, 1, &images[..3]));
        assert_eq!(all[20..21], with(2, 5, &images[20..21]));
        assert_ne!(all[0].values, all[1].values);
    }
}

#[test]
fn images_that_cannot_be_perturbed_are_told_and_the_others_go_on() {
    let case = Case::new(random_vgg(36, 3, &[&[5]], None), ElementType::F32);
    let cut = Cut { height: 6, width: 6, side: 3 };
    let settings = settings(&case, &[Method::Gradient], Mode::Flip, cut, Replacement::Mean);
    let explainer = case.explainer(&[Method::Gradient], 1);
    let pixels = random_pixels(3, 6, 6);
    let input = |key| PerturbInput { pixels: &pixels, name: "a", key };
    let inputs = [
        input(Some("2")),
        input(None),
        input(Some("9")),
        input(Some("0")),
        input(Some("1")),
        input(Some("3")),
        input(Some("4")),
    ];
    let mut results: Vec<Option<Result<ImageCurves, ImageFailure>>> = vec![None; inputs.len()];
    let target = Target::Key;
    let perturbing = Perturbing::new(&explainer, &settings, &target);
    perturbing.run(&inputs, &|| false, &mut |place, result| results[place] = Some(result)).unwrap();
    let result = |place: usize| results[place].as_ref().expect("heard of");
    assert!(matches!(result(1), Err(ImageFailure::Explain(ExplainError::Target(TargetError::NoKey)))));
    assert!(matches!(
        result(2),
        Err(ImageFailure::Explain(ExplainError::Target(TargetError::OutOfRange { .. })))
    ));
    let trace = case.network.forward(&Case::input(&pixels), 6, 6);
    for (place, channel) in [(0, 2), (3, 0), (4, 1), (5, 3), (6, 4)] {
        match result(place) {
            Ok(curves) => {
                assert!(trace.responses[channel] > 0.0);
                assert_eq!((curves.target, curves.values[0][0]), (channel, 1.0));
            }
            // Nothing to be relative to.
            Err(ImageFailure::NoResponse { target }) => {
                assert_eq!((*target, trace.responses[channel]), (channel, 0.0));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn it_stops_between_batches_and_what_was_done_is_complete() {
    let case = Case::new(random_vgg(37, 3, &[&[4]], Some((1, &[3]))), ElementType::F32);
    let cut = Cut { height: 6, width: 6, side: 2 };
    let settings = settings(&case, &[Method::Gradient], Mode::Flip, cut, Replacement::Mean);
    let explainer = case.explainer(&[Method::Gradient], 1);
    let pixels = random_pixels(3, 6, 6);
    let inputs = [PerturbInput { pixels: &pixels, name: "a", key: None }; 5];
    let (asked, mut done) = (Cell::new(0), Vec::new());
    let target = Target::Top(1);
    let perturbing = Perturbing::new(&explainer, &settings, &target);
    // 1 + 3 curves of 9 steps: 28 copies an image, 8 a batch.
    assert_eq!(perturbing.copies(), 1 + 2 * 8 + 8 + 1);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 9
    };
    let ran = perturbing.run(&inputs, &stop, &mut |place, result| done.push((place, result.unwrap())));
    assert!(matches!(ran, Err(PerturbError::Stopped)));
    assert_eq!(done.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 1]);
    assert!(done.iter().all(|(_, curves)| curves.values.iter().flatten().all(|value| value.is_finite())));
}
