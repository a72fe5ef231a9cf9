//! Moments of a layer: all kernels one after another, against plain sums in float64 over the same x and z.

use vggx::backend::cuda::params::{VggxMomentInputs, VggxMomentMaps, VggxMomentResponses, VggxMoments};

use crate::support::{Buffer, Element, Gpu, Random, gpu, padded, power_of_two};

/// Images, rows, columns.
pub type Extents = (usize, usize, usize);
/// Of the input and of the output, before padding.
pub type Channels = (usize, usize);

/// A layer's maps, in stored units; every value is exact in the element type.
pub struct Layer {
    pub element: Element,
    pub images: usize,
    pub height: usize,
    pub width: usize,
    /// Padded; 3 for an image.
    pub channels: usize,
    pub outputs: usize,
    taps: usize,
    input: Vec<f64>,
    input_exponents: Vec<i32>,
    z: Vec<f64>,
    z_exponents: Vec<i32>,
    pub counted: Vec<u32>,
    bias: Vec<f64>,
}

/// How the work is split.
#[derive(Clone, Copy, Debug)]
struct Split {
    chunk_positions: usize,
    slice_positions: usize,
    stages: usize,
}

const WHOLE: Split = Split { chunk_positions: 4096, slice_positions: 4096, stages: 4 };
const FINE: Split = Split { chunk_positions: 128, slice_positions: 17, stages: 3 };

/// How the products are made, once all that they need is there.
pub struct Products<'a> {
    pub chunks: usize,
    /// Whether chunks go to partials, which are added behind.
    pub partials: bool,
    /// Makes them.
    pub launch: &'a dyn Fn(&VggxMoments),
}

/// All that the kernels leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    batch_inputs: Vec<f64>,
    inputs: Vec<f64>,
    pilots: Vec<f32>,
    counts: Vec<f64>,
    /// Count, y, y² of the positive regime, y, y² of the negative one.
    responses: [Vec<f64>; 5],
    /// Σ₊x, Σ₊xy, Σ₋xy, \[fan-in, outputs\].
    pub products: [Vec<f64>; 3],
}

impl Layer {
    /// Activations as behind a ReLU, with an offset; pre-activations with offsets of either sign that follow the input
    /// in part. Images differ in their exponents, and of three or more images one does not count.
    pub fn new(
        element: Element,
        seed: u64,
        (images, height, width): Extents,
        (real_channels, real_outputs): Channels,
        taps: usize,
    ) -> Self {
        let mut random = Random::new(seed);
        let channels = if real_channels == 3 { 3 } else { padded(real_channels) };
        let outputs = padded(real_outputs);
        let positions = images * height * width;
        let (mut input, mut z) = (vec![0.0; positions * channels], vec![0.0; positions * outputs]);
        let offsets: Vec<f64> = (0..real_outputs).map(|_| 3.0 * random.normal()).collect();
        for position in 0..positions {
            let image = position / (height * width);
            // Of an image that does not count, anything finite.
            let scale = power_of_two(8 - image as i32 % 3) * if image == 1 { 3.0 } else { 1.0 };
            let row = &mut input[position * channels..][..real_channels];
            for value in row.iter_mut() {
                let normal = random.normal() + 0.8;
                *value = element.round(if normal < 0.0 { 0.0 } else { normal * scale });
            }
            let common = row.iter().sum::<f64>() / (scale * (real_channels as f64).sqrt());
            for (value, offset) in z[position * outputs..].iter_mut().zip(&offsets) {
                *value = element.round((random.normal() + common + offset) * scale);
            }
        }
        let mut bias = vec![0.0; outputs];
        for value in &mut bias[..real_outputs] {
            *value = f64::from((random.normal() * 0.3) as f32);
        }
        // The image that does not count must not set the exponents for the others.
        let pattern = |exponents: [i32; 4], excluded: i32| -> Vec<i32> {
            (0..images).map(|image| if image == 1 { excluded } else { exponents[image % 4] }).collect()
        };
        Layer {
            element,
            images,
            height,
            width,
            channels,
            outputs,
            taps,
            input,
            input_exponents: pattern([-9, -10, -6, -16], if images < 3 { -8 } else { 30 }),
            z,
            z_exponents: pattern([-11, -12, -15, -10], if images < 3 { -13 } else { 20 }),
            counted: (0..images).map(|image| u32::from(images < 3 || image != 1)).collect(),
            bias,
        }
    }

