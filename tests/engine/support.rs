//! A network twice: in files for the engine, and in float64 for the reference; and images that both must agree on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use half::{bf16, f16};
use vggx::backend::cpu::Cpu;
use vggx::backend::{Backend, Batch, OperatorSource, Pixels};
use vggx::explain::{Estimator, Explained, Explainer, Input, Method, Operator, Operators, Target, on_cpu};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::Patterns;
use vggx::weights::{ElementType, NewTensor, Weights, write_tensors};

use crate::reference::{
    self, Random, ReferenceGate, ReferenceLayer, ReferenceNetwork, ReferenceStart, Trace,
};

/// Chooses the random estimator's directions.
pub const SEED: u64 = 5;
/// Subtracted from the pixels, in the network's order; with the divisor 64 the input is exact in float32.
const MEAN: [f64; 3] = [128.0, 127.0, 126.0];
const STD: f64 = 64.0;

/// A network in a safetensors file with patterns beside it, and the same numbers in float64.
pub struct Case {
    pub network: ReferenceNetwork,
    pub weights: Arc<Weights>,
    pub patterns: Arc<Patterns>,
    pub positive: Vec<Vec<f64>>,
    pub linear: Vec<Vec<f64>>,
    _folder: tempfile::TempDir,
}

impl Case {
    /// Random patterns as large as the weights: half of it w, which makes signals grow as real ones do.
    pub fn new(network: ReferenceNetwork, element: ElementType) -> Self {
        let mut random = Random::new(99);
        let mut pattern = |network: &ReferenceNetwork| {
            network.operators(|layer| {
                let deviation = (2.0 * layer.outputs as f64 / layer.weight.len() as f64).sqrt();
                let noise = random.normals(layer.weight.len(), deviation);
                layer
                    .weight
                    .iter()
                    .zip(noise)
                    .map(|(w, noise)| f64::from((0.5 * (w + noise)) as f32))
                    .collect()
            })
        };
        let (positive, linear) = (pattern(&network), pattern(&network));
        Self::with_patterns(network, element, positive, linear)
    }

