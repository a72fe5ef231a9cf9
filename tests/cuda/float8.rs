//! float8 on the way back (docs/float8.md): where it is used, what it takes away, and where it is refused.

use vggx::backend::cuda::{Cuda, CudaOptions, Precision};
use vggx::backend::{Backend, BackendError, Moments};
use vggx::explain::{Explanation, Method, Target, on_cuda};
use vggx::weights::ElementType;

use crate::agreement::explainer;
use crate::host_driver;
use crate::passes::cuda;
use crate::precision::compare;
use crate::reference::{ReferenceNetwork, cosine, norm, random_vgg};
use crate::support::{Case, explain, random_pixels};

/// A stored number of float8 is off by 2⁻⁴ of itself at most, and by 0.026 in the root mean square, as is every number of an operator: of a
/// sum of terms of random signs that is an error of √2 · 0.026 = 0.037 for each layer. n layers add up to an angle of √n · 0.037, and 1 −
/// cosine is half its square: 2e-3 for three. Operators with a few large elements (w ⊙ u of random u) lose small ones to what is subnormal.
/// This is what is promised.
const FLOAT8: f64 = 1e-2;

/// Whether the device has float8.
fn runs(case: &Case) -> bool {
    host_driver::load();
    let runs = open(case).is_ok();
    if !runs {
        println!("skipped: the device has no kernels with float8");
    }
    runs
}

fn open(case: &Case) -> Result<Cuda, BackendError> {
    on_cuda(&case.weights, &CudaOptions { precision: Precision::F8, ..CudaOptions::default() })
}

/// Signals leave float16, stay in float8, and reach both numbers of outputs in float16; behind 130 channels they stay in float16.
fn networks() -> Vec<(&'static str, ReferenceNetwork, (usize, usize))> {
    vec![
        ("headless", random_vgg(41, 3, &[&[8, 128], &[128, 100], &[70]], None), (9, 10)),
        ("classifier", random_vgg(42, 3, &[&[70], &[128, 130], &[128, 128]], Some((2, &[7]))), (9, 12)),
    ]
}

#[test]
fn float8_differs_from_float64_by_rounding_alone() {
    for (name, network, size) in networks() {
        if runs(&Case::new(network.clone(), ElementType::F32)) {
            compare(name, network, size, Precision::F8, FLOAT8);
        }
    }
}

/// The forward pass is float16's, bit by bit, so responses are; explanations differ, or float8 was not used.
#[test]
fn explanations_are_near_those_of_float16() {
    for (name, network, size) in networks() {
        let case = Case::new(network, ElementType::F32);
        if !runs(&case) {
            return;
        }
        let methods = [
            Method::Gradient,
            Method::DeconvNet,
            Method::GuidedBackprop,
            Method::PatternNet,
            Method::PatternAttribution,
        ];
        let pixels: Vec<Vec<u8>> = (0..3).map(|image| random_pixels(image + 50, size.0, size.1)).collect();
        let views: Vec<&[u8]> = pixels.iter().map(Vec::as_slice).collect();
        let of = |precision| explain(&explainer(&case, &methods, precision), size, &views, &Target::Top(1));
        for (float8, float16) in of(Precision::F8).iter().zip(of(Precision::F16)) {
            assert_eq!((float8.target, float8.response), (float16.target, float16.response), "{name}");
            for (ours, theirs) in float8.explanations.iter().zip(&float16.explanations) {
                let wide = |explanation: &Explanation| -> Vec<f64> {
                    let power = 2f64.powi(explanation.scale_log2);
                    explanation.values.iter().map(|&value| f64::from(value) * power).collect()
                };
                let (method, ours, theirs) = (ours.method, wide(ours), wide(theirs));
                let (distance, ratio) = (1.0 - cosine(&ours, &theirs), norm(&ours) / norm(&theirs));
                let what = format!("{name}: {method}: 1 − cosine {distance:e}, {ratio} times as large");
                println!("{what}");
                assert!(distance <= FLOAT8 && (ratio - 1.0).abs() <= 0.05, "{what}");
                assert!(ours != theirs, "{what}: no float8");
            }
        }
    }
}

#[test]
fn batches_give_the_same_bits() {
    let (_, network, size) = networks().remove(0);
    let case = Case::new(network, ElementType::F32);
    if !runs(&case) {
        return;
    }
    let pixels: Vec<Vec<u8>> = (0..5).map(|image| random_pixels(image + 60, size.0, size.1)).collect();
    let views: Vec<&[u8]> = pixels.iter().map(Vec::as_slice).collect();
    let explainer = explainer(&case, &[Method::PatternNet, Method::Gradient], Precision::F8);
    let together = explain(&explainer, size, &views, &Target::Top(1));
    for (view, of_batch) in views.iter().zip(&together) {
        let alone = explain(&explainer, size, &[view], &Target::Top(1));
        for (ours, theirs) in alone[0].explanations.iter().zip(&of_batch.explanations) {
            assert_eq!((&ours.values, ours.scale_log2), (&theirs.values, theirs.scale_log2));
        }
    }
}

#[test]
fn moments_are_not_learned_in_float8() {
    let (_, network, _) = networks().remove(0);
    let case = Case::new(network, ElementType::F32);
    if !runs(&case) {
        return;
    }
    let cuda = cuda(&case, Precision::F8);
    let error = cuda.learn(Moments::zeros(case.weights.network(), false)).err().expect("it is refused");
    let text = error.to_string();
    assert!(text.contains("f8") && text.contains("learned") && text.contains("f16"), "{text}");
}