    fn positions(&self) -> usize {
        self.images * self.height * self.width
    }

    fn is_image(&self) -> bool {
        self.channels == 3
    }

    /// Rows of the products.
    fn fan_in(&self) -> usize {
        if self.is_image() { 32 } else { self.taps * self.channels }
    }

    fn counts(&self, position: usize) -> bool {
        self.counted[position / (self.height * self.width)] != 0
    }

    /// The patch at a position, in true units.
    fn patch(&self, position: usize) -> Vec<f64> {
        let image = position / (self.height * self.width);
        let (y, x) = (position / self.width % self.height, position % self.width);
        let power = power_of_two(self.input_exponents[image]);
        let mut patch = vec![0.0; self.fan_in()];
        for tap in 0..self.taps {
            let (v, u) = if self.taps == 1 { (y + 1, x + 1) } else { (y + tap / 3, x + tap % 3) };
            if v < 1 || u < 1 || v > self.height || u > self.width {
                continue;
            }
            let from = ((image * self.height + v - 1) * self.width + u - 1) * self.channels;
            for channel in 0..self.channels {
                patch[tap * self.channels + channel] = self.input[from + channel] * power;
            }
        }
        patch
    }

    /// z at a position, in stored units, and their power of two.
    fn z_of(&self, position: usize) -> (&[f64], f64) {
        let power = power_of_two(self.z_exponents[position / (self.height * self.width)]);
        (&self.z[position * self.outputs..][..self.outputs], power)
    }

    /// The largest exponents of the images that count.
    fn common(&self) -> (i32, i32) {
        let largest = |exponents: &[i32]| {
            let counted = exponents.iter().zip(&self.counted).filter(|(_, counted)| **counted != 0);
            counted.map(|(&exponent, _)| exponent).max().unwrap_or(0)
        };
        (largest(&self.input_exponents), largest(&self.z_exponents))
    }
}

/// A layer on the device, with accumulators that hold something already.
struct Uploaded {
    maps: VggxMomentMaps,
    bias: Buffer,
    _buffers: Vec<Buffer>,
    common: Buffer,
}

impl Uploaded {
    fn new(gpu: &Gpu, layer: &Layer) -> Self {
        let input = gpu.upload_elements(layer.element, &layer.input);
        let z = gpu.upload_elements(layer.element, &layer.z);
        let (input_exponent, z_exponent) =
            (gpu.upload(&layer.input_exponents), gpu.upload(&layer.z_exponents));
        let counted = gpu.upload(&layer.counted);
        let factors = gpu.poisoned(2 * 4 * layer.images);
        let common = gpu.poisoned(4 * 4);
        let maps = VggxMomentMaps {
            input: input.address(),
            input_exponent: input_exponent.address(),
            pre_activation: z.address(),
            pre_activation_exponent: z_exponent.address(),
            counted: counted.address(),
            factors: factors.address(),
            common: common.address(),
            images: layer.images as i32,
            height: layer.height as i32,
            width: layer.width as i32,
            channels: layer.channels as i32,
            outputs: layer.outputs as i32,
            taps: layer.taps as i32,
        };
        let bias = gpu.upload_elements(Element::F32, &layer.bias);
        let buffers = vec![input, z, input_exponent, z_exponent, counted, factors];
        Uploaded { maps, bias, _buffers: buffers, common }
    }
}

/// Rounded up as shared memory is handed out.
fn lines(bytes: usize) -> usize {
    bytes.next_multiple_of(128)
}