    /// Rounds everything to `element`, writes it, opens it.
    pub fn with_patterns(
        mut network: ReferenceNetwork,
        element: ElementType,
        mut positive: Vec<Vec<f64>>,
        mut linear: Vec<Vec<f64>>,
    ) -> Self {
        for layer in &mut network.layers {
            if let ReferenceLayer::Convolution { weight, bias, .. }
            | ReferenceLayer::Dense { weight, bias, .. } = layer
            {
                round(weight, element);
                round(bias, element);
            }
        }
        positive.iter_mut().chain(&mut linear).for_each(|values| round(values, element));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let metadata: BTreeMap<String, String> = [
            ("channel_order", "\"bgr\"".to_owned()),
            ("pixel_scale", "255".to_owned()),
            ("mean", format!("{MEAN:?}")),
            ("std", format!("{:?}", [STD; 3])),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let mut tensors = Vec::new();
        let mut pattern_tensors = Vec::new();
        for (index, (name, shape, weight, bias)) in named(&network).into_iter().enumerate() {
            tensors.push(tensor(format!("{name}.weight"), &shape, weight, element));
            tensors.push(tensor(format!("{name}.bias"), &shape[..1], bias, element));
            pattern_tensors.push(tensor(format!("{name}.positive"), &shape, &positive[index], element));
            pattern_tensors.push(tensor(format!("{name}.linear"), &shape, &linear[index], element));
        }
        let path = folder.path().join("weights.safetensors");
        write_tensors(&path, &metadata, &tensors).expect("a writable folder");
        let weights = Arc::new(Weights::open(&path, &PreprocessingOverrides::default()).expect("a network"));
        let path = folder.path().join("patterns.safetensors");
        write_tensors(&path, &BTreeMap::new(), &pattern_tensors).expect("a writable folder");
        let patterns = Arc::new(Patterns::open(&path, &weights).expect("its patterns"));
        Case { network, weights, patterns, positive, linear, _folder: folder }
    }

    pub fn backend(&self, threads: usize) -> Cpu {
        backend(&self.weights, threads)
    }

    pub fn explainer(&self, methods: &[Method], threads: usize) -> Explainer {
        let patterns = Some(&self.patterns);
        Explainer::new(Box::new(self.backend(threads)), &self.weights, patterns, methods, None, SEED)
            .expect("every method can run")
    }

    /// The network's input that an image becomes, `[blue, green, red][height][width]`.
    pub fn input(pixels: &[u8]) -> Vec<f64> {
        (0..3)
            .flat_map(|channel| {
                pixels.chunks_exact(3).map(move |rgb| (f64::from(rgb[2 - channel]) - MEAN[channel]) / STD)
            })
            .collect()
    }

    /// The engine's random directions: only their numbers are taken from it, not what is made of them.
    pub fn random_directions(&self) -> Vec<Vec<f64>> {
        let operator = Operator::Direction(Estimator::Random);
        let source = Operators::new(self.weights.clone(), None, operator, SEED).expect("needs no patterns");
        self.network.operators(|layer| {
            let fan_in = layer.weight.len() / layer.outputs;
            let gain = 2f64.powi(source.gain_log2(layer.index));
            let mut row = vec![0.0; fan_in];
            (0..layer.outputs)
                .flat_map(|neuron| {
                    source.read(layer.index, neuron, 0, &mut row);
                    row.iter().map(|&value| f64::from(value) * gain).collect::<Vec<_>>()
                })
                .collect()
        })
    }

    /// A method as the table in the documentation has it; red, green, blue.
    pub fn expected(&self, method: Method, trace: &Trace, input: &[f64], target: usize) -> Vec<f64> {
        use ReferenceGate::{Both, Mask, Sign};
        use ReferenceStart::{One, Response};
        let network = &self.network;
        let run =
            |operators: &[Vec<f64>], gate, start| network.explain(trace, operators, gate, start, target);
        let weight = || network.operators(|layer| layer.weight.to_vec());
        let weighted = |patterns: &[Vec<f64>]| {
            network.operators(|layer| reference::pattern_attribution(layer, &patterns[layer.index]))
        };
        let mut planes = match method {
            Method::Gradient => run(&weight(), Mask, One),
            Method::DeconvNet => run(&weight(), Sign, One),
            Method::GuidedBackprop => run(&weight(), Both, One),
            Method::PatternNet | Method::Signal(Estimator::TwoComponent) => {
                run(&self.positive, Mask, Response)
            }
            Method::PatternAttribution | Method::Attribution(Estimator::TwoComponent) => {
                run(&weighted(&self.positive), Mask, Response)
            }
            Method::Signal(Estimator::Linear) => run(&self.linear, Mask, Response),
            Method::Attribution(Estimator::Linear) => run(&weighted(&self.linear), Mask, Response),
            Method::Signal(Estimator::Filter) => run(&network.operators(reference::filter), Mask, Response),
            Method::Attribution(Estimator::Filter) => {
                run(&network.operators(reference::filter_attribution), Mask, Response)
            }
            Method::Signal(Estimator::Random) => run(&self.random_directions(), Mask, Response),
            Method::Attribution(Estimator::Random) => {
                run(&weighted(&self.random_directions()), Mask, Response)
            }
            Method::Signal(Estimator::Identity) => input.to_vec(),
            Method::Attribution(Estimator::Identity) => {
                run(&weight(), Mask, One).iter().zip(input).map(|(gradient, x)| gradient * x).collect()
            }
        };
        // The networks take blue, green, red.
        let plane = planes.len() / 3;
        let (blue, rest) = planes.split_at_mut(plane);
        blue.swap_with_slice(&mut rest[plane..]);
        planes
    }
}

/// The engine on weights in a file.
pub fn backend(weights: &Arc<Weights>, threads: usize) -> Cpu {
    on_cpu(weights, threads).expect("a VGG")
}

/// torchvision's name, shape, weight and bias of a layer.
type NamedLayer<'a> = (String, Vec<usize>, &'a [f64], &'a [f64]);

/// Every layer that has weights.
fn named(network: &ReferenceNetwork) -> Vec<NamedLayer<'_>> {
    let (mut feature, mut dense) = (0, 0);
    let mut layers = Vec::new();
    for layer in &network.layers {
        match layer {
            ReferenceLayer::Convolution { inputs, outputs, weight, bias } => {
                let name = format!("features.{feature}");
                layers.push((name, vec![*outputs, *inputs, 3, 3], weight.as_slice(), bias.as_slice()));
                feature += 2;
            }
            ReferenceLayer::MaxPool => feature += 1,
            ReferenceLayer::AdaptiveAveragePool { .. } => {}
            ReferenceLayer::Dense { inputs, outputs, weight, bias, .. } => {
                let name = format!("classifier.{dense}");
                layers.push((name, vec![*outputs, *inputs], weight.as_slice(), bias.as_slice()));
                dense += 3;
            }
        }
    }
    layers
}

fn round(values: &mut [f64], element: ElementType) {
    for value in values {
        *value = match element {
            ElementType::F32 => f64::from(*value as f32),
            ElementType::F16 => f16::from_f64(*value).to_f64(),
            ElementType::Bf16 => bf16::from_f64(*value).to_f64(),
        };
    }
}

