//! Signals far outside float32, and activations that leave it.

use vggx::backend::{Backend, BackendError, Batch, Gate, Pass, Pixels, Start};
use vggx::explain::{Method, Operator, Operators, Target};
use vggx::weights::ElementType;

use std::sync::Arc;

use crate::reference::{ReferenceLayer, ReferenceNetwork, cosine, norm, random_image, random_vgg};
use crate::support::{Case, decisive_images, explain};

const METHODS: [Method; 2] = [Method::PatternNet, Method::PatternAttribution];

/// Multiplies the patterns of layer n with 2^`exponent(n)` and compares magnitudes as logarithms.
fn scaled(network: ReferenceNetwork, size: (usize, usize), exponent: impl Fn(usize) -> i32, folded: bool) {
    let plain = Case::new(network, ElementType::F32);
    let positive = plain
        .positive
        .iter()
        .enumerate()
        .map(|(layer, values)| values.iter().map(|value| value * 2f64.powi(exponent(layer))).collect())
        .collect();
    let case = Case::with_patterns(plain.network.clone(), ElementType::F32, positive, plain.linear.clone());
    let images = decisive_images(&case.network, size, 2, 3);
    let pixels: Vec<&[u8]> = images.iter().map(|(pixels, _)| pixels.as_slice()).collect();
    let explained = explain(&case.explainer(&METHODS, 2), size, &pixels, &Target::Top(1));
    for ((pixels, trace), explained) in images.iter().zip(explained) {
        for (method, explanation) in METHODS.into_iter().zip(explained.explanations) {
            let expected = case.expected(method, trace, &Case::input(pixels), explained.target);
            let ours: Vec<f64> = explanation.values.iter().map(|&value| f64::from(value)).collect();
            let distance = 1.0 - cosine(&ours, &expected);
            let log2 = norm(&ours).log2() + f64::from(explanation.scale_log2);
            let expected_log2 = norm(&expected).log2();
            println!(
                "{method}: 1 − cosine {distance:.1e}, log2 of the norm {log2} against {expected_log2}, scale_log2 {}",
                explanation.scale_log2
            );
            assert!(expected_log2.is_finite() && distance <= 1e-9);
            // The bound on the cosine's own error, 4e-5, in binary orders.
            assert!((log2 - expected_log2).abs() <= 1e-4);
            assert_eq!(explanation.scale_log2 == 0, folded);
        }
    }
}

fn vgg16() -> ReferenceNetwork {
    let blocks: [&[usize]; 5] = [&[8, 16], &[16, 16], &[24, 24, 24], &[24, 24, 24], &[24, 24, 24]];
    random_vgg(41, 3, &blocks, Some((2, &[17, 12, 9])))
}

#[test]
fn signals_that_overflow_float32_keep_their_exponent() {
    scaled(vgg16(), (33, 35), |_| 20, false);
}

#[test]
fn signals_that_underflow_float32_keep_their_exponent() {
    scaled(vgg16(), (33, 35), |_| -40, false);
}

/// 5 layers: float64 holds 2^±500 as well as the weights' own share.
#[test]
fn patterns_near_the_ends_of_float32() {
    let network = || random_vgg(43, 3, &[&[8, 16], &[17]], Some((1, &[6, 5])));
    scaled(network(), (11, 9), |_| 100, false);
    scaled(network(), (11, 9), |_| -90, false);
    // In between they overflow, in the end they are ordinary numbers.
    scaled(network(), (11, 9), |layer| [60, -80, 100, -90, 10][layer], true);
}

/// The input of one image 1e38 times larger: it fails, by name of the layer, and touches no other.
#[test]
fn activations_that_overflow_fail_their_image_alone() {
    for classifier in [None, Some((2, &[13, 6][..]))] {
        let case = Case::new(random_vgg(47, 3, &[&[8, 24], &[24, 12]], classifier), ElementType::F32);
        let (height, width) = (13, 10);
        let mut images: Vec<Vec<f32>> = (0..5)
            .map(|seed| random_image(seed, 3, height, width).iter().map(|&value| value as f32).collect())
            .collect();
        images[1].iter_mut().for_each(|value| *value *= 1e38);
        images[3][7] = f32::MAX;
        let cpu = case.backend(2);
        let source = |operator| {
            let patterns = Some(case.patterns.clone());
            Arc::new(Operators::new(case.weights.clone(), patterns, operator, 0).expect("patterns are there"))
        };
        let passes: Vec<_> = [(Gate::Mask, Start::Response), (Gate::Sign, Start::One)]
            .into_iter()
            .map(|(gate, start)| Pass { operators: source(Operator::Weight), gate, start })
            .map(|pass| cpu.prepare(&pass).expect("fits"))
            .collect();
        let batch = |images, pixels| Batch { images, height, width, pixels: Pixels::Normalised(pixels) };
        let all = images.concat();
        let together = cpu.forward(&batch(5, &all)).expect("runs");
        for (index, image) in images.iter().enumerate() {
            let alone = cpu.forward(&batch(1, image)).expect("runs");
            let overflows = matches!(
                together.failure(index),
                Some(BackendError::ActivationOverflow { layer }) if layer.starts_with("features.")
            );
            assert_eq!(overflows, index == 1 || index == 3, "image {index}");
            for &pass in &passes {
                let one = alone.backward(pass, &[2]).remove(0);
                let many = together.backward(pass, &[2; 5]).remove(index);
                if overflows {
                    assert!(matches!(many, Err(BackendError::ActivationOverflow { .. })));
                    assert!(matches!(one, Err(BackendError::ActivationOverflow { .. })));
                } else {
                    let (one, many) = (one.expect("runs"), many.expect("runs"));
                    assert_eq!((one.values, one.scale_log2), (many.values, many.scale_log2), "image {index}");
                }
            }
            if !overflows {
                assert_eq!(alone.responses(0), together.responses(index), "image {index}");
            }
        }
    }
}

/// A headless response sums a map: it may overflow where no activation does, and must not come out as infinity.
#[test]
fn a_response_that_overflows_fails_its_image() {
    let mut weight = [0.0; 9];
    weight[4] = 1.0;
    let convolution = |inputs: usize| ReferenceLayer::Convolution {
        inputs,
        outputs: 1,
        weight: weight.repeat(inputs),
        bias: vec![0.0],
    };
    let network = ReferenceNetwork { layers: vec![convolution(3), convolution(1), ReferenceLayer::MaxPool] };
    let case = Case::new(network, ElementType::F32);
    let cpu = case.backend(1);
    let pixels: Vec<f32> = [1e38_f32, 1.0].iter().flat_map(|&value| [value; 3 * 64]).collect();
    let batch = Batch { images: 2, height: 8, width: 8, pixels: Pixels::Normalised(&pixels) };
    let trace = cpu.forward(&batch).expect("runs");
    assert!(matches!(trace.failure(0), Some(BackendError::ActivationOverflow { .. })));
    assert!(trace.failure(1).is_none());
    assert_eq!(trace.responses(1), [3.0 * 16.0]);
}