/// As params.h says.
fn shared_bytes(layer: &Layer, stages: usize) -> usize {
    let element = layer.element.bytes();
    if layer.is_image() {
        return 128 * (32 + 64) * element + 128 * 8 + 128 * element;
    }
    let positions = 128 / element;
    let rows = if layer.taps == 9 { positions + 2 } else { 3 * positions };
    lines(stages * (rows + positions) * 64 * element)
        + lines(stages * positions * 8)
        + lines(stages * positions * element)
        + lines(stages * positions)
        + lines(64 * element)
}

/// What accumulators hold at first: `count` numbers that continue a sequence.
pub fn held(count: usize) -> Vec<f64> {
    (0..count).map(|at| (at % 17) as f64 - 5.0).collect()
}

/// Runs all kernels as the engine does, the products by the portable ones.
fn run(gpu: &Gpu, layer: &Layer, split: Split) -> Sums {
    let groups = layer.channels.div_ceil(64);
    let chunks = layer.positions().div_ceil(split.chunk_positions);
    let (name, tiles, threads) = match (layer.is_image(), layer.taps) {
        (true, _) => ("moments_image", 1, 128),
        (false, 9) => ("moments_convolution", 3 * groups, 384),
        _ => ("moments_dense", layer.channels.div_ceil(192), 384),
    };
    let launch = |parameters: &VggxMoments| {
        let parameters = VggxMoments {
            chunk_positions: split.chunk_positions as i32,
            stages: split.stages as i32,
            ..*parameters
        };
        let blocks = chunks * tiles * (layer.outputs / 64);
        let shared = shared_bytes(layer, split.stages);
        gpu.launch(&layer.element.kernel(name), [blocks, 1, 1], threads, shared, &parameters);
    };
    run_by(gpu, layer, split.slice_positions, &Products { chunks, partials: chunks > 1, launch: &launch })
}

