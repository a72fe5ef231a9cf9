//! Passes that no method is made of: every gate with every start, targets with negative responses, normalised inputs.

use std::sync::Arc;

use vggx::backend::cuda::{Cuda, CudaOptions, Precision};
use vggx::backend::{Backend, BackendError, Batch, Gate, Pass, PassId, Pixels, Relevance, Start};
use vggx::explain::{Operator, Operators, on_cuda};
use vggx::weights::ElementType;

use crate::host_driver;
use crate::reference::{cosine, norm, random_vgg};
use crate::support::{Case, SEED, decisive_images};

pub fn cuda(case: &Case, precision: Precision) -> Cuda {
    host_driver::load();
    let options = CudaOptions { precision, ..CudaOptions::default() };
    on_cuda(&case.weights, &options).expect("a device that runs VGGs")
}

const GATES: [Gate; 3] = [Gate::Mask, Gate::Sign, Gate::MaskAndSign];
const STARTS: [Start; 2] = [Start::One, Start::Response];

pub fn try_prepare(
    backend: &mut dyn Backend,
    case: &Case,
    gate: Gate,
    start: Start,
) -> Result<PassId, BackendError> {
    let operators =
        Operators::new(case.weights.clone(), None, Operator::Weight, SEED).expect("no patterns needed");
    backend.prepare(&Pass { operators: Arc::new(operators), gate, start })
}

pub fn prepare(backend: &mut dyn Backend, case: &Case, gate: Gate, start: Start) -> PassId {
    try_prepare(backend, case, gate, start).expect("it fits")
}

fn true_values(relevance: &Relevance) -> Vec<f64> {
    let power = 2f64.powi(relevance.scale_log2);
    relevance.values.iter().map(|&value| f64::from(value) * power).collect()
}

fn agree(at: &str, ours: &[Result<Relevance, BackendError>], theirs: &[Result<Relevance, BackendError>]) {
    assert_eq!(ours.len(), theirs.len());
    for (image, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let ours = true_values(ours.as_ref().expect("an image that can be explained"));
        let theirs = true_values(theirs.as_ref().expect("an image that can be explained"));
        if norm(&theirs) == 0.0 {
            assert_eq!(norm(&ours), 0.0, "{at}, image {image}");
            continue;
        }
        let (distance, ratio) = (1.0 - cosine(&ours, &theirs), norm(&ours) / norm(&theirs));
        assert!(distance <= 1e-9, "{at}, image {image}: 1 − cosine {distance:e}");
        // As in `agreement`; negative logits may be near zero.
        assert!((ratio - 1.0).abs() <= 1e-3, "{at}, image {image}: {ratio} times as large");
    }
}

/// The output with the lowest response.
fn lowest(responses: &[f32]) -> usize {
    (0..responses.len()).min_by(|&a, &b| responses[a].total_cmp(&responses[b])).expect("there are outputs")
}

fn every_pass(case: &Case, size: (usize, usize), count: usize, needs_negative: bool) {
    let (mut cuda, mut cpu) = (cuda(case, Precision::F32), case.backend(1));
    let images = decisive_images(&case.network, size, count, 3);
    let pixels: Vec<u8> = images.iter().flat_map(|(pixels, _)| pixels.clone()).collect();
    let combinations: Vec<(Gate, Start)> =
        GATES.iter().flat_map(|&gate| STARTS.map(|start| (gate, start))).collect();
    let passes: Vec<(PassId, PassId)> = combinations
        .iter()
        .map(|&(gate, start)| (prepare(&mut cuda, case, gate, start), prepare(&mut cpu, case, gate, start)))
        .collect();
    // The same pixels as bytes and normalised, as the network takes them.
    let normalised: Vec<f32> = pixels
        .chunks_exact(size.0 * size.1 * 3)
        .flat_map(|pixels| Case::input(pixels).into_iter().map(|value| value as f32))
        .collect();
    for (kind, pixels) in [("bytes", Pixels::Rgb8(&pixels)), ("normalised", Pixels::Normalised(&normalised))]
    {
        let batch = Batch { images: count, height: size.0, width: size.1, pixels };
        let (ours, theirs) = (cuda.forward(&batch).expect("it runs"), cpu.forward(&batch).expect("it runs"));
        let targets: Vec<usize> = (0..count).map(|image| lowest(theirs.responses(image))).collect();
        if needs_negative {
            assert!((0..count).any(|image| theirs.responses(image)[targets[image]] < 0.0));
        }
        for (&(gate, start), &(our_pass, their_pass)) in combinations.iter().zip(&passes) {
            let at = format!("{kind}, {gate:?}, {start:?}");
            agree(&at, &ours.backward(our_pass, &targets), &theirs.backward(their_pass, &targets));
        }
    }
}

#[test]
fn every_gate_and_start_of_a_classifier() {
    let network = random_vgg(21, 3, &[&[12], &[20, 9]], Some((2, &[30, 12])));
    every_pass(&Case::new(network, ElementType::F32), (11, 14), 3, true);
}

#[test]
fn every_gate_and_start_of_a_headless_network() {
    let network = random_vgg(22, 3, &[&[12, 8], &[20]], None);
    every_pass(&Case::new(network, ElementType::F32), (10, 9), 3, false);
}

#[test]
fn images_that_cannot_run_fail_alone() {
    let case = Case::new(random_vgg(23, 3, &[&[8], &[9]], Some((1, &[6]))), ElementType::F32);
    let mut cuda = cuda(&case, Precision::F16);
    let pass = prepare(&mut cuda, &case, Gate::Mask, Start::Response);
    let (height, width) = (6, 5);
    let mut values: Vec<f32> = (0..4 * 3 * height * width).map(|index| (index as f32 * 0.7).sin()).collect();
    values[3 * height * width + 5] = f32::NAN;
    // Far beyond float16, as huge as float32 can be, and the others as small.
    values[6 * height * width..9 * height * width].iter_mut().for_each(|value| *value *= 1e30);
    let batch = Batch { images: 4, height, width, pixels: Pixels::Normalised(&values) };
    let trace = cuda.forward(&batch).expect("the batch runs");
    assert!(
        matches!(trace.failure(1), Some(BackendError::ActivationOverflow { layer }) if layer == "features.0")
    );
    for image in [0, 2, 3] {
        assert!(trace.failure(image).is_none());
        assert!(trace.responses(image).iter().all(|response| response.is_finite()));
    }
    assert!(trace.responses(2).iter().any(|response| response.abs() > 1e28));
    let results = trace.backward(pass, &[0, 0, 1, 6]);
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(results[1], Err(BackendError::ActivationOverflow { .. })));
    assert!(matches!(results[3], Err(BackendError::Target { target: 6, outputs: 6 })));
    // The good image is not disturbed by its neighbours.
    let alone = Batch { images: 1, height, width, pixels: Pixels::Normalised(&values[..3 * height * width]) };
    let alone = cuda.forward(&alone).expect("the batch runs");
    assert_eq!(alone.responses(0), trace.responses(0));
    let again = alone.backward(pass, &[0]);
    let (again, first) = (again[0].as_ref().expect("it runs"), results[0].as_ref().expect("it runs"));
    assert_eq!((&again.values, again.scale_log2), (&first.values, first.scale_log2));
}
