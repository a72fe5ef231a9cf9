//! Ties, neurons without weights, maps of one position, targets, and batches that cannot run.

use std::sync::Arc;

use vggx::backend::cpu::Cpu;
use vggx::backend::{Backend, BackendError, Batch, Gate, OperatorSource, Pass, Pixels, Start};
use vggx::explain::{ExplainError, Input, Method, Operator, Operators, Target, TargetError};
use vggx::network::{Convolution, Dense, Layer, Network, Preprocessing};
use vggx::weights::ElementType;

use crate::agreement::compare_on;
use crate::reference::{
    Random, ReferenceGate, ReferenceLayer, ReferenceNetwork, ReferenceStart, cosine, random_image, random_vgg,
};
use crate::support::{Case, decisive_images, random_pixels};

/// On a constant image all windows away from the border tie, and every tie goes to the first position. Fewer than 16
/// channels, so that plain sums make the four positions equal to the bit; Winograd rounds them differently.
#[test]
fn ties_go_to_the_first_position() {
    for classifier in [None, Some((2, &[6, 5][..]))] {
        let case = Case::new(random_vgg(61, 3, &[&[8, 12], &[10]], classifier), ElementType::F32);
        let size = (21, 18);
        for grey in [200, 3] {
            let pixels = vec![grey; size.0 * size.1 * 3];
            let trace = case.network.forward(&Case::input(&pixels), size.0, size.1);
            let (unpooled, pool) = (&trace.layers[1], &trace.layers[2]);
            // Not vacuous: the middle of the first pool holds positive windows of four equal values.
            let middle = |channel: usize| unpooled.output[(channel * 21 + 10) * 18 + 8];
            assert!(
                (0..12).any(|channel| middle(channel) > 0.0 && pool.argmax[(channel * 10 + 5) * 9 + 4] == 0)
            );
            compare_on(&case, size, &[(pixels, trace)], "a constant image");
        }
    }
}

/// The same where Winograd's transforms compute the sums: they round every position differently, but not where it matters.
#[test]
fn ties_go_to_the_first_position_in_wide_layers_too() {
    let case = Case::new(random_vgg(63, 3, &[&[16, 24], &[40, 17], &[20]], None), ElementType::F32);
    let size = (45, 50);
    for grey in [200, 3] {
        let pixels = vec![grey; size.0 * size.1 * 3];
        let trace = case.network.forward(&Case::input(&pixels), size.0, size.1);
        compare_on(&case, size, &[(pixels, trace)], "a constant image through wide layers");
    }
}

/// Neurons without weights have no direction: operators of zero, and the rest of the network is explained as usual.
#[test]
fn neurons_without_weights_get_no_signal() {
    let mut network = random_vgg(62, 3, &[&[8, 20], &[20]], Some((2, &[9, 5])));
    let mut silenced = 0;
    for layer in &mut network.layers {
        if let ReferenceLayer::Convolution { outputs, weight, bias, .. }
        | ReferenceLayer::Dense { outputs, weight, bias, .. } = layer
        {
            let fan_in = weight.len() / *outputs;
            weight[2 * fan_in..3 * fan_in].fill(0.0);
            // One that is active all the same.
            bias[2] = 0.5;
            silenced += 1;
        }
    }
    assert_eq!(silenced, 5);
    let case = Case::new(network, ElementType::F32);
    for directions in case.random_directions().iter().zip(case.network.parametric_layers()) {
        let (directions, layer) = directions;
        let fan_in = layer.weight.len() / layer.outputs;
        assert!(directions[2 * fan_in..3 * fan_in].iter().all(|&value| value == 0.0));
    }
    // A neuron active everywhere with the same value ties everywhere, in any arithmetic alike.
    let size = (12, 15);
    let images: Vec<_> = (0..40)
        .map(|seed| random_pixels(seed + 500, size.0, size.1))
        .map(|pixels| {
            let trace = case.network.forward(&Case::input(&pixels), size.0, size.1);
            (pixels, trace)
        })
        .take(2)
        .collect();
    compare_on(&case, size, &images, "neurons without weights");
}

/// Operators that lie in memory, for networks that no file can describe.
struct InMemory(Vec<(usize, Vec<f64>)>);