/// Runs all kernels as the engine does.
pub fn run_by(gpu: &Gpu, layer: &Layer, slice_positions: usize, how: &Products) -> Sums {
    let Uploaded { maps, bias, _buffers, common } = Uploaded::new(gpu, layer);
    let kernel = |name: &str| layer.element.kernel(name);
    gpu.launch("moment_factors", [1, 1, 1], 32, 0, &maps);
    let (input_exponent, z_exponent) = layer.common();
    let counted = layer.counted.iter().filter(|counted| **counted != 0).count() as i32;
    assert_eq!(gpu.download::<i32>(&common), [input_exponent, z_exponent, counted, 0]);

    let (fan_in, outputs) = (layer.fan_in(), layer.outputs);
    let taps = layer.taps * layer.channels;
    let slices = layer.positions().div_ceil(slice_positions);
    let regions = if layer.taps == 9 { 9 } else { 1 };
    let partials = gpu.poisoned(8 * regions * slices * layer.channels);
    let (batch_inputs, inputs) = (gpu.poisoned(8 * taps), gpu.upload(&held(taps)));
    let parameters = VggxMomentInputs {
        maps,
        partials: partials.address(),
        batch_sums: batch_inputs.address(),
        sums: inputs.address(),
        slice_positions: slice_positions as i32,
        slices: slices as i32,
    };
    let name = kernel(if layer.is_image() { "moment_inputs_image" } else { "moment_inputs" });
    let groups = layer.channels.div_ceil(64);
    gpu.launch(&name, [slices, groups, regions], 256, 8 * 64 * 8, &parameters);
    gpu.launch("moment_inputs_taps", [layer.channels.div_ceil(8), 1, 1], 256, 0, &parameters);

    let partials = [3, 4].map(|count| gpu.poisoned(8 * count * slices * outputs));
    let (pilots, counts) = (gpu.poisoned(4 * 2 * outputs), gpu.poisoned(8 * outputs));
    let responses = [(); 5].map(|()| gpu.upload(&held(outputs)));
    let [positive_count, positive_y, positive_yy, negative_y, negative_yy] =
        responses.each_ref().map(Buffer::address);
    let mut parameters = VggxMomentResponses {
        maps,
        bias: bias.address(),
        partials: partials[0].address(),
        pilots: pilots.address(),
        counts: counts.address(),
        positive_count,
        positive_y,
        positive_yy,
        negative_y,
        negative_yy,
        slice_positions: slice_positions as i32,
        slices: slices as i32,
    };
    let (of_slices, of_neurons) = ([slices, outputs / 64, 1], [outputs.div_ceil(8), 1, 1]);
    gpu.launch(&kernel("moment_regimes"), of_slices, 256, 8 * 3 * 64 * 8, &parameters);
    gpu.launch(&kernel("moment_pilots"), of_neurons, 256, 0, &parameters);
    parameters.partials = partials[1].address();
    gpu.launch(&kernel("moment_deviations"), of_slices, 256, 8 * 4 * 64 * 8, &parameters);
    gpu.launch("moment_responses", of_neurons, 256, 0, &parameters);

    let partials = gpu.poisoned(if how.partials { 4 * how.chunks * 3 * fan_in * outputs } else { 0 });
    let products = [(); 3].map(|()| gpu.upload(&held(fan_in * outputs)));
    // The kernels read a sum for every row, also where a fan-in is padded.
    let mut sums: Vec<f64> = gpu.download(&batch_inputs);
    sums.resize(fan_in, 0.0);
    let input_sums = gpu.upload(&sums);
    let parameters = VggxMoments {
        maps,
        bias: bias.address(),
        pilots: pilots.address(),
        counts: counts.address(),
        input_sums: input_sums.address(),
        partials: partials.address(),
        positive_x: products[0].address(),
        positive_xy: products[1].address(),
        negative_xy: products[2].address(),
        chunks: how.chunks as i32,
        ..VggxMoments::default()
    };
    (how.launch)(&parameters);
    if how.partials {
        gpu.launch("moments_flush", [(fan_in * outputs).div_ceil(256), 1, 1], 256, 0, &parameters);
    }
    Sums {
        batch_inputs: gpu.download(&batch_inputs),
        inputs: gpu.download(&inputs),
        pilots: gpu.download(&pilots),
        counts: gpu.download(&counts),
        responses: responses.map(|buffer| gpu.download(&buffer)),
        products: products.map(|buffer| gpu.download(&buffer)),
    }
}

/// A sum and the sum of its terms' magnitudes.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    magnitude: f64,
}

impl Sum {
    fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
    }
}

/// `got`, which held something before, against a sum; `relative` of the magnitudes may be lost, and a float64's bits.
#[track_caller]
fn close(what: &str, got: &[f64], held: &[f64], want: &[Sum], relative: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, ((&got, &held), want)) in got.iter().zip(held).zip(want).enumerate() {
        let allowed = relative * want.magnitude + 1e-12 * (held.abs() + want.magnitude);
        let error = (got - held - want.value).abs();
        assert!(error <= allowed, "{what} {at}: off by {error:e} > {allowed:e} from {}", want.value);
    }
}

/// What float32 sums may lose of the magnitude of their terms. Of 4096 positions one after another a plain kernel adds n ≤ 4096
/// terms, each rounding 2⁻²⁴ of a partial sum: at random √n, taken four times. Tensor cores add 16 at a time, but truncate: the
/// design's 2⁻¹⁸.
fn float_sums(element: Element, positions: usize) -> f64 {
    match element {
        Element::F32 => 4.0 * (positions.min(4096) as f64).sqrt().max(4.0) * power_of_two(-24),
        _ => power_of_two(-18),
    }
}

