//! The same bits whatever shares the batch or the work.

use std::sync::Arc;

use vggx::explain::{Explained, Explainer, Method, Target};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::Patterns;
use vggx::weights::{ElementType, Weights};

use crate::reference::random_vgg;
use crate::support::{Case, SEED, backend, explain, half_flat_pixels, random_pixels, responses};

/// Everything the engine says of an image, as bits.
#[derive(PartialEq)]
struct Bits {
    responses: Vec<u32>,
    target: usize,
    explanations: Vec<(String, i32, Vec<u32>)>,
}

fn bits(responses: &[f32], explained: Explained) -> Bits {
    let to_bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    Bits {
        responses: to_bits(responses),
        target: explained.target,
        explanations: explained
            .explanations
            .iter()
            .map(|explanation| {
                (explanation.method.to_string(), explanation.scale_log2, to_bits(&explanation.values))
            })
            .collect(),
    }
}

impl Bits {
    fn assert_same(&self, other: &Bits, context: &str) {
        assert!(self.responses == other.responses, "{context}: responses");
        assert_eq!(self.target, other.target, "{context}: target");
        assert_eq!(self.explanations.len(), other.explanations.len());
        for ((method, scale, values), (_, other_scale, other_values)) in
            self.explanations.iter().zip(&other.explanations)
        {
            assert_eq!(scale, other_scale, "{context}: {method}: scale");
            assert!(values == other_values, "{context}: {method}");
        }
    }
}

fn run(explainer: &Explainer, size: (usize, usize), images: &[&[u8]]) -> Vec<Bits> {
    let responses = responses(explainer.backend(), size, images);
    let explained = explain(explainer, size, images, &Target::Top(1));
    responses.iter().zip(explained).map(|(responses, explained)| bits(responses, explained)).collect()
}

/// Every image alone on one thread, then at every position of batches of all sizes on several threads.
fn reproduces(make: impl Fn(usize) -> Explainer, size: (usize, usize), batches: &[usize], threads: &[usize]) {
    let count = batches.iter().copied().max().unwrap_or(1);
    let images: Vec<Vec<u8>> = (0..count as u64)
        .map(|seed| match seed % 2 {
            0 => random_pixels(seed + 1, size.0, size.1),
            _ => half_flat_pixels(seed + 1, size.0, size.1),
        })
        .collect();
    let single = make(1);
    let alone: Vec<Bits> = images.iter().map(|image| run(&single, size, &[image]).remove(0)).collect();
    assert!(alone.len() == 1 || alone[0].responses != alone[1].responses, "the images do not differ");
    drop(single);
    for &threads in threads {
        let explainer = make(threads);
        for &batch in batches {
            // Shifts bring an image to every position of small batches, and to five positions of large ones.
            let shifts: Vec<usize> =
                if batch <= 8 { (0..batch).collect() } else { (0..batch).step_by(batch / 4).collect() };
            for shift in shifts {
                let order: Vec<usize> = (0..batch).map(|position| (position + shift) % batch).collect();
                let chosen: Vec<&[u8]> = order.iter().map(|&image| images[image].as_slice()).collect();
                for (position, result) in run(&explainer, size, &chosen).iter().enumerate() {
                    let image = order[position];
                    let context =
                        format!("{threads} threads, batch {batch}, image {image} at position {position}");
                    result.assert_same(&alone[image], &context);
                }
            }
        }
    }
}

#[test]
fn a_headless_network_with_all_kinds_of_layers() {
    let case = Case::new(random_vgg(51, 3, &[&[8, 24], &[24, 5, 20]], None), ElementType::F32);
    reproduces(|threads| case.explainer(&Method::all(), threads), (37, 22), &[1, 2, 8, 33], &[1, 2, 3]);
}

#[test]
fn a_network_with_a_classifier() {
    let case =
        Case::new(random_vgg(52, 3, &[&[16, 17], &[33]], Some((3, &[1037, 41, 10]))), ElementType::F16);
    reproduces(|threads| case.explainer(&Method::all(), threads), (13, 21), &[1, 2, 8, 33], &[1, 2, 3]);
}

/// Kernels made on the fly, and batches that fill several groups of tiles.
#[test]
fn a_network_with_wide_layers() {
    let methods = [Method::Gradient, Method::DeconvNet, Method::PatternAttribution];
    let case = Case::new(random_vgg(53, 3, &[&[16, 272], &[256]], None), ElementType::F32);
    reproduces(|threads| case.explainer(&methods, threads), (18, 18), &[1, 2, 8, 33], &[1, 3]);
}

#[test]
fn the_bundled_network() {
    let (Some(weights), Some(patterns)) =
        (vggx::weights::bundled::weights(), vggx::weights::bundled::patterns())
    else {
        let required = std::env::var_os("VGGX_REQUIRE_SHARED").is_some_and(|value| value == "1");
        assert!(!required, "no bundled weights");
        println!("skipped: no bundled weights");
        return;
    };
    let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default()).expect("bundled"));
    let patterns = Arc::new(Patterns::open(&patterns, &weights).expect("bundled"));
    let methods = [
        Method::Gradient,
        Method::DeconvNet,
        Method::GuidedBackprop,
        Method::PatternNet,
        Method::PatternAttribution,
    ];
    let make = |methods: &[Method], threads| {
        let backend = Box::new(backend(&weights, threads));
        Explainer::new(backend, &weights, Some(&patterns), methods, None, SEED).expect("can run")
    };
    reproduces(|threads| make(&methods, threads), (96, 77), &[1, 3], &[1, 3]);
    // Maps of many tiles; the methods differ in operators and gates only, which the smaller ones have shown.
    let methods = [Method::GuidedBackprop, Method::PatternAttribution];
    reproduces(|threads| make(&methods, threads), (224, 224), &[2], &[2]);
}
