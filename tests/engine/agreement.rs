//! Every method on every shape of network against float64, the reference deciding its own masks and argmaxes.

use std::collections::BTreeMap;

use vggx::explain::{Estimator, Method, Target};
use vggx::weights::ElementType;

use crate::reference::{ReferenceNetwork, Trace, cosine, norm, random_vgg};
use crate::support::{Case, decisive_images, explain, responses};

/// 1 − cosine. A backward layer rounds by about 1e-6 of its map's root mean square (measured for Winograd at 256 channels;
/// half of that for plain sums). 19 layers add up to a relative error e of 5e-6, thrice that on unlucky operators, and
/// 1 − cos = e²/2. Measured: 7e-12.
const COSINE: f64 = 1e-10;
/// Error of an element, over the largest: the same e of 5e-6, five standard deviations for the worst of 1e4 elements, in
/// maps whose root mean square is at most the largest. Measured: 5e-6.
const ELEMENT: f64 = 3e-5;
/// Error of a response, over the largest, by the same count for 19 layers and no worst of many. A pass that starts with
/// the response inherits that error relative to the response itself, which is more where the highest logit is near zero and the
/// others are far below it.
const RESPONSE: f64 = 1e-5;

/// The worst of a method over all that has been compared.
#[derive(Default)]
struct Worst(BTreeMap<String, (f64, f64)>);

impl Worst {
    fn note(&mut self, what: &str, cosine: f64, element: f64) {
        let worst = self.0.entry(what.to_owned()).or_insert((0.0, 0.0));
        *worst = (worst.0.max(cosine), worst.1.max(element));
    }

    fn print(&self, name: &str) {
        for (what, (cosine, element)) in &self.0 {
            println!("{name}: {what}: 1 − cosine {cosine:.1e}, worst element {element:.1e} of the largest");
        }
    }
}

/// Compares all methods on `count` images of one batch.
fn compare(case: &Case, size: (usize, usize), count: usize, seed: u64, worst: &mut Worst) {
    let images = decisive_images(&case.network, size, count, seed);
    compare_images(case, size, &images, worst);
}

pub fn compare_on(case: &Case, size: (usize, usize), images: &[(Vec<u8>, Trace)], name: &str) {
    let mut worst = Worst::default();
    compare_images(case, size, images, &mut worst);
    worst.print(name);
}

fn compare_images(case: &Case, size: (usize, usize), images: &[(Vec<u8>, Trace)], worst: &mut Worst) {
    let pixels: Vec<&[u8]> = images.iter().map(|(pixels, _)| pixels.as_slice()).collect();
    let methods = Method::all();
    let explainer = case.explainer(&methods, 2);
    let all = responses(explainer.backend(), size, &pixels);
    let explained = explain(&explainer, size, &pixels, &Target::Top(1));
    for (image, ((pixels, trace), explained)) in images.iter().zip(explained).enumerate() {
        let at = format!("{size:?}, image {image} of {}", images.len());
        let largest_response = trace.responses.iter().fold(0.0_f64, |largest, r| largest.max(r.abs()));
        assert!(largest_response > 0.0, "{at}: a network that says nothing tests nothing");
        assert_eq!(all[image].len(), trace.responses.len());
        for (ours, theirs) in all[image].iter().zip(&trace.responses) {
            let error = (f64::from(*ours) - theirs).abs() / largest_response;
            assert!(error <= RESPONSE, "{at}: response {ours} against {theirs}");
            worst.note("responses", 0.0, error);
        }
        assert_eq!(explained.target, trace.top1(), "{at}");
        assert_eq!(explained.response, all[image][explained.target]);
        let input = Case::input(pixels);
        for (&method, explanation) in methods.iter().zip(&explained.explanations) {
            assert_eq!(explanation.method, method);
            let alias = match method {
                Method::PatternNet => Some(Method::Signal(Estimator::TwoComponent)),
                Method::PatternAttribution => Some(Method::Attribution(Estimator::TwoComponent)),
                _ => None,
            };
            if let Some(alias) = alias {
                let other = methods.iter().position(|&method| method == alias).expect("in all()");
                assert_eq!(explanation.values, explained.explanations[other].values, "{method}");
                continue;
            }
            let expected = case.expected(method, trace, &input, explained.target);
            let factor = 2f64.powi(explanation.scale_log2);
            let ours: Vec<f64> = explanation.values.iter().map(|&value| f64::from(value) * factor).collect();
            // A sign gate may stop everything in a tiny network; that one must agree on.
            let stopped = matches!(method, Method::DeconvNet | Method::GuidedBackprop);
            assert!(stopped || norm(&expected) > 0.0, "{at}: {method} is zero: nothing is tested");
            if norm(&expected) == 0.0 {
                assert_eq!(norm(&ours), 0.0, "{at}: {method}");
                continue;
            }
            let distance = 1.0 - cosine(&ours, &expected);
            let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let element = ours.iter().zip(&expected).map(|(ours, theirs)| (ours - theirs).abs() / largest);
            let element = element.fold(0.0, f64::max);
            let inherited = match method {
                Method::Gradient | Method::DeconvNet | Method::GuidedBackprop => 0.0,
                Method::Signal(Estimator::Identity) | Method::Attribution(Estimator::Identity) => 0.0,
                _ => RESPONSE * largest_response / trace.responses[explained.target].abs(),
            };
            worst.note(&method.to_string(), distance, element);
            assert!(distance <= COSINE, "{at}: {method}: 1 − cosine {distance:e}");
            assert!(
                element <= ELEMENT + inherited,
                "{at}: {method}: an element is off by {element:e} of the largest"
            );
        }
    }
}

