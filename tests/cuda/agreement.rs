//! Every method in float32 against the CPU backend, on networks of all variants.

use vggx::backend::cuda::{CudaOptions, Precision};
use vggx::explain::{Explained, Explainer, Method, Target, on_cuda};
use vggx::weights::ElementType;

use crate::host_driver;
use crate::reference::{ReferenceNetwork, cosine, norm, random_vgg};
use crate::support::{Case, SEED, decisive_images, explain};

/// Both engines round by about 1e-6 of a map's root mean square a layer, in different orders, and images were chosen
/// whose masks and argmaxes float32 can tell. 19 layers add up to 5e-6 each, and 1 − cosine is half the square of
/// the difference. The promise to users is 0.99999.
const COSINE: f64 = 1e-9;
/// Of a response, relative to the largest.
const RESPONSE: f64 = 2e-5;

pub fn explainer(case: &Case, methods: &[Method], precision: Precision) -> Explainer {
    host_driver::load();
    let options = CudaOptions { precision, ..CudaOptions::default() };
    let cuda = on_cuda(&case.weights, &options).expect("a device that runs VGGs");
    let patterns = Some(&case.patterns);
    Explainer::new(Box::new(cuda), &case.weights, patterns, methods, None, SEED).expect("every method runs")
}

fn scaled(values: &[f32], scale_log2: i32) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value) * 2f64.powi(scale_log2)).collect()
}

fn compare(at: &str, ours: &[Explained], theirs: &[Explained], worst: &mut f64) {
    assert_eq!(ours.len(), theirs.len());
    for (image, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.target, theirs.target, "{at}, image {image}");
        let error = (ours.response - theirs.response).abs() / theirs.response.abs();
        assert!(
            f64::from(error) <= RESPONSE,
            "{at}, image {image}: {} and {}",
            ours.response,
            theirs.response
        );
        for (ours, theirs) in ours.explanations.iter().zip(&theirs.explanations) {
            let method = ours.method;
            let (ours, theirs) =
                (scaled(&ours.values, ours.scale_log2), scaled(&theirs.values, theirs.scale_log2));
            if norm(&theirs) == 0.0 {
                assert_eq!(norm(&ours), 0.0, "{at}, image {image}: {method}");
                continue;
            }
            let distance = 1.0 - cosine(&ours, &theirs);
            *worst = worst.max(distance);
            assert!(distance <= COSINE, "{at}, image {image}: {method}: 1 − cosine {distance:e}");
            let ratio = norm(&ours) / norm(&theirs);
            assert!((ratio - 1.0).abs() <= 1e-4, "{at}, image {image}: {method}: {ratio} times as large");
        }
    }
}

fn agrees(name: &str, network: ReferenceNetwork, element: ElementType, sizes: &[((usize, usize), usize)]) {
    let case = Case::new(network, element);
    let methods = Method::all();
    let (cuda, cpu) = (explainer(&case, &methods, Precision::F32), case.explainer(&methods, 1));
    let mut worst = 0.0;
    for (seed, &(size, count)) in sizes.iter().enumerate() {
        let images = decisive_images(&case.network, size, count, seed as u64 + 1);
        let pixels: Vec<&[u8]> = images.iter().map(|(pixels, _)| pixels.as_slice()).collect();
        let ours = explain(&cuda, size, &pixels, &Target::Top(1));
        let theirs = explain(&cpu, size, &pixels, &Target::Top(1));
        compare(&format!("{name} {size:?}"), &ours, &theirs, &mut worst);
    }
    println!("{name}: worst 1 − cosine {worst:.1e}");
}

const ODD: (usize, usize) = (33, 47);
const SQUARE: (usize, usize) = (37, 37);

#[test]
fn vgg11_with_a_classifier() {
    let blocks: [&[usize]; 5] = [&[8], &[16], &[24, 24], &[17, 40], &[40, 33]];
    let network = random_vgg(11, 3, &blocks, Some((2, &[29, 15, 7])));
    agrees("vgg11", network, ElementType::F32, &[(ODD, 1), (SQUARE, 2)]);
}

#[test]
fn vgg13_headless() {
    let blocks: [&[usize]; 5] = [&[3, 5], &[20, 7], &[24, 16], &[16, 24], &[40, 21]];
    let network = random_vgg(13, 3, &blocks, None);
    agrees("vgg13", network, ElementType::F32, &[(ODD, 1), (SQUARE, 1)]);
}

#[test]
fn vgg16_from_float16_files() {
    let blocks: [&[usize]; 5] = [&[6, 7], &[11, 8], &[9, 70, 12], &[13, 16, 9], &[14, 10, 12]];
    let network = random_vgg(16, 3, &blocks, Some((1, &[19, 9])));
    agrees("vgg16", network, ElementType::F16, &[(SQUARE, 1), ((32, 64), 2)]);
}

#[test]
fn vgg19_from_bfloat16_files() {
    let blocks: [&[usize]; 5] = [&[4, 5], &[9, 8], &[9, 10, 7, 8], &[13, 6, 9, 11], &[14, 10, 8, 9]];
    let network = random_vgg(19, 3, &blocks, None);
    agrees("vgg19", network, ElementType::Bf16, &[(SQUARE, 1)]);
}

#[test]
fn wide_layers_and_batches_of_33() {
    // More than one group of 64 channels, and tiles of 128 columns.
    let network = random_vgg(5, 3, &[&[70], &[130, 20]], Some((2, &[140, 11])));
    agrees("wide", network, ElementType::F32, &[((9, 14), 3), ((5, 4), 33)]);
}

#[test]
fn maps_of_the_grid_of_the_classifier_are_not_averaged() {
    let network = random_vgg(7, 3, &[&[10], &[12]], Some((3, &[8, 5])));
    // 3 × 3 is the identity, 2 × 5 makes windows overlap.
    agrees("grid", network, ElementType::F32, &[((12, 13), 2), ((9, 21), 2)]);
}
