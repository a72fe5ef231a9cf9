//! Patterns by definition: cases computed by hand, the linear model, and what every pattern must satisfy.

// Loops over indices read like the formulas.
#![allow(clippy::needless_range_loop)]

use crate::reference::{
    Positions, Random, ReferenceCentering, ReferenceComponent, ReferenceNetwork, Trace, random_image,
    random_vgg,
};
use crate::{dense, pointwise};
use ReferenceCentering::{Global, Regime};
use ReferenceComponent::{Linear, Negative, Positive};

/// Every component in both centerings; the linear one knows one.
const ALL: [(ReferenceComponent, ReferenceCentering); 5] =
    [(Positive, Global), (Positive, Regime), (Negative, Global), (Negative, Regime), (Linear, Global)];

fn run(network: &ReferenceNetwork, images: &[(Vec<f64>, usize, usize)]) -> Vec<Trace> {
    images.iter().map(|(image, height, width)| network.forward(image, *height, *width)).collect()
}

fn positions(
    network: &ReferenceNetwork,
    index: usize,
    images: &[(Vec<f64>, usize, usize)],
    traces: &[Trace],
) -> Positions {
    let pairs: Vec<(&[f64], &Trace)> =
        images.iter().map(|(image, ..)| image.as_slice()).zip(traces).collect();
    network.positions(index, &pairs)
}

/// Of a row `[inputs][9]`, the centres of the kernels.
fn centres(row: &[f64]) -> Vec<f64> {
    row.chunks_exact(9).map(|kernel| kernel[4]).collect()
}

/// One neuron, w = (1, 2), b = −1, at four positions: y = 3, 2, −2, 1. The last has z = 0, which is negative.
#[test]
fn four_positions_computed_by_hand() {
    let network = ReferenceNetwork {
        layers: vec![pointwise(&[&[1.0, 2.0]], &[-1.0]), dense(&[&[1.0]], &[0.0], false)],
    };
    let images = [[1.0, 1.0], [2.0, 0.0], [0.0, -1.0], [-1.0, 1.0]].map(|x| (x.to_vec(), 1, 1));
    let traces = run(&network, &images);
    let seen = positions(&network, 0, &images, &traces);
    assert_eq!((seen.count, seen.fan_in, seen.outputs), (4, 18, 1));
    assert_eq!(seen.y, [3.0, 2.0, -2.0, 1.0]);
    assert_eq!(seen.positive, [true, true, false, false]);

    let moments = seen.moments();
    assert_eq!(centres(&moments.x), [2.0, 1.0]);
    let (positive, negative) = (&moments.positive, &moments.negative);
    assert_eq!((positive.count[0], positive.y[0], positive.yy[0]), (2.0, 5.0, 13.0));
    assert_eq!((negative.count[0], negative.y[0], negative.yy[0]), (2.0, -1.0, 5.0));
    assert_eq!((centres(&positive.x), centres(&positive.xy)), (vec![3.0, 1.0], vec![7.0, 3.0]));
    assert_eq!((centres(&negative.x), centres(&negative.xy)), (vec![-1.0, 0.0], vec![-1.0, 3.0]));
    let absolute = seen.absolute_moments();
    assert_eq!(centres(&absolute.x), [4.0, 3.0]);
    assert_eq!((absolute.negative.y[0], absolute.negative.yy[0]), (3.0, 5.0));
    assert_eq!(centres(&absolute.negative.xy), [1.0, 3.0]);

    // Numerators times the number of positions, from x − x̄ and y − ȳ (global: from x and y − 1).
    let expected = [
        // (1, 1)·2 + (2, 0)·1 = (4, 2), wᵀ: 8.
        (Positive, Global, [0.5, 0.25]),
        // (−½, ½)·½ + (½, −½)·−½ = (−½, ½), wᵀ: ½.
        (Positive, Regime, [-1.0, 1.0]),
        // (0, −1)·−3 + (−1, 1)·0 = (0, 3), wᵀ: 6.
        (Negative, Global, [0.0, 0.5]),
        // (½, −1)·−1½ + (−½, 1)·1½ = (−1½, 3), wᵀ: 4½.
        (Negative, Regime, [-1.0 / 3.0, 2.0 / 3.0]),
        // (½, ¾)·2 + (1½, −¼)·1 + (−½, −1¼)·−3 + (−1½, ¾)·0 = (4, 5), wᵀ: 14.
        (Linear, Global, [2.0 / 7.0, 5.0 / 14.0]),
        (Linear, Regime, [2.0 / 7.0, 5.0 / 14.0]),
    ];
    let weight = network.parametric_layers()[0].weight;
    for (component, centering, pattern) in expected {
        let got = centres(&seen.pattern(weight, 0, component, centering).expect("a pattern"));
        for (got, pattern) in got.iter().zip(pattern) {
            assert!((got - pattern).abs() < 1e-15, "{component:?}, {centering:?}: {got} for {pattern}");
        }
    }

    // Regimes of somebody else: the last position positive too.
    let other = seen.with_regimes_of(&[0.5, 0.25, -0.5, 1e-30]);
    assert_eq!(other.positive, [true, true, false, true]);
    let moments = other.moments();
    assert_eq!((moments.positive.count[0], moments.positive.y[0], moments.negative.y[0]), (3.0, 6.0, -2.0));
    assert_eq!(other.pattern(weight, 0, Negative, Regime), None, "one position");
}