/// Everything against sums of the same x and z.
pub fn check(layer: &Layer, got: &Sums, what: &str) {
    let (fan_in, outputs) = (layer.fan_in(), layer.outputs);
    let (_, z_exponent) = layer.common();
    let z_unit = power_of_two(z_exponent);
    let zeros = |count: usize| vec![Sum::default(); count];
    let mut inputs = zeros(fan_in);
    let mut counts = vec![0.0; outputs];
    let mut all = 0.0;
    // Of the regimes: z, and y and y² as g stands for them, and as they are.
    let mut of_z = [zeros(outputs), zeros(outputs)];
    let mut of_y: [[Vec<Sum>; 2]; 2] = Default::default();
    let mut exact_y = [zeros(outputs), zeros(outputs)];
    of_y.iter_mut().flatten().for_each(|sums| *sums = zeros(outputs));
    let mut sums_x = [zeros(fan_in * outputs), zeros(fan_in * outputs)];
    let mut xy = [zeros(fan_in * outputs), zeros(fan_in * outputs)];
    let mut exact_xy = [zeros(fan_in * outputs), zeros(fan_in * outputs)];
    // Bounds of the errors of xy, beside float64's.
    let mut bounds = [vec![0.0; fan_in * outputs], vec![0.0; fan_in * outputs]];
    let lost = float_sums(layer.element, layer.positions());
    // Operands below the largest image's are subnormal at some point, and so is what is rounded.
    let quantum = layer.element.quantum() / 2.0;
    let (input_exponent, _) = layer.common();
    for position in (0..layer.positions()).filter(|&position| layer.counts(position)) {
        let patch = layer.patch(position);
        let (z, power) = layer.z_of(position);
        let image = position / (layer.height * layer.width);
        let below = power_of_two(input_exponent - layer.input_exponents[image]);
        all += 1.0;
        patch.iter().zip(&mut inputs).for_each(|(&x, sum)| sum.add(x));
        for output in 0..outputs {
            let regime = usize::from(z[output] <= 0.0);
            let pilot = got.pilots[regime * outputs + output];
            // As the kernels round: once in the multiply-add, once to the element.
            let factor = (power / z_unit) as f32;
            let half = (z[output] as f32).mul_add(0.5 * factor, -(pilot * 0.5));
            let g = 2.0 * layer.element.round(f64::from(half)) * z_unit;
            let offset = f64::from(pilot) * z_unit - layer.bias[output];
            let (y, exact) = (g + offset, z[output] * power - layer.bias[output]);
            counts[output] += f64::from(u8::from(regime == 0));
            of_z[regime][output].add(z[output] * power);
            of_y[regime][0][output].add(y);
            of_y[regime][1][output].add(y * y);
            exact_y[regime][output].add(exact);
            for (row, &x) in patch.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                let at = row * outputs + output;
                sums_x[regime][at].add(x);
                xy[regime][at].add(x * y);
                exact_xy[regime][at].add(x * exact);
                bounds[regime][at] += lost * (x * g).abs() + (x * below).abs() * 2.0 * quantum * z_unit;
            }
        }
    }
    // Σx of the regime that has fewer positions, in float32; the other one is what it leaves.
    let lost_x: Vec<f64> = (0..fan_in * outputs)
        .map(|at| lost * sums_x[usize::from(2.0 * counts[at % outputs] > all)][at].magnitude)
        .collect();
    // In both regimes it is multiplied with an offset.
    for (regime, bounds) in bounds.iter_mut().enumerate() {
        for (at, bound) in bounds.iter_mut().enumerate() {
            let output = at % outputs;
            let pilot = f64::from(got.pilots[regime * outputs + output]) * z_unit;
            *bound += lost_x[at] * (pilot - layer.bias[output]).abs();
        }
    }
    let taps = layer.taps * layer.channels;
    inputs.truncate(taps);
    // Taps are what the map's borders leave of a channel's sum.
    for channel in 0..layer.channels {
        let of_channel = (channel..taps).step_by(layer.channels);
        let most = of_channel.clone().map(|at| inputs[at].magnitude).fold(0.0, f64::max);
        of_channel.for_each(|at| inputs[at].magnitude = most);
    }
    close(&format!("{what}: Σx of the batch"), &got.batch_inputs, &vec![0.0; taps], &inputs, 0.0);
    close(&format!("{what}: Σx"), &got.inputs, &held(taps), &inputs, 0.0);
    assert_eq!(got.counts, counts, "{what}: positive positions");
    for (regime, sums) in of_z.iter().enumerate() {
        for (output, sum) in sums.iter().enumerate() {
            let count = if regime == 0 { counts[output] } else { all - counts[output] };
            let mean = if count > 0.0 { sum.value / count / z_unit } else { 0.0 };
            let pilot = f64::from(got.pilots[regime * outputs + output]);
            let allowed = 1.1 * layer.element.relative() * mean.abs() + layer.element.quantum();
            assert!((pilot - mean).abs() <= allowed, "{what}: pilot {pilot} of mean {mean}");
        }
    }
    let held_counts: Vec<f64> = held(outputs).iter().zip(&counts).map(|(a, b)| a + b).collect();
    assert_eq!(got.responses[0], held_counts, "{what}: count");
    for (regime, [y, yy]) in of_y.iter().enumerate() {
        close(&format!("{what}: Σy of {regime}"), &got.responses[1 + 2 * regime], &held(outputs), y, 0.0);
        close(&format!("{what}: Σy² of {regime}"), &got.responses[2 + 2 * regime], &held(outputs), yy, 0.0);
    }
    let before = held(fan_in * outputs);
    for (at, (positive, lost)) in sums_x[0].iter().zip(&lost_x).enumerate() {
        let error = (got.products[0][at] - before[at] - positive.value).abs();
        let magnitude = positive.magnitude + sums_x[1][at].magnitude;
        let allowed = lost + 1e-12 * (before[at].abs() + magnitude);
        assert!(error <= allowed, "{what}: Σ₊x {at}: off by {error:e} > {allowed:e}");
    }
    for (regime, (sums, bounds)) in xy.iter().zip(&bounds).enumerate() {
        for (at, (sum, bound)) in sums.iter().zip(bounds).enumerate() {
            let error = (got.products[1 + regime][at] - before[at] - sum.value).abs();
            let allowed = bound + 1e-12 * (before[at].abs() + sum.magnitude);
            assert!(error <= allowed, "{what}: Σxy of {regime} {at}: off by {error:e} > {allowed:e}");
        }
    }
    for regime in 0..2 {
        for output in 0..outputs {
            let count = if regime == 0 { counts[output] } else { all - counts[output] };
            if count < 8.0 || of_z[regime][output].magnitude == 0.0 {
                continue;
            }
            let y = got.responses[1 + 2 * regime][output] - before[output];
            let covariances = |xy: &dyn Fn(usize) -> f64, x: &dyn Fn(usize) -> f64, y: f64| -> Vec<f64> {
                let at = |row: usize| row * outputs + output;
                (0..taps).map(|row| xy(at(row)) - x(at(row)) * y / count).collect()
            };
            let sum_x = |at: usize| {
                let positive = got.products[0][at] - before[at];
                if regime == 0 { positive } else { got.batch_inputs[at / outputs] - positive }
            };
            let exact_x = |at: usize| {
                let positive = sums_x[0][at].value;
                if regime == 0 { positive } else { inputs[at / outputs].value - positive }
            };
            let ours = covariances(&|at| got.products[1 + regime][at] - before[at], &sum_x, y);
            let exact =
                covariances(&|at| exact_xy[regime][at].value, &exact_x, exact_y[regime][output].value);
            let apart = 1.0 - cosine(&ours, &exact);
            // A value of z − c is off by 2^-13 of itself in the root mean square, independently of x, and the covariance of
            // noise with x is smaller than that with z by this or more: half its square is 1e-8. bfloat16: 64 times as much.
            let allowed = if layer.element == Element::Bf16 { 64e-6 } else { 1e-6 };
            assert!(
                apart <= allowed,
                "{what}: covariance of neuron {output}, regime {regime}: 1 − cosine {apart:e}"
            );
        }
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

fn agrees(element: Element, seed: u64, extents: Extents, channels: Channels, taps: usize) {
    let layer = Layer::new(element, seed, extents, channels, taps);
    for split in [WHOLE, FINE] {
        let what = format!("{element:?} {extents:?} {channels:?}, {taps} taps, {split:?}");
        check(&layer, &run(gpu(), &layer, split), &what);
    }
}

/// One of everything, odd extents, batches that fill no stage, several groups of channels and of neurons.
const SHAPES: [(Extents, Channels); 6] = [
    ((1, 1, 1), (64, 64)),
    ((1, 7, 13), (64, 64)),
    ((5, 5, 4), (20, 70)),
    ((33, 2, 2), (64, 64)),
    ((2, 9, 16), (128, 64)),
    ((33, 3, 1), (64, 10)),
];

fn convolutions_agree(element: Element) {
    for (index, (extents, channels)) in SHAPES.into_iter().enumerate() {
        agrees(element, 100 + index as u64, extents, channels, 9);
    }
}

#[test]
fn moments_of_convolutions_f16() {
    convolutions_agree(Element::F16);
}

#[test]
fn moments_of_convolutions_bf16() {
    convolutions_agree(Element::Bf16);
}

#[test]
fn moments_of_convolutions_f32() {
    convolutions_agree(Element::F32);
}

#[test]
fn float32_sums_end_after_4096_positions() {
    for element in Element::ALL {
        let layer = Layer::new(element, 130, (3, 40, 37), (20, 64), 9);
        check(&layer, &run(gpu(), &layer, WHOLE), &format!("{element:?}, 4440 positions"));
    }
}

fn dense_layers_agree(element: Element) {
    for (index, (images, channels)) in
        [(1, (64, 64)), (33, (200, 10)), (7, (450, 130)), (130, (64, 64))].into_iter().enumerate()
    {
        agrees(element, 140 + index as u64, (images, 1, 1), channels, 1);
    }
}

#[test]
fn moments_of_dense_layers_f16() {
    dense_layers_agree(Element::F16);
}

#[test]
fn moments_of_dense_layers_bf16() {
    dense_layers_agree(Element::Bf16);
}

#[test]
fn moments_of_dense_layers_f32() {
    dense_layers_agree(Element::F32);
}

fn images_agree(element: Element) {
    for (index, (extents, outputs)) in
        [((1, 1, 1), 64), ((1, 7, 13), 64), ((4, 16, 11), 8), ((33, 2, 3), 70)].into_iter().enumerate()
    {
        agrees(element, 150 + index as u64, extents, (3, outputs), 9);
    }
}

#[test]
fn moments_of_first_layers_f16() {
    images_agree(Element::F16);
}

#[test]
fn moments_of_first_layers_bf16() {
    images_agree(Element::Bf16);
}

#[test]
fn moments_of_first_layers_f32() {
    images_agree(Element::F32);
}

#[test]
fn moments_are_the_same_bits_in_every_order() {
    for element in Element::ALL {
        for (extents, channels, taps) in
            [((3, 7, 13), (64, 64), 9), ((33, 1, 1), (200, 10), 1), ((2, 7, 9), (3, 64), 9)]
        {
            let layer = Layer::new(element, 160, extents, channels, taps);
            for split in [WHOLE, FINE] {
                let what = format!("{element:?} {extents:?}, {taps} taps, {split:?}");
                gpu().in_every_order(&what, || run(gpu(), &layer, split));
            }
        }
    }
}

#[test]
fn a_batch_in_which_no_image_counts_adds_nothing() {
    for element in Element::ALL {
        let mut layer = Layer::new(element, 170, (2, 5, 4), (64, 64), 9);
        layer.counted.fill(0);
        let got = run(gpu(), &layer, WHOLE);
        assert_eq!(got.inputs, held(9 * 64));
        assert!(got.responses.iter().all(|sums| *sums == held(64)));
        assert!(got.products.iter().all(|sums| *sums == held(9 * 64 * 64)));
    }
}
