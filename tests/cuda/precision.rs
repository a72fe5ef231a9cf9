//! float16 and bfloat16 against float64 on the engine's own masks and argmaxes: what is left is the rounding of every
//! stored signal and operator.

use vggx::backend::cuda::{Cuda, Decisions, Precision};
use vggx::backend::{Batch, Pixels};
use vggx::explain::{Method, Target};
use vggx::weights::ElementType;

use crate::agreement::explainer;
use crate::passes::cuda;
use crate::reference::{ReferenceLayer, ReferenceNetwork, Trace, cosine, norm, random_vgg};
use crate::support::{Case, explain, random_pixels};

/// The float64 trace of an image with the engine's decisions in place of its own.
fn on_own_decisions(
    network: &ReferenceNetwork,
    mut trace: Trace,
    decisions: &[Decisions],
    (image, images): (usize, usize),
) -> Trace {
    let mut parametric = 0;
    for index in 0..network.layers.len() {
        let own = match &network.layers[index] {
            ReferenceLayer::Convolution { .. } | ReferenceLayer::Dense { relu: true, .. } => {
                parametric += 1;
                &decisions[parametric - 1]
            }
            _ => continue,
        };
        let count = own.mask.len() / images;
        let mask = &own.mask[image * count..][..count];
        if own.argmax.is_empty() {
            assert_eq!(trace.layers[index].mask.len(), count);
            trace.layers[index].mask = mask.to_vec();
            continue;
        }
        // What wins its window carries the window's mask; nothing else is ever looked at.
        let argmax = &own.argmax[image * count..][..count];
        let ([channels, rows, columns], [_, height, width]) =
            (trace.layers[index + 1].shape, trace.layers[index].shape);
        assert_eq!(channels * rows * columns, count);
        let mut unpooled = vec![false; channels * height * width];
        for (at, (&mask, &place)) in mask.iter().zip(argmax).enumerate() {
            let (channel, y, x) = (at / (rows * columns), at / columns % rows, at % columns);
            let (dy, dx) = (usize::from(place) / 2, usize::from(place) % 2);
            unpooled[(channel * height + 2 * y + dy) * width + 2 * x + dx] = mask;
        }
        trace.layers[index].mask = unpooled;
        trace.layers[index + 1].argmax = argmax.to_vec();
    }
    trace
}

/// How much of the reference's masks and argmaxes the engine decides otherwise.
fn flipped(ours: &Trace, reference: &Trace) -> f64 {
    let (mut differ, mut all) = (0, 0);
    for (ours, reference) in ours.layers.iter().zip(&reference.layers) {
        differ += ours.argmax.iter().zip(&reference.argmax).filter(|(a, b)| a != b).count();
        all += reference.argmax.len();
    }
    differ as f64 / all as f64
}

fn all_decisions(cuda: &Cuda, case: &Case, batch: &Batch) -> (Vec<Decisions>, Vec<f64>) {
    let trace = cuda.forward_trace(batch).expect("the batch runs");
    let layers = case.network.parametric_layers().len();
    let decisions = (0..layers).map(|layer| trace.decisions(layer).expect("the device answers")).collect();
    (decisions, trace.final_map().expect("the device answers"))
}