impl OperatorSource for InMemory {
    fn gain_log2(&self, _: usize) -> i32 {
        0
    }

    fn read(&self, layer: usize, neuron: usize, start: usize, row: &mut [f32]) {
        let (fan_in, values) = &self.0[layer];
        let values = &values[neuron * fan_in + start..][..row.len()];
        row.iter_mut().zip(values).for_each(|(to, &from)| *to = from as f32);
    }
}

/// A network without a max-pool takes an image of one pixel.
#[test]
fn maps_of_one_position() {
    let mut reference = random_vgg(63, 3, &[&[16, 20, 6]], Some((2, &[7, 4])));
    reference.layers.retain(|layer| !matches!(layer, ReferenceLayer::MaxPool));
    let (mut layers, mut rows, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for (index, layer) in reference.layers.iter().enumerate() {
        let name = format!("layer {index}");
        layers.push(match layer {
            ReferenceLayer::Convolution { inputs, outputs, weight, bias } => {
                rows.push((9 * inputs, weight.clone()));
                biases.push(bias.iter().map(|&value| value as f32).collect());
                Layer::Convolution(Convolution { name, inputs: *inputs, outputs: *outputs })
            }
            ReferenceLayer::Dense { inputs, outputs, weight, bias, relu } => {
                rows.push((*inputs, weight.clone()));
                biases.push(bias.iter().map(|&value| value as f32).collect());
                Layer::Dense(Dense { name, inputs: *inputs, outputs: *outputs, relu: *relu })
            }
            ReferenceLayer::AdaptiveAveragePool { side } => Layer::AdaptiveAveragePool { side: *side },
            ReferenceLayer::MaxPool => Layer::MaxPool,
        });
    }
    let source = Arc::new(InMemory(rows));
    let network = Network::new(layers, Preprocessing::default());
    let cpu = Cpu::new(network, source.clone(), biases, 2).expect("a VGG without pools");
    let pass = Pass { operators: source, gate: Gate::Mask, start: Start::Response };
    let pass = cpu.prepare(&pass).expect("fits");
    for (height, width) in [(1, 1), (1, 6), (9, 1)] {
        let image = random_image(64, 3, height, width);
        let pixels: Vec<f32> = image.iter().map(|&value| value as f32).collect();
        let batch = Batch { images: 1, height, width, pixels: Pixels::Normalised(&pixels) };
        let trace = cpu.forward(&batch).expect("runs");
        let expected = reference.forward(&image, height, width);
        let operators = reference.operators(|layer| layer.weight.to_vec());
        for target in 0..4 {
            let (ours, theirs) = (f64::from(trace.responses(0)[target]), expected.responses[target]);
            assert!((ours - theirs).abs() < 1e-5, "{height}×{width}: {ours} against {theirs}");
            let relevance = trace.backward(pass, &[target]).remove(0).expect("runs");
            let factor = 2f64.powi(relevance.scale_log2);
            let ours: Vec<f64> = relevance.values.iter().map(|&value| f64::from(value) * factor).collect();
            let theirs = reference.explain(
                &expected,
                &operators,
                ReferenceGate::Mask,
                ReferenceStart::Response,
                target,
            );
            assert!(1.0 - cosine(&ours, &theirs) < 1e-9, "{height}×{width}, target {target}");
            let largest = theirs.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-5 * largest));
        }
    }
}