/// Patches times weights are what the forward pass computes, at every position of every layer: the order of channels,
/// taps, positions and images, borders, pools and the classifier.
#[test]
fn patches_explain_the_forward_pass() {
    let network = random_vgg(71, 3, &[&[4, 5], &[6]], Some((2, &[7, 3])));
    let images =
        [(6, 7), (7, 13), (4, 5)].map(|(height, width)| (random_image(72, 3, height, width), height, width));
    let traces = run(&network, &images);
    let layers = [0, 1, 3, 6, 7];
    for (index, &at) in layers.iter().enumerate() {
        let seen = positions(&network, index, &images, &traces);
        let (_, bias) = parameters(&network, at);
        let mut position = 0;
        for trace in &traces {
            let [outputs, height, width] = trace.layers[at].shape;
            assert_eq!(seen.outputs, outputs);
            for place in 0..height * width {
                for neuron in 0..outputs {
                    let z = trace.layers[at].pre_activation[neuron * height * width + place];
                    let y = seen.y[position * outputs + neuron];
                    assert!(
                        (y + bias[neuron] - z).abs() < 1e-13,
                        "layer {at}, position {position}, {neuron}"
                    );
                    assert_eq!(seen.positive[position * outputs + neuron], z > 0.0);
                }
                position += 1;
            }
        }
        assert_eq!(position, seen.count);
        assert_eq!(seen.x.len(), seen.count * seen.fan_in);
    }
}

fn parameters(network: &ReferenceNetwork, at: usize) -> (&[f64], &[f64]) {
    use crate::ReferenceLayer::{Convolution, Dense};
    match &network.layers[at] {
        Convolution { weight, bias, .. } | Dense { weight, bias, .. } => (weight, bias),
        _ => panic!("layer {at} has no weights"),
    }
}

/// The linear model: x = a s + d ε, w sees s alone. With ε balanced at every s, every estimator finds a, and not w.
#[test]
fn the_signal_of_the_linear_model_is_found() {
    let (a, d, w) = ([1.0, 0.25, -3.0], [0.5, -2.0, 1.0], [1.0 + 3.0 * 0.7, 0.7 * -0.5, 0.4]);
    // w is made orthogonal to d and wᵀa = 1.
    let w = {
        let dd: f64 = d.iter().map(|d| d * d).sum();
        let wd: f64 = w.iter().zip(d).map(|(w, d)| w * d).sum();
        let orthogonal: Vec<f64> = w.iter().zip(d).map(|(w, d)| w - wd / dd * d).collect();
        let wa: f64 = orthogonal.iter().zip(a).map(|(w, a)| w * a).sum();
        orthogonal.iter().map(|w| w / wa).collect::<Vec<f64>>()
    };
    let network =
        ReferenceNetwork { layers: vec![pointwise(&[&w], &[0.25]), dense(&[&[1.0]], &[0.0], false)] };
    let mut random = Random::new(73);
    let mut images = Vec::new();
    for _ in 0..40 {
        let (s, noise) = (random.normal(), 5.0 * random.normal());
        for noise in [noise, -noise] {
            let x = a.iter().zip(d).map(|(a, d)| a * s + d * noise).collect();
            images.push((x, 1, 1));
        }
    }
    let traces = run(&network, &images);
    let seen = positions(&network, 0, &images, &traces);
    let weight = network.parametric_layers()[0].weight;
    for (component, centering) in ALL {
        let found = centres(&seen.pattern(weight, 0, component, centering).expect("a pattern"));
        for (found, a) in found.iter().zip(a) {
            assert!((found - a).abs() < 1e-12, "{component:?}, {centering:?}: {found} for {a}");
        }
    }
    // Without the balance, the regimes' patterns move away: the test would notice a wrong choice of positions.
    let half = seen.with_regimes_of(&[[1.0, -1.0]; 40].concat());
    let found = centres(&half.pattern(weight, 0, Positive, Regime).expect("a pattern"));
    assert!((found[0] - a[0]).abs() > 1e-3);
}

