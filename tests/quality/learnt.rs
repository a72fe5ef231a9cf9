//! ρ of moments that the CPU engine learns from images, in float32, against the same positions in float64.

use vggx::backend::{Backend, Batch, Moments, Pixels};
use vggx::evaluate::quality::Candidates;
use vggx::weights::ElementType;

use crate::agreement::compare;
use crate::estimators::{SEED, solved};
use crate::reference::{ReferenceLayer, Trace, random_vgg};
use crate::samples::SampleSet;
use crate::support::{Case, decisive_images};

/// Images whose masks float32 decides as float64 does, so that both sum the same positions.
fn learnt(case: &Case, batches: &[((usize, usize), usize)], seed: u64) -> SampleSet {
    let backend = case.backend(2);
    let mut learner = backend.learn(Moments::zeros(case.weights.network(), true)).expect("memory");
    let mut images: Vec<(Vec<f64>, Trace)> = Vec::new();
    for (index, &((height, width), count)) in batches.iter().enumerate() {
        let drawn = decisive_images(&case.network, (height, width), count, seed + index as u64);
        let pixels: Vec<u8> = drawn.iter().flat_map(|(pixels, _)| pixels.clone()).collect();
        let batch = Batch { images: count, height, width, pixels: Pixels::Rgb8(&pixels) };
        let failures = learner.add(&batch).expect("a batch that can run");
        assert!(failures.iter().all(Option::is_none));
        images.extend(drawn.into_iter().map(|(pixels, trace)| (Case::input(&pixels), trace)));
    }
    let pairs: Vec<(&[f64], &Trace)> = images.iter().map(|(image, trace)| (&image[..], trace)).collect();
    let mut set = SampleSet::of_traces(case, &pairs);
    set.moments = learner.moments().expect("a CPU does not fail").clone();
    set
}

#[test]
fn moments_of_the_cpu_engine() {
    let mut network = random_vgg(46, 3, &[&[6, 8], &[9]], Some((2, &[12, 5])));
    // Nearly all neurons are active somewhere, in every set.
    for layer in &mut network.layers {
        if let ReferenceLayer::Convolution { bias, .. } | ReferenceLayer::Dense { bias, .. } = layer {
            bias.iter_mut().for_each(|bias| *bias += 0.5);
        }
    }
    let case = Case::new(network, ElementType::F32);
    let batches = [((9, 13), 15), ((8, 8), 15), ((11, 9), 15), ((8, 10), 15)];
    let [learnt, fitted, evaluated] = [70, 80, 90].map(|seed| learnt(&case, &batches, seed));
    let files = solved(&case, &learnt, ElementType::F16);
    let layers = case.network.parametric_layers().len();
    let candidates = Candidates::all(&files, layers, SEED).expect("one file of each centering");
    // Sums of float32 products; what rounds one position rounds the next the other way.
    let agreement = compare(&case, &candidates.held, &fitted, &evaluated, 1e-7);
    assert!(agreement.compared - agreement.undetermined > 150);
    assert!(agreement.in_sample <= 5e-6 && agreement.held_out <= 5e-6, "{agreement}");
}