#[test]
fn targets_are_ranks_indices_and_keys() {
    let case = Case::new(random_vgg(65, 3, &[&[8], &[16]], Some((1, &[9, 6]))), ElementType::F32);
    let size = (9, 8);
    let images = decisive_images(&case.network, size, 3, 65);
    let methods = [Method::Gradient, Method::Signal(vggx::explain::Estimator::Filter)];
    let explainer = case.explainer(&methods, 2);
    let run = |target: &Target, keys: [Option<&str>; 3]| {
        let inputs: Vec<Input> =
            images.iter().zip(keys).map(|((pixels, _), key)| Input { pixels, key }).collect();
        explainer.explain(size, &inputs, target).expect("a batch that can run")
    };
    // Every image with the target it should have: its array must be that target's.
    let check = |target: &Target, keys, expected: &dyn Fn(usize) -> usize| {
        for (image, result) in run(target, keys).into_iter().enumerate() {
            let explained = result.expect("a target that exists");
            let (pixels, trace) = &images[image];
            assert_eq!(explained.target, expected(image), "{target}, image {image}");
            assert_eq!(explained.label, None);
            let response = trace.responses[explained.target];
            assert!((f64::from(explained.response) - response).abs() < 1e-4);
            let total: f64 = trace.responses.iter().map(|other| (other - response).exp()).sum();
            assert!((explained.probability.expect("a classifier") - 1.0 / total).abs() < 1e-5);
            for explanation in &explained.explanations {
                let theirs = case.expected(explanation.method, trace, &Case::input(pixels), explained.target);
                let ours: Vec<f64> = explanation.values.iter().map(|&value| f64::from(value)).collect();
                assert!(
                    1.0 - cosine(&ours, &theirs) < 1e-9,
                    "{target}, image {image}: {}",
                    explanation.method
                );
            }
        }
    };
    let ranked = |image: usize, rank: usize| {
        let responses = &images[image].1.responses;
        let mut order: Vec<usize> = (0..6).collect();
        order.sort_by(|&a, &b| responses[b].total_cmp(&responses[a]));
        order[rank - 1]
    };
    for rank in 1..=6 {
        check(&Target::Top(rank), [None; 3], &|image| ranked(image, rank));
    }
    for index in 0..6 {
        check(&Target::Index(index), [None; 3], &|_| index);
    }
    check(&Target::Key, [Some("3"), Some("top2"), Some("5")], &|image| [3, ranked(1, 2), 5][image]);

    let failures = run(&Target::Key, [Some("6"), None, Some("top7")]);
    let problem = |image: usize| match &failures[image] {
        Err(ExplainError::Target(error)) => error.clone(),
        other => panic!("image {image}: {other:?}"),
    };
    assert_eq!(problem(0), TargetError::OutOfRange { target: 6, outputs: 6 });
    assert_eq!(problem(1), TargetError::NoKey);
    assert_eq!(problem(2), TargetError::RankOutOfRange { rank: 7, outputs: 6 });
    // A wrong target does not disturb the other images.
    let mixed = run(&Target::Key, [Some("17"), Some("2"), Some("2")]);
    let alone = run(&Target::Index(2), [None; 3]);
    assert!(mixed[0].is_err());
    for image in [1, 2] {
        let values = |result: &Result<vggx::explain::Explained, ExplainError>| {
            result.as_ref().expect("runs").explanations[0].values.clone()
        };
        assert_eq!(values(&mixed[image]), values(&alone[image]));
    }
}

#[test]
fn a_target_out_of_range_fails_its_image_in_the_backend_too() {
    let case = Case::new(random_vgg(66, 3, &[&[8, 5]], None), ElementType::F32);
    let cpu = case.backend(1);
    let operators =
        Arc::new(Operators::new(case.weights.clone(), None, Operator::Weight, 0).expect("weights"));
    let pass = cpu.prepare(&Pass { operators, gate: Gate::Mask, start: Start::One }).expect("fits");
    let pixels = random_pixels(1, 8, 8).repeat(2);
    let batch = Batch { images: 2, height: 8, width: 8, pixels: Pixels::Rgb8(&pixels) };
    let trace = cpu.forward(&batch).expect("runs");
    let results = trace.backward(pass, &[5, 1]);
    assert!(matches!(results[0], Err(BackendError::Target { target: 5, outputs: 5 })));
    let alone = trace.backward(pass, &[1, 1]);
    let values = |result: &Result<vggx::backend::Relevance, BackendError>| {
        result.as_ref().expect("runs").values.clone()
    };
    assert_eq!(values(&results[1]), values(&alone[0]));
}