pub fn compare(
    name: &str,
    network: ReferenceNetwork,
    size: (usize, usize),
    precision: Precision,
    distance: f64,
) {
    let case = Case::new(network, ElementType::F32);
    let methods = Method::all();
    let (count, headless) = (2, case.network.is_headless());
    let pixels: Vec<Vec<u8>> =
        (0..count).map(|image| random_pixels(image as u64 + 40, size.0, size.1)).collect();
    let joined = pixels.concat();
    let batch = Batch { images: count, height: size.0, width: size.1, pixels: Pixels::Rgb8(&joined) };
    let (decisions, final_map) = all_decisions(&cuda(&case, precision), &case, &batch);
    let explainer = explainer(&case, &methods, precision);
    let views: Vec<&[u8]> = pixels.iter().map(Vec::as_slice).collect();
    let explained = explain(&explainer, size, &views, &Target::Top(1));
    let mut worst = (0.0f64, String::new());
    for (image, explained) in explained.iter().enumerate() {
        let input = Case::input(&pixels[image]);
        let reference = case.network.forward(&input, size.0, size.1);
        let mut trace = on_own_decisions(&case.network, reference.clone(), &decisions, (image, count));
        assert!(flipped(&trace, &reference) < 0.02, "{name}: too many decisions differ");
        if headless {
            // The start is the engine's own activations.
            let last = trace.layers.len() - 1;
            let len = trace.layers[last].output.len();
            trace.layers[last].output = final_map[image * len..][..len].to_vec();
        }
        for explanation in &explained.explanations {
            let method = explanation.method;
            let expected = case.expected(method, &trace, &input, explained.target);
            let ours: Vec<f64> = explanation.values.iter().map(|&value| f64::from(value)).collect();
            if norm(&expected) == 0.0 {
                assert_eq!(norm(&ours), 0.0, "{name}: {method}");
                continue;
            }
            let found = 1.0 - cosine(&ours, &expected);
            if found > worst.0 {
                worst = (found, method.to_string());
            }
            assert!(found <= distance, "{name}: {method}, image {image}: 1 − cosine {found:e}");
        }
    }
    println!("{name} {precision:?}: worst 1 − cosine {:.1e} ({})", worst.0, worst.1);
}

/// A stored number is off by 2^-12 of itself at most (half an ulp), 2^-13 in the root mean square, as is every number of an operator; n
/// layers add up to an angle of about sqrt(2 n) 2^-13, and 1 − cosine is half its square: 2e-7 for 13 layers.
const F16: f64 = 1e-6;
/// Three bits less: 64 times as much.
const BF16: f64 = 64e-6;

fn networks() -> Vec<(&'static str, ReferenceNetwork, (usize, usize))> {
    vec![
        ("classifier", random_vgg(31, 3, &[&[8], &[16], &[24, 24]], Some((2, &[29, 15, 7]))), (19, 22)),
        ("headless", random_vgg(32, 3, &[&[8, 9], &[16, 70]], None), (13, 16)),
    ]
}

#[test]
fn float16_differs_from_float64_by_rounding_alone() {
    for (name, network, size) in networks() {
        compare(name, network, size, Precision::F16, F16);
    }
}

#[test]
fn bfloat16_differs_from_float64_by_rounding_alone() {
    for (name, network, size) in networks() {
        compare(name, network, size, Precision::Bf16, BF16);
    }
}

#[test]
fn decisions_in_float32_are_the_references() {
    let network = random_vgg(33, 3, &[&[8], &[70, 11]], Some((2, &[29, 7])));
    let case = Case::new(network, ElementType::F32);
    let size = (13, 18);
    let images = crate::support::decisive_images(&case.network, size, 3, 8);
    let pixels: Vec<u8> = images.iter().flat_map(|(pixels, _)| pixels.clone()).collect();
    let batch = Batch { images: 3, height: size.0, width: size.1, pixels: Pixels::Rgb8(&pixels) };
    let (decisions, _) = all_decisions(&cuda(&case, Precision::F32), &case, &batch);
    for (image, (_, reference)) in images.iter().enumerate() {
        let ours = on_own_decisions(&case.network, reference.clone(), &decisions, (image, 3));
        for (index, (ours, reference)) in ours.layers.iter().zip(&reference.layers).enumerate() {
            assert_eq!(ours.argmax, reference.argmax, "layer {index}");
            let pooled =
                case.network.layers.get(index + 1).is_some_and(|l| matches!(l, ReferenceLayer::MaxPool));
            if !pooled {
                assert_eq!(ours.mask, reference.mask, "layer {index}");
            }
        }
    }
}