/// `values` are exact in `element`.
fn tensor(name: String, shape: &[usize], values: &[f64], element: ElementType) -> NewTensor<'static> {
    let bytes: Vec<u8> = match element {
        ElementType::F32 => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
        ElementType::F16 => values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect(),
        ElementType::Bf16 => values.iter().flat_map(|&value| bf16::from_f64(value).to_le_bytes()).collect(),
    };
    NewTensor { name, element, shape: shape.to_vec(), bytes: Cow::Owned(bytes) }
}

/// Uniform random bytes.
pub fn random_pixels(seed: u64, height: usize, width: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..height * width * 3).map(|_| (random.next_u64() >> 56) as u8).collect()
}

/// An image whose left half is one grey: flat areas make positions repeat their neighbours.
pub fn half_flat_pixels(seed: u64, height: usize, width: usize) -> Vec<u8> {
    let mut pixels = random_pixels(seed, height, width);
    for row in pixels.chunks_exact_mut(width * 3) {
        row[..width / 2 * 3].fill(97);
    }
    pixels
}

/// Images whose every mask and argmax float32 must decide as float64 does.
///
/// One neuron in 1e5 lies within 1e-5 of its threshold, and a flipped one moves the cosine by up to 1e-5 although
/// nothing is wrong. So images are drawn until the reference finds all its decisions further from the threshold than
/// float32 errs: a layer's rounding is about 1e-6 of its root mean square (Winograd at 256 channels) and accumulates
/// with the square root of the depth, 4e-6 in the 16th, where a map holds few values; 5e-6 leaves 4 standard
/// deviations in the large early layers. The choice does not ask the engine.
pub fn decisive_images(
    network: &ReferenceNetwork,
    (height, width): (usize, usize),
    count: usize,
    seed: u64,
) -> Vec<(Vec<u8>, Trace)> {
    let images: Vec<_> = (0..40 * count as u64 + 40)
        .map(|draw| random_pixels(seed.wrapping_mul(1_000_003).wrapping_add(draw), height, width))
        .map(|pixels| {
            let trace = network.forward(&Case::input(&pixels), height, width);
            (pixels, trace)
        })
        .filter(|(_, trace)| closest_decision(trace) > 5e-6)
        .take(count)
        .collect();
    assert_eq!(images.len(), count, "too few images whose masks float32 can tell");
    images
}

/// The smallest |z| of a ReLU or gap between a window's two largest values, over the layer's root mean square.
fn closest_decision(trace: &Trace) -> f64 {
    let mut closest = f64::INFINITY;
    for (index, layer) in trace.layers.iter().enumerate() {
        let gaps = if !layer.argmax.is_empty() {
            window_gaps(&trace.layers[index - 1].output, trace.layers[index - 1].shape)
        } else if !layer.mask.is_empty() {
            layer.pre_activation.iter().map(|z| z.abs()).collect()
        } else {
            continue;
        };
        let decided = if layer.argmax.is_empty() { layer } else { &trace.layers[index - 1] };
        let scale = reference::norm(&decided.pre_activation) / (decided.pre_activation.len() as f64).sqrt();
        closest = gaps.into_iter().fold(closest, |closest, gap| closest.min(gap / scale));
    }
    closest
}

/// Gaps of windows that hold something positive; the others go to their first position in any arithmetic.
fn window_gaps(map: &[f64], [channels, height, width]: [usize; 3]) -> Vec<f64> {
    let mut gaps = Vec::new();
    for c in 0..channels {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let mut window = [0, 1, 2, 3]
                    .map(|place| map[(c * height + 2 * y + place / 2) * width + 2 * x + place % 2]);
                window.sort_by(f64::total_cmp);
                if window[3] > 0.0 {
                    gaps.push(window[3] - window[2]);
                }
            }
        }
    }
    gaps
}

/// Explains a batch; every image must succeed.
pub fn explain(
    explainer: &Explainer,
    size: (usize, usize),
    images: &[&[u8]],
    target: &Target,
) -> Vec<Explained> {
    let inputs: Vec<Input> = images.iter().map(|pixels| Input { pixels, key: None }).collect();
    let results = explainer.explain(size, &inputs, target).expect("a batch that can run");
    results.into_iter().map(|result| result.expect("an image that can be explained")).collect()
}

/// Responses of every image of a batch.
pub fn responses(backend: &dyn Backend, (height, width): (usize, usize), images: &[&[u8]]) -> Vec<Vec<f32>> {
    let pixels = images.concat();
    let batch = Batch { images: images.len(), height, width, pixels: Pixels::Rgb8(&pixels) };
    let trace = backend.forward(&batch).expect("a batch that can run");
    (0..images.len())
        .map(|image| {
            assert!(trace.failure(image).is_none());
            trace.responses(image).to_vec()
        })
        .collect()
}