/// wᵀa = 1; the definition from plain sums; and another pattern for every component and centering.
#[test]
fn patterns_are_normalised_and_follow_from_the_moments() {
    let network = random_vgg(74, 3, &[&[5], &[6]], Some((1, &[4])));
    let images: Vec<_> = (0..9).map(|seed| (random_image(75 + seed, 3, 6, 7), 6, 7)).collect();
    let traces = run(&network, &images);
    for layer in network.parametric_layers() {
        let seen = positions(&network, layer.index, &images, &traces);
        let moments = seen.moments();
        for neuron in 0..seen.outputs {
            let range = neuron * seen.fan_in..(neuron + 1) * seen.fan_in;
            let w = &layer.weight[range.clone()];
            let mut patterns = Vec::new();
            for (component, centering) in ALL {
                let Some(a) = seen.pattern(layer.weight, neuron, component, centering) else { continue };
                let product: f64 = w.iter().zip(&a).map(|(w, a)| w * a).sum();
                assert!((product - 1.0).abs() < 1e-12, "wᵀa = {product}");
                let regimes = match component {
                    Positive => vec![&moments.positive],
                    Negative => vec![&moments.negative],
                    Linear => vec![&moments.positive, &moments.negative],
                };
                let sum = |of: &dyn Fn(usize) -> f64| (0..regimes.len()).map(of).sum::<f64>();
                let count = sum(&|r| regimes[r].count[neuron]);
                let all = (moments.positive.y[neuron] + moments.negative.y[neuron]) / seen.count as f64;
                let mean = match centering {
                    Global => all,
                    Regime => sum(&|r| regimes[r].y[neuron]) / count,
                };
                let numerator: Vec<f64> = range
                    .clone()
                    .map(|k| sum(&|r| regimes[r].xy[k]) - sum(&|r| regimes[r].x[k]) * mean)
                    .collect();
                let denominator: f64 = w.iter().zip(&numerator).map(|(w, n)| w * n).sum();
                let largest = a.iter().fold(0.0_f64, |largest, a| largest.max(a.abs()));
                for (a, numerator) in a.iter().zip(&numerator) {
                    let error = (a - numerator / denominator).abs() / largest;
                    assert!(error < 1e-9, "{component:?}, {centering:?}: {error:e}");
                }
                patterns.push(a);
            }
            // Of a neuron that is always of one regime, they are.
            let mixed = moments.positive.count[neuron] * moments.negative.count[neuron] > 0.0;
            for (index, pattern) in patterns.iter().enumerate().filter(|_| mixed) {
                assert!(!patterns[..index].contains(pattern), "two of the patterns are the same");
            }
        }
        for k in 0..seen.outputs * seen.fan_in {
            let total = moments.positive.x[k] + moments.negative.x[k] - moments.x[k % seen.fan_in];
            assert!(total.abs() < 1e-10);
        }
    }
}

#[test]
fn neurons_without_a_pattern() {
    // Always silent; always active; without weights; one that hears an input which never changes.
    let network = ReferenceNetwork {
        layers: vec![
            pointwise(&[&[1.0, 1.0], &[1.0, 1.0], &[0.0, 0.0], &[0.0, 1.0]], &[-1000.0, 1000.0, 1.0, 0.5]),
            dense(&[&[1.0, 1.0, 1.0, 1.0]], &[0.0], false),
        ],
    };
    let images: Vec<_> = (0..7).map(|seed| (vec![f64::from(seed * seed), 0.1], 1, 1)).collect();
    let traces = run(&network, &images);
    let seen = positions(&network, 0, &images, &traces);
    let weight = network.parametric_layers()[0].weight;
    let exist = |neuron| {
        ALL.map(|(component, centering)| seen.pattern(weight, neuron, component, centering).is_some())
    };
    assert_eq!(exist(0), [false, false, true, true, true]);
    assert_eq!(exist(1), [true, true, false, false, true]);
    assert_eq!(exist(2), [false; 5]);
    assert_eq!(exist(3), [false; 5]);
}