#[test]
fn batches_that_cannot_run_are_refused() {
    let case = Case::new(random_vgg(67, 3, &[&[8], &[5]], None), ElementType::F32);
    let cpu = case.backend(1);
    let pixels = random_pixels(1, 8, 8);
    let batch = |images, height, width| Batch { images, height, width, pixels: Pixels::Rgb8(&pixels) };
    assert!(matches!(
        cpu.forward(&batch(2, 8, 8)),
        Err(BackendError::BatchSize { got: 192, expected: 384, .. })
    ));
    assert!(matches!(cpu.forward(&batch(1, 3, 64 / 3)), Err(BackendError::Network(_))));
    assert!(matches!(cpu.forward(&batch(1, 0, 0)), Err(BackendError::Network(_))));
    let floats: Vec<f32> = vec![0.0; 7];
    let wrong = Batch { images: 1, height: 8, width: 8, pixels: Pixels::Normalised(&floats) };
    assert!(matches!(cpu.forward(&wrong), Err(BackendError::BatchSize { got: 7, .. })));
}

/// A batch of no images is an easy mistake of a caller who skips broken files.
#[test]
fn images_of_other_sizes_are_refused() {
    let case = Case::new(random_vgg(69, 3, &[&[8]], None), ElementType::F32);
    let explainer = case.explainer(&[Method::Gradient], 1);
    let explain = |size, lengths: &[usize]| {
        let pixels: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let inputs: Vec<Input> = pixels.iter().map(|pixels| Input { pixels, key: None }).collect();
        match explainer.explain(size, &inputs, &Target::Top(1)) {
            Err(ExplainError::PixelCount { image, got, .. }) => (image, got),
            _ => unreachable!("{lengths:?} do not make images of {size:?}"),
        }
    };
    // Together they would be as long as two images.
    assert_eq!(explain((2, 3), &[17, 19]), (0, 17));
    assert_eq!(explain((2, 3), &[18, 19, 17]), (1, 19));
    assert_eq!(explain((usize::MAX, 3), &[18]), (0, 18));
}

#[test]
fn a_batch_without_images_gives_no_results() {
    for classifier in [None, Some((2, &[9, 5][..]))] {
        let case = Case::new(random_vgg(68, 3, &[&[8], &[17, 20]], classifier), ElementType::F32);
        let explainer = case.explainer(&Method::all(), 2);
        let results = explainer.explain((16, 16), &[], &Target::Top(1)).expect("nothing to fail");
        assert!(results.is_empty());
    }
}

/// Random bits instead of weights: whatever comes, the engine answers or says why, and never panics.
#[test]
fn extreme_weights_give_numbers_or_errors() {
    let mut random = Random::new(69);
    for round in 0..6 {
        let mut network = random_vgg(70 + round, 3, &[&[8, 16], &[17]], Some((2, &[6, 4])));
        for layer in &mut network.layers {
            if let ReferenceLayer::Convolution { weight, bias, .. }
            | ReferenceLayer::Dense { weight, bias, .. } = layer
            {
                for value in weight.iter_mut().chain(bias) {
                    let exponent = (random.uniform() * 250.0 - 140.0) as i32;
                    *value = f64::from((*value * 2f64.powi(exponent / (round as i32 + 1))) as f32);
                }
            }
        }
        let case = Case::new(network, ElementType::F32);
        let explainer = case.explainer(&Method::all(), 2);
        let pixels = random_pixels(round, 9, 11);
        let inputs = [Input { pixels: &pixels, key: None }];
        match explainer.explain((9, 11), &inputs, &Target::Top(1)).expect("a batch that can run").remove(0) {
            Ok(explained) => {
                assert!(explained.response.is_finite());
                for explanation in explained.explanations {
                    assert!(
                        explanation.values.iter().all(|value| value.is_finite()),
                        "{}",
                        explanation.method
                    );
                }
            }
            Err(error) => println!("round {round}: {error}"),
        }
    }
}

/// The reference network's layers are what the engine runs: a check on the tests' own plumbing.
#[test]
fn the_twins_have_the_same_layers() {
    let network: ReferenceNetwork = random_vgg(71, 3, &[&[4, 5], &[6]], Some((2, &[7, 8])));
    let case = Case::new(network, ElementType::F32);
    assert_eq!(case.weights.network().layers.len(), case.network.layers.len());
    for layer in case.network.parametric_layers() {
        let stored: Vec<f64> =
            case.weights.weight(layer.index).to_vec().iter().map(|&value| f64::from(value)).collect();
        assert_eq!(stored, layer.weight);
    }
}