fn agrees(name: &str, network: ReferenceNetwork, element: ElementType, sizes: &[((usize, usize), usize)]) {
    let case = Case::new(network, element);
    let mut worst = Worst::default();
    for (index, &(size, count)) in sizes.iter().enumerate() {
        compare(&case, size, count, index as u64 + 1, &mut worst);
    }
    worst.print(name);
}

const ODD: (usize, usize) = (33, 47);
const SQUARE: (usize, usize) = (37, 37);
const TALL: (usize, usize) = (64, 32);

#[test]
fn vgg11_with_a_classifier() {
    let blocks: [&[usize]; 5] = [&[8], &[16], &[24, 24], &[17, 40], &[40, 33]];
    let network = random_vgg(11, 3, &blocks, Some((2, &[29, 15, 7])));
    assert_eq!(Case::new(network.clone(), ElementType::F32).weights.network().architecture, "vgg11");
    agrees("vgg11", network, ElementType::F32, &[(ODD, 1), (SQUARE, 2), (TALL, 1)]);
}

#[test]
fn vgg13_headless() {
    let blocks: [&[usize]; 5] = [&[3, 5], &[20, 7], &[24, 16], &[16, 24], &[40, 21]];
    let network = random_vgg(13, 3, &blocks, None);
    assert_eq!(Case::new(network.clone(), ElementType::F32).weights.network().architecture, "vgg13");
    agrees("vgg13", network, ElementType::F32, &[(ODD, 1), (SQUARE, 1), (TALL, 2)]);
}

#[test]
fn vgg16_with_a_classifier_on_a_grid_larger_than_its_map() {
    let blocks: [&[usize]; 5] = [&[8, 16], &[16, 20], &[24, 24, 24], &[32, 32, 32], &[40, 40, 19]];
    let network = random_vgg(16, 3, &blocks, Some((3, &[31, 9])));
    assert_eq!(Case::new(network.clone(), ElementType::F32).weights.network().architecture, "vgg16");
    agrees("vgg16", network, ElementType::F32, &[(ODD, 2), (SQUARE, 1), (TALL, 1)]);
}

#[test]
fn vgg19_headless_and_with_one_dense_layer() {
    let blocks: [&[usize]; 5] =
        [&[6, 16], &[16, 16], &[24, 24, 24, 24], &[31, 32, 33, 32], &[40, 40, 40, 24]];
    let network = random_vgg(19, 3, &blocks, None);
    assert_eq!(Case::new(network.clone(), ElementType::F32).weights.network().architecture, "vgg19");
    agrees("vgg19", network, ElementType::F32, &[(ODD, 1), (SQUARE, 1)]);
    let network = random_vgg(20, 3, &blocks, Some((1, &[11])));
    agrees("vgg19 and a dense layer", network, ElementType::F32, &[(TALL, 1)]);
}

#[test]
fn half_precision_files_are_computed_with_their_rounded_values() {
    for element in [ElementType::F16, ElementType::Bf16] {
        let blocks: [&[usize]; 3] = [&[8, 16], &[24, 24], &[16, 12]];
        let network = random_vgg(23, 3, &blocks, Some((2, &[13, 5])));
        agrees(&format!("{element}"), network, element, &[((23, 19), 2)]);
    }
}

/// More than 65536 channel pairs, more than 128 input channels and more than 64 outputs, with remainders.
#[test]
fn layers_too_wide_to_keep_their_transformed_kernels() {
    let network = random_vgg(29, 3, &[&[16], &[272], &[256]], None);
    agrees("272 → 256", network, ElementType::F32, &[((37, 37), 1), ((12, 9), 3)]);
    let network = random_vgg(30, 3, &[&[70, 130], &[511, 129]], Some((1, &[3])));
    agrees("130 → 511 → 129", network, ElementType::F32, &[((13, 11), 2)]);
}

/// The smallest maps: a tile larger than the map, windows that drop a row or column, batches of many images.
#[test]
fn small_images_alone_and_in_batches_of_33() {
    for (seed, widths) in [(31, [16, 20]), (32, [5, 18]), (33, [18, 5])] {
        for classifier in [None, Some((2, &[7, 4][..]))] {
            let network = random_vgg(seed, 3, &[&widths], classifier);
            let sizes = [((2, 2), 1), ((3, 5), 33), ((7, 13), 33), ((2, 2), 33), ((7, 13), 1)];
            agrees(&format!("{widths:?}, {classifier:?}"), network, ElementType::F32, &sizes);
        }
    }
}

#[test]
fn random_directions_are_scaled_to_the_weights() {
    let case = Case::new(random_vgg(37, 3, &[&[8, 16], &[24]], Some((2, &[9, 5]))), ElementType::F32);
    let directions = case.random_directions();
    for layer in case.network.parametric_layers() {
        let fan_in = layer.weight.len() / layer.outputs;
        let rows = layer.weight.chunks_exact(fan_in).zip(directions[layer.index].chunks_exact(fan_in));
        for (neuron, (w, u)) in rows.enumerate() {
            let product: f64 = w.iter().zip(u).map(|(w, u)| w * u).sum();
            // Each element is rounded to float32 once.
            let bound = 2f64.powi(-24) * w.iter().zip(u).map(|(w, u)| (w * u).abs()).sum::<f64>() + 1e-12;
            assert!((product - 1.0).abs() <= bound, "layer {}, neuron {neuron}: {product}", layer.index);
            // Not the weights in disguise: the filter's direction has cosine 1 with them.
            assert!(cosine(w, u).abs() < 0.95, "layer {}, neuron {neuron}", layer.index);
        }
    }
}
