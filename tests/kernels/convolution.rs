//! Convolutions and dense layers with all their epilogues: tensor-core and plain kernels, every tile, forward and backward.

use vggx::backend::cuda::params::{
    VGGX_BELOW_NOTHING, VGGX_BELOW_POOL, VGGX_BELOW_RECTIFIER, VGGX_GATE_MASK, VGGX_GATE_SIGN,
    VGGX_IMAGE_DEPTH, VGGX_LINEAR, VGGX_RECTIFY, VGGX_RECTIFY_POOL, VGGX_STORED_LOG2, VggxBelow,
    VggxConvolutionBackward, VggxConvolutionForward, VggxOperand,
};

use crate::host_driver;
use crate::support::{
    Buffer, Element, Gpu, Random, Scale, gpu, pack_argmax, pack_mask, padded, power_of_two, random_argmax,
    random_mask, word_and_place,
};

/// A tile of the matrix product.
#[derive(Clone, Copy, Debug)]
struct Tile {
    name: &'static str,
    rows: usize,
    columns: usize,
}

const NARROW: Tile = Tile { name: "256x64", rows: 256, columns: 64 };
const SQUARE: Tile = Tile { name: "128x128", rows: 128, columns: 128 };
const WIDE: Tile = Tile { name: "128x256", rows: 128, columns: 256 };

impl Tile {
    fn all(element: Element) -> &'static [Tile] {
        if element == Element::F32 { &[NARROW, SQUARE] } else { &[NARROW, SQUARE, WIDE] }
    }

    fn threads(self) -> u32 {
        (self.rows * self.columns / 128) as u32
    }

    fn grid(self, rows: usize, outputs: usize) -> [usize; 3] {
        [rows.div_ceil(self.rows) * outputs.div_ceil(self.columns), 1, 1]
    }

    /// As params.h says.
    fn shared(self, element: Element, stages: usize) -> usize {
        let ring = stages * (self.rows + self.columns) * 64;
        let staging = self.rows * self.columns * element.bytes();
        ring.max(staging) + self.rows * 16
    }
}

/// The operand side in float64; every value is exact in the element type.
pub struct Operand {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    /// Of the input, padded; 3 for an image.
    pub channels: usize,
    pub outputs: usize,
    pub taps: usize,
    /// \[images, height, width, channels\], stored units.
    pub input: Vec<f64>,
    pub exponents: Vec<i32>,
    /// \[outputs, taps, channels\], stored units.
    pub operator: Vec<f64>,
    pub gain: i32,
    pub bias: Vec<f64>,
}

/// What a sum should be, and how large its terms are.
#[derive(Clone, Copy, Default)]
struct Sum {
    /// In true units.
    value: f64,
    /// Sum of the magnitudes of the terms, the bias included, in true units.
    magnitude: f64,
}

impl Operand {
    /// Random values; `real_channels` and `real_outputs` are followed by padding of zeros. Images differ in scale, and one of three
    /// images or more is black.
    pub fn new(
        element: Element,
        seed: u64,
        (images, height, width): (usize, usize, usize),
        (real_channels, real_outputs): (usize, usize),
        taps: usize,
    ) -> Self {
        let mut random = Random::new(seed);
        let image = real_channels == 3;
        let channels = if image { 3 } else { padded(real_channels) };
        let outputs = padded(real_outputs);
        let mut input = vec![0.0; images * height * width * channels];
        let mut exponents = Vec::new();
        for (n, map) in input.chunks_exact_mut((height * width * channels).max(1)).enumerate() {
            let scale = if images >= 3 && n == 1 { 0.0 } else { power_of_two(n as i32 % 7 - 3) };
            for position in map.chunks_exact_mut(channels) {
                for value in &mut position[..real_channels] {
                    // A third of the activations is zero, as behind a ReLU.
                    let normal = random.normal();
                    *value = if random.uniform() < 1.0 / 3.0 { 0.0 } else { element.round(normal * scale) };
                }
            }
            exponents.push([0, -13, 25, 60, -60][n % 5]);
        }
        let gain = if element == Element::F8 { -7 } else { -14 };
        let deviation = (2.0 / (taps * real_channels) as f64).sqrt() * power_of_two(-gain);
        let mut operator = vec![0.0; outputs * taps * channels];
        for row in operator.chunks_exact_mut(taps * channels).take(real_outputs) {
            for tap in row.chunks_exact_mut(channels) {
                for value in &mut tap[..real_channels] {
                    *value = element.round(random.normal() * deviation);
                }
            }
        }
        let mut bias = vec![0.0; outputs];
        for value in &mut bias[..real_outputs] {
            *value = f64::from((random.normal() * 0.3) as f32);
        }
        Operand { images, height, width, channels, outputs, taps, input, exponents, operator, gain, bias }
    }

    fn positions(&self) -> usize {
        self.images * self.height * self.width
    }

    /// At least the largest sum of magnitudes of a row.
    fn bound(&self) -> f32 {
        let rows = self.operator.chunks_exact(self.taps * self.channels);
        let largest = rows.map(|row| row.iter().map(|w| w.abs()).sum::<f64>()).fold(0.0, f64::max);
        (largest * (1.0 + power_of_two(-10))) as f32
    }

    /// z of every position and output, the slow way.
    fn sums(&self, with_bias: bool) -> Vec<Sum> {
        let mut sums = Vec::with_capacity(self.positions() * self.outputs);
        for position in 0..self.positions() {
            let (n, within) = (position / (self.height * self.width), position % (self.height * self.width));
            let (y, x) = ((within / self.width) as isize, (within % self.width) as isize);
            let power = power_of_two(self.gain + self.exponents[n]);
            for output in 0..self.outputs {
                let mut sum = Sum::default();
                for tap in 0..self.taps {
                    let (dy, dx) =
                        if self.taps == 1 { (0, 0) } else { (tap as isize / 3 - 1, tap as isize % 3 - 1) };
                    let (v, u) = (y + dy, x + dx);
                    if v < 0 || u < 0 || v >= self.height as isize || u >= self.width as isize {
                        continue;
                    }
                    let at = (n * self.height + v as usize) * self.width + u as usize;
                    let values = &self.input[at * self.channels..][..self.channels];
                    let weights =
                        &self.operator[(output * self.taps + tap) * self.channels..][..self.channels];
                    for (value, weight) in values.iter().zip(weights) {
                        sum.value += value * weight;
                        sum.magnitude += (value * weight).abs();
                    }
                }
                sum.value *= power;
                sum.magnitude *= power;
                if with_bias {
                    sum.value += self.bias[output];
                    sum.magnitude += self.bias[output].abs();
                }
                sums.push(sum);
            }
        }
        sums
    }

    /// The operator as the kernel reads it.
    fn stored_operator(&self) -> Vec<f64> {
        let depth = self.taps * self.channels;
        let stored_depth = if self.channels == 3 { VGGX_IMAGE_DEPTH as usize } else { depth };
        let mut stored = vec![0.0; self.outputs * stored_depth];
        for (from, to) in self.operator.chunks_exact(depth).zip(stored.chunks_exact_mut(stored_depth)) {
            to[..depth].copy_from_slice(from);
        }
        stored
    }

    /// Of each image.
    fn largest(&self) -> Vec<f64> {
        self.input.chunks_exact(self.height * self.width * self.channels).map(largest_of).collect()
    }
}

/// Largest magnitude.
fn largest_of(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// An operand on the device.
struct Uploaded {
    parameters: VggxOperand,
    // What the parameters point to.
    _buffers: [Buffer; 2],
    _scale: Scale,
}

impl Uploaded {
    fn new(gpu: &Gpu, element: Element, operand: &Operand, stages: usize) -> Self {
        let input = gpu.upload_elements(element, &operand.input);
        let scale = gpu.upload_scale(&operand.largest(), &operand.exponents);
        let matrix = gpu.upload_elements(element, &operand.stored_operator());
        let parameters = VggxOperand {
            input: input.address(),
            input_scale: scale.parameters(),
            operator_: matrix.address(),
            operator_bound: operand.bound(),
            operator_gain: operand.gain,
            images: operand.images as i32,
            height: operand.height as i32,
            width: operand.width as i32,
            channels: operand.channels as i32,
            outputs: operand.outputs as i32,
            taps: operand.taps as i32,
            stages: stages as i32,
            reserved: 0,
        };
        Uploaded { parameters, _buffers: [input, matrix], _scale: scale }
    }
}

/// Extents of the map that is stored.
fn pooled(operand: &Operand, epilogue: i32) -> (usize, usize) {
    if epilogue == VGGX_RECTIFY_POOL {
        (operand.height / 2, operand.width / 2)
    } else {
        (operand.height, operand.width)
    }
}

/// What a forward kernel wrote.
#[derive(PartialEq, Debug, Clone)]
pub struct Forward {
    /// [images, h, w, outputs], stored units.
    pub output: Vec<f64>,
    pub exponents: Vec<i32>,
    pub largest: Vec<u32>,
    /// In the order of `output`.
    pub mask: Vec<bool>,
    pub argmax: Vec<u8>,
    /// [images, height, width, outputs], stored units; empty where it was not asked for.
    pub pre_activation: Vec<f64>,
}

fn unpack_mask(words: &[u16], channels: usize) -> Vec<bool> {
    words
        .chunks_exact(channels / 64 * 4)
        .flat_map(|words| {
            (0..channels).map(|channel| {
                let (word, place) = word_and_place(channel);
                words[word] >> place & 1 != 0
            })
        })
        .collect()
}

fn unpack_argmax(words: &[u32], channels: usize) -> Vec<u8> {
    words
        .chunks_exact(channels / 64 * 4)
        .flat_map(|words| {
            (0..channels).map(|channel| {
                let (word, place) = word_and_place(channel);
                (words[word] >> (2 * place) & 3) as u8
            })
        })
        .collect()
}

/// A kernel of a tile, or the first layer's; z is stored too, as learning wants it.
fn run_forward(
    gpu: &Gpu,
    element: Element,
    operand: &Operand,
    epilogue: i32,
    tile: Option<Tile>,
    stages: usize,
) -> Forward {
    forward(gpu, element, operand, (epilogue, true), tile, stages)
}

fn forward(
    gpu: &Gpu,
    element: Element,
    operand: &Operand,
    (epilogue, learning): (i32, bool),
    tile: Option<Tile>,
    stages: usize,
) -> Forward {
    forward_by(gpu, element, operand, (epilogue, learning), stages, |parameters| {
        let rows = if epilogue == VGGX_RECTIFY_POOL {
            operand.images * operand.height.div_ceil(2) * operand.width.div_ceil(2) * 4
        } else {
            operand.positions()
        };
        let boxes = operand.images * operand.height.div_ceil(8) * operand.width.div_ceil(32);
        let (name, tile, shared, rows) = match tile {
            Some(tile) => {
                let name = format!("{}_{}", element.kernel("convolution_forward"), tile.name);
                (name, tile, tile.shared(element, stages), rows)
            }
            None => {
                let shared = (320 * 32 + 4 * 32 * 64) * element.bytes() + 256 * 16;
                (element.kernel("convolution_image"), NARROW, shared, 256 * boxes)
            }
        };
        gpu.launch(&name, tile.grid(rows, operand.outputs), tile.threads(), shared, parameters);
    })
}

/// What a launch of any forward kernel writes.
pub fn forward_by(
    gpu: &Gpu,
    element: Element,
    operand: &Operand,
    (epilogue, learning): (i32, bool),
    stages: usize,
    launch: impl FnOnce(&VggxConvolutionForward),
) -> Forward {
    let uploaded = Uploaded::new(gpu, element, operand, stages);
    let (height, width) = pooled(operand, epilogue);
    let count = operand.images * height * width * operand.outputs;
    let linear = epilogue == VGGX_LINEAR;
    let pools = epilogue == VGGX_RECTIFY_POOL;
    let bias = gpu.upload_elements(Element::F32, &operand.bias);
    let stored = if linear { Element::F32 } else { element };
    let output = gpu.poisoned_elements(stored, count);
    let mask = gpu.poisoned(if linear { 0 } else { count / 16 * 2 });
    let argmax = gpu.poisoned(if pools { count / 16 * 4 } else { 0 });
    let scale = gpu.fresh_scale(operand.images);
    let unpooled = operand.positions() * operand.outputs;
    let pre_activation = gpu.poisoned_elements(element, if learning { unpooled } else { 0 });
    let parameters = VggxConvolutionForward {
        operand: uploaded.parameters,
        bias: bias.address(),
        bias_bound: largest_of(&operand.bias) as f32,
        epilogue,
        output: output.address(),
        output_scale: scale.parameters(),
        mask: mask.address(),
        argmax: argmax.address(),
        pre_activation: pre_activation.address(),
    };
    launch(&parameters);
    Forward {
        output: stored.decode(&gpu.download(&output)),
        exponents: scale.exponents(gpu),
        largest: scale.largest(gpu),
        mask: if linear { Vec::new() } else { unpack_mask(&gpu.download(&mask), operand.outputs) },
        argmax: if pools { unpack_argmax(&gpu.download(&argmax), operand.outputs) } else { Vec::new() },
        pre_activation: element.decode(&gpu.download(&pre_activation)),
    }
}

/// How far a stored value may be from the exact one: half a unit in the last place for the rounding of the result, the rounding of
/// `terms` float32 additions (tensor cores on a device truncate: the design's 2⁻¹⁸ for 16-bit operands), and what is subnormal.
fn tolerance(element: Element, stored: f64, magnitude: f64, terms: usize) -> f64 {
    match element {
        // Rounding keeps the order of numbers.
        Element::F8 => {
            let error = magnitude * power_of_two(-18);
            let off = |sum: f64| (element.round(sum) - stored).abs();
            off(stored - error).max(off(stored + error))
        }
        Element::F16 => stored.abs() * power_of_two(-10) + magnitude * power_of_two(-18) + power_of_two(-24),
        Element::Bf16 => stored.abs() * power_of_two(-8) + magnitude * power_of_two(-18),
        // γ_K of Higham for the sum, and the last rounding.
        Element::F32 => stored.abs() * power_of_two(-23) + magnitude * terms as f64 * power_of_two(-24),
    }
}

/// Of two vectors of any scale.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

fn check_scale(element: Element, largest: &[u32], output: &[f64], per_image: usize, what: &str) {
    // Float8 may round up to what the bound is below.
    let limit = power_of_two(if element == Element::F8 { 8 } else { VGGX_STORED_LOG2 });
    for (image, map) in output.chunks_exact(per_image.max(1)).enumerate() {
        let most = largest_of(map);
        let within = if element == Element::F8 { most <= limit } else { most < limit };
        assert!(within, "{what}: image {image} holds {most}");
        assert_eq!(f64::from(f32::from_bits(largest[image])), most, "{what}: largest of image {image}");
    }
}

pub fn check_forward(element: Element, operand: &Operand, epilogue: i32, got: &Forward, what: &str) {
    let sums = operand.sums(true);
    let (height, width) = pooled(operand, epilogue);
    let terms = operand.taps * operand.channels + 1;
    let mut expected = Vec::with_capacity(got.output.len());
    for n in 0..operand.images {
        let power = power_of_two(-got.exponents[n]);
        for y in 0..height {
            for x in 0..width {
                for output in 0..operand.outputs {
                    let index = expected.len();
                    let stored = got.output[index];
                    let sum = |y: usize, x: usize| {
                        let sum =
                            sums[((n * operand.height + y) * operand.width + x) * operand.outputs + output];
                        Sum { value: sum.value * power, magnitude: sum.magnitude * power }
                    };
                    let place = format!("{what}: image {n}, row {y}, column {x}, channel {output}");
                    let (want, magnitude) = if epilogue == VGGX_RECTIFY_POOL {
                        let window = [0, 1, 2, 3].map(|k| sum(2 * y + k / 2, 2 * x + k % 2));
                        let relu = window.map(|sum| sum.value.max(0.0));
                        let best = relu.iter().fold(0f64, |best, &value| best.max(value));
                        let magnitude = window.iter().fold(0f64, |most, sum| most.max(sum.magnitude));
                        let rounding = tolerance(Element::F32, best, magnitude, terms);
                        let chosen = usize::from(got.argmax[index]);
                        // The chosen one may differ from the largest by rounding alone; what cannot be told apart even by
                        // rounding must be decided as scan order says.
                        assert!(
                            relu[chosen] >= best - 2.0 * rounding,
                            "{place}: argmax {chosen} of {relu:?}"
                        );
                        if best == 0.0 && window.iter().all(|sum| sum.value < -rounding) {
                            assert_eq!(
                                chosen, 0,
                                "{place}: a window without anything positive goes to its first position"
                            );
                        }
                        (best, magnitude)
                    } else if epilogue == VGGX_RECTIFY {
                        let sum = sum(y, x);
                        (sum.value.max(0.0), sum.magnitude)
                    } else {
                        let sum = sum(y, x);
                        (sum.value, sum.magnitude)
                    };
                    if epilogue != VGGX_LINEAR {
                        let z = if epilogue == VGGX_RECTIFY { sum(y, x).value } else { want };
                        if z.abs() > tolerance(Element::F32, z, magnitude, terms) {
                            assert_eq!(got.mask[index], z > 0.0, "{place}: mask at z = {z}");
                        }
                    }
                    let allowed = if epilogue == VGGX_LINEAR {
                        tolerance(Element::F32, want, magnitude, terms).max(magnitude * power_of_two(-18))
                    } else {
                        tolerance(element, want, magnitude, terms)
                    };
                    assert!(
                        (stored - want).abs() <= allowed,
                        "{place}: {stored} instead of {want}, allowed {allowed}"
                    );
                    expected.push(want);
                }
            }
        }
    }
    if expected.iter().any(|&value| value != 0.0) {
        let apart = 1.0 - cosine(&got.output, &expected);
        assert!(apart <= if element == Element::Bf16 { 1e-5 } else { 1e-6 }, "{what}: 1 - cosine is {apart}");
    }
    check_scale(element, &got.largest, &got.output, height * width * operand.outputs, what);
    check_pre_activations(element, operand, epilogue, got, &sums, what);
}

/// z is the sum, signed and unpooled, and what is stored beside it follows from it exactly.
fn check_pre_activations(
    element: Element,
    operand: &Operand,
    epilogue: i32,
    got: &Forward,
    sums: &[Sum],
    what: &str,
) {
    let (of_image, outputs) = (operand.height * operand.width, operand.outputs);
    let terms = operand.taps * operand.channels + 1;
    assert_eq!(got.pre_activation.len(), sums.len(), "{what}");
    for (at, (&stored, sum)) in got.pre_activation.iter().zip(sums).enumerate() {
        let power = power_of_two(-got.exponents[at / outputs / of_image]);
        let (value, magnitude) = (sum.value * power, sum.magnitude * power);
        let allowed = tolerance(element, value, magnitude, terms);
        assert!((stored - value).abs() <= allowed, "{what}: z {at} is {stored} instead of {value}");
    }
    let z = |n: usize, y: usize, x: usize, output: usize| {
        got.pre_activation[((n * operand.height + y) * operand.width + x) * outputs + output]
    };
    let (height, width) = pooled(operand, epilogue);
    for at in 0..got.output.len() {
        let (output, position) = (at % outputs, at / outputs);
        let (n, y, x) = (position / (height * width), position / width % height, position % width);
        match epilogue {
            VGGX_RECTIFY => {
                assert_eq!(got.mask[at], z(n, y, x, output) > 0.0, "{what}: mask {at}");
                assert_eq!(got.output[at], z(n, y, x, output).max(0.0), "{what}: activation {at}");
            }
            VGGX_RECTIFY_POOL => {
                let window = [0, 1, 2, 3].map(|k| z(n, 2 * y + k / 2, 2 * x + k % 2, output));
                let best = window.iter().fold(0f64, |best, &z| best.max(z));
                assert_eq!(got.mask[at], best > 0.0, "{what}: mask {at}");
                assert_eq!(got.output[at], best, "{what}: activation {at}");
            }
            _ => assert_eq!(element.round(got.output[at]), z(n, y, x, output), "{what}: response {at}"),
        }
    }
}

/// Asking for z changes nothing else.
fn check_without_pre_activations(
    element: Element,
    operand: &Operand,
    epilogue: i32,
    (tile, stages): (Option<Tile>, usize),
    first: &Forward,
    what: &str,
) {
    let without = forward(gpu(), element, operand, (epilogue, false), tile, stages);
    let expected = Forward { pre_activation: Vec::new(), ..first.clone() };
    assert!(without == expected, "{what}: without z, other results");
}

/// Images, rows, columns.
pub type Extents = (usize, usize, usize);
/// Of the input and of the output, before padding.
pub type Channels = (usize, usize);

/// One of everything, odd extents, batches that fill no tile, several tiles of every kind.
const SHAPES: [(Extents, Channels); 7] = [
    ((1, 1, 1), (64, 64)),
    ((1, 7, 13), (64, 64)),
    ((3, 5, 4), (20, 70)),
    ((33, 2, 2), (64, 64)),
    ((2, 12, 10), (64, 128)),
    ((1, 9, 16), (128, 320)),
    ((33, 3, 1), (64, 64)),
];

fn forward_agrees(element: Element) {
    for (index, &(extents, channels)) in SHAPES.iter().enumerate() {
        let operand = Operand::new(element, index as u64, extents, channels, 9);
        for epilogue in [VGGX_RECTIFY, VGGX_RECTIFY_POOL] {
            let what = format!("{element:?} {extents:?} {channels:?} epilogue {epilogue}");
            let first = run_forward(gpu(), element, &operand, epilogue, Some(NARROW), 4);
            check_forward(element, &operand, epilogue, &first, &what);
            check_without_pre_activations(element, &operand, epilogue, (Some(SQUARE), 3), &first, &what);
            for (number, &tile) in Tile::all(element).iter().enumerate() {
                // Sanitizers see each tile with each number of stages on some shape.
                let stages = [2, 3, 4]
                    .into_iter()
                    .filter(|stages| !host_driver::is_sanitized() || stages % 3 == (index + number) % 3);
                for stages in stages {
                    let again = run_forward(gpu(), element, &operand, epilogue, Some(tile), stages);
                    assert!(again == first, "{what}: {} with {stages} stages gives other bits", tile.name);
                }
            }
        }
    }
}

#[test]
fn forward_f16() {
    forward_agrees(Element::F16);
}

#[test]
fn forward_bf16() {
    forward_agrees(Element::Bf16);
}

#[test]
fn forward_f32() {
    forward_agrees(Element::F32);
}

#[test]
fn a_positive_z_that_rounds_to_zero_is_stored_as_positive() {
    let mut operand = Operand::new(Element::F16, 40, (1, 3, 5), (64, 64), 9);
    for (output, bias) in [(5, 1e-12), (6, -1e-12), (7, 0.0)] {
        operand.operator[output * 9 * 64..][..9 * 64].fill(0.0);
        operand.bias[output] = f64::from(bias as f32);
    }
    let got = run_forward(gpu(), Element::F16, &operand, VGGX_RECTIFY, Some(NARROW), 4);
    for position in 0..15 {
        assert_eq!(got.pre_activation[position * 64 + 5], power_of_two(-24));
        assert!(got.mask[position * 64 + 5] && !got.mask[position * 64 + 6]);
        assert_eq!(got.pre_activation[position * 64 + 6], 0.0);
        assert_eq!(got.pre_activation[position * 64 + 7], 0.0);
    }
}

fn image_agrees(element: Element) {
    for (index, extents) in
        [(1, 1, 1), (1, 7, 13), (3, 16, 11), (33, 2, 3), (1, 24, 24), (2, 9, 33), (1, 8, 67)]
            .into_iter()
            .enumerate()
    {
        for outputs in [64, 128, 8] {
            let operand = Operand::new(element, 50 + index as u64, extents, (3, outputs), 9);
            for epilogue in [VGGX_RECTIFY, VGGX_RECTIFY_POOL] {
                let got = run_forward(gpu(), element, &operand, epilogue, None, 0);
                let what = format!("{element:?} image {extents:?} to {outputs}, epilogue {epilogue}");
                check_forward(element, &operand, epilogue, &got, &what);
                check_without_pre_activations(element, &operand, epilogue, (None, 0), &got, &what);
            }
        }
    }
}

#[test]
fn first_layer_f16() {
    image_agrees(Element::F16);
}

#[test]
fn first_layer_bf16() {
    image_agrees(Element::Bf16);
}

#[test]
fn first_layer_f32() {
    image_agrees(Element::F32);
}

fn dense_agrees(element: Element) {
    for (index, (images, channels)) in
        [(1, (64, 64)), (33, (200, 10)), (7, (1000, 130)), (130, (64, 64))].into_iter().enumerate()
    {
        let operand = Operand::new(element, 80 + index as u64, (images, 1, 1), channels, 1);
        for epilogue in [VGGX_RECTIFY, VGGX_LINEAR] {
            let what = format!("{element:?} dense, {images} images, {channels:?}, epilogue {epilogue}");
            for &tile in Tile::all(element) {
                let got = run_forward(gpu(), element, &operand, epilogue, Some(tile), 3);
                check_forward(element, &operand, epilogue, &got, &what);
                check_without_pre_activations(element, &operand, epilogue, (Some(tile), 3), &got, &what);
            }
        }
    }
}

#[test]
fn dense_f16() {
    dense_agrees(Element::F16);
}

#[test]
fn dense_bf16() {
    dense_agrees(Element::Bf16);
}

#[test]
fn dense_f32() {
    dense_agrees(Element::F32);
}

/// What a backward kernel is to meet below.
pub struct Below {
    kind: i32,
    gate: i32,
    mask: Vec<bool>,
    argmax: Vec<u8>,
    unpooled: (usize, usize),
}

impl Below {
    pub fn new(operand: &Operand, kind: i32, gate: i32, odd: (bool, bool)) -> Self {
        let mut random = Random::new(7);
        let count = operand.positions() * operand.outputs;
        Below {
            kind,
            gate,
            mask: random_mask(&mut random, count),
            argmax: random_argmax(&mut random, count),
            unpooled: (2 * operand.height + usize::from(odd.0), 2 * operand.width + usize::from(odd.1)),
        }
    }

    /// Extents of the stored map.
    fn extents(&self, operand: &Operand) -> (usize, usize) {
        if self.kind == VGGX_BELOW_POOL { self.unpooled } else { (operand.height, operand.width) }
    }

    /// Whether a signal passes, where it is further from zero than rounding reaches.
    fn passes(&self, index: usize, value: f64) -> bool {
        let gate = if self.kind == VGGX_BELOW_NOTHING { 0 } else { self.gate };
        (gate & VGGX_GATE_MASK == 0 || self.mask[index]) && (gate & VGGX_GATE_SIGN == 0 || value > 0.0)
    }
}

/// What a backward kernel wrote.
#[derive(PartialEq)]
pub struct Backward {
    pub output: Vec<f64>,
    exponents: Vec<i32>,
    largest: Vec<u32>,
}

fn run_backward(
    gpu: &Gpu,
    element: Element,
    operand: &Operand,
    below: &Below,
    tile: Tile,
    stages: usize,
) -> Backward {
    backward_by(gpu, element, operand, below, stages, |parameters| {
        let name = format!("{}_{}", element.kernel("convolution_backward"), tile.name);
        let grid = tile.grid(operand.positions(), operand.outputs);
        gpu.launch(&name, grid, tile.threads(), tile.shared(element, stages), parameters);
    })
}

/// What a launch of any backward kernel writes.
pub fn backward_by(
    gpu: &Gpu,
    element: Element,
    operand: &Operand,
    below: &Below,
    stages: usize,
    launch: impl FnOnce(&VggxConvolutionBackward),
) -> Backward {
    backward_to(gpu, (element, element), operand, below, stages, launch)
}

/// The same with signals that arrive and leave in different types.
pub fn backward_to(
    gpu: &Gpu,
    (element, stored): (Element, Element),
    operand: &Operand,
    below: &Below,
    stages: usize,
    launch: impl FnOnce(&VggxConvolutionBackward),
) -> Backward {
    let uploaded = Uploaded::new(gpu, element, operand, stages);
    let (height, width) = below.extents(operand);
    let count = operand.images * height * width * operand.outputs;
    let mask = gpu.upload(&pack_mask(&below.mask, operand.outputs));
    let argmax = gpu.upload(&pack_argmax(&below.argmax, operand.outputs));
    let output = gpu.poisoned_elements(stored, count);
    let scale = gpu.fresh_scale(operand.images);
    let parameters = VggxConvolutionBackward {
        operand: uploaded.parameters,
        below: VggxBelow {
            gate: below.gate,
            below: below.kind,
            mask: mask.address(),
            argmax: argmax.address(),
            unpooled_height: below.unpooled.0 as i32,
            unpooled_width: below.unpooled.1 as i32,
            output: output.address(),
            output_scale: scale.parameters(),
        },
    };
    launch(&parameters);
    Backward {
        output: stored.decode(&gpu.download(&output)),
        exponents: scale.exponents(gpu),
        largest: scale.largest(gpu),
    }
}

pub fn check_backward(element: Element, operand: &Operand, below: &Below, got: &Backward, what: &str) {
    check_backward_sums(element, 1.0, operand, below, got, what);
}

/// The same where sums may lose `looser` times as much as those of 16-bit elements.
pub fn check_backward_sums(
    element: Element,
    looser: f64,
    operand: &Operand,
    below: &Below,
    got: &Backward,
    what: &str,
) {
    let sums = operand.sums(false);
    let (height, width) = below.extents(operand);
    let terms = operand.taps * operand.channels;
    // Value and tolerance of every stored element; zero exactly where nothing arrives.
    let mut expected = vec![(0.0, 0.0); got.output.len()];
    for (index, sum) in sums.iter().enumerate() {
        let (position, output) = (index / operand.outputs, index % operand.outputs);
        let n = position / (operand.height * operand.width);
        let (y, x) = (position / operand.width % operand.height, position % operand.width);
        let power = power_of_two(-got.exponents[n]);
        let (value, magnitude) = (sum.value * power, sum.magnitude * power * looser);
        let (v, u) = if below.kind == VGGX_BELOW_POOL {
            let at = usize::from(below.argmax[index]);
            (2 * y + at / 2, 2 * x + at % 2)
        } else {
            (y, x)
        };
        let want = if below.passes(index, value) { value } else { 0.0 };
        let closed =
            below.kind != VGGX_BELOW_NOTHING && below.gate & VGGX_GATE_MASK != 0 && !below.mask[index];
        let allowed = if closed { 0.0 } else { tolerance(element, value, magnitude, terms) };
        expected[((n * height + v) * width + u) * operand.outputs + output] = (want, allowed);
    }
    for (index, (&stored, &(want, allowed))) in got.output.iter().zip(&expected).enumerate() {
        assert!(
            (stored - want).abs() <= allowed,
            "{what}: element {index} is {stored} instead of {want}, allowed {allowed}"
        );
    }
    let want: Vec<f64> = expected.iter().map(|&(want, _)| want).collect();
    if want.iter().any(|&value| value != 0.0) {
        let apart = 1.0 - cosine(&got.output, &want);
        // Rounding to float8 loses up to 2⁻⁴ of a number, 2⁻⁴ / √3 where that is evenly distributed, and half of its square here.
        let bound = match element {
            Element::F8 => 7e-4,
            Element::Bf16 => 1e-5,
            _ => 1e-6 * looser,
        };
        assert!(apart <= bound, "{what}: 1 - cosine is {apart}");
    }
    check_scale(element, &got.largest, &got.output, height * width * operand.outputs, what);
}

fn backward_agrees(element: Element) {
    let gates = [VGGX_GATE_MASK, VGGX_GATE_SIGN, VGGX_GATE_MASK | VGGX_GATE_SIGN];
    let mut gate = gates.iter().cycle();
    let mut cases = 0;
    for (index, &(extents, channels)) in SHAPES.iter().enumerate() {
        let operand = Operand::new(element, 100 + index as u64, extents, channels, 9);
        for kind in [VGGX_BELOW_NOTHING, VGGX_BELOW_RECTIFIER, VGGX_BELOW_POOL] {
            for odd in [(false, false), (true, false), (false, true), (true, true)] {
                if kind != VGGX_BELOW_POOL && odd != (false, false) {
                    continue;
                }
                let gate = *gate.next().expect("an endless cycle");
                let below = Below::new(&operand, kind, gate, odd);
                let what =
                    format!("{element:?} {extents:?} {channels:?} below {kind} gate {gate} odd {odd:?}");
                let first = run_backward(gpu(), element, &operand, &below, NARROW, 4);
                check_backward(element, &operand, &below, &first, &what);
                cases += 1;
                for (number, &tile) in Tile::all(element).iter().enumerate() {
                    // Sanitizers see each tile with each layer below, on some shape.
                    if host_driver::is_sanitized() && number != cases % Tile::all(element).len() {
                        continue;
                    }
                    let again = run_backward(gpu(), element, &operand, &below, tile, 3);
                    assert!(again == first, "{what}: {} gives other bits", tile.name);
                }
            }
        }
    }
}

#[test]
fn backward_f16() {
    backward_agrees(Element::F16);
}

#[test]
fn backward_bf16() {
    backward_agrees(Element::Bf16);
}

#[test]
fn backward_f32() {
    backward_agrees(Element::F32);
}

/// An image alone and among others, at any place.
fn alone_as_in_a_batch(element: Element) {
    let batch = Operand::new(element, 200, (5, 6, 5), (64, 128), 9);
    let per_image = batch.height * batch.width * batch.channels;
    for epilogue in [VGGX_RECTIFY, VGGX_RECTIFY_POOL] {
        let together = run_forward(gpu(), element, &batch, epilogue, Some(SQUARE), 4);
        for n in 0..batch.images {
            let single = Operand {
                images: 1,
                input: batch.input[n * per_image..][..per_image].to_vec(),
                exponents: vec![batch.exponents[n]],
                operator: batch.operator.clone(),
                bias: batch.bias.clone(),
                ..batch
            };
            let alone = run_forward(gpu(), element, &single, epilogue, Some(SQUARE), 4);
            let part = together.output.len() / batch.images;
            assert!(alone.output == together.output[n * part..][..part], "image {n}, epilogue {epilogue}");
            assert!(alone.mask == together.mask[n * part..][..part]);
            assert_eq!((alone.exponents[0], alone.largest[0]), (together.exponents[n], together.largest[n]));
        }
    }
}

#[test]
fn an_image_alone_gives_the_same_bits_as_in_a_batch() {
    alone_as_in_a_batch(Element::F16);
    alone_as_in_a_batch(Element::F32);
}

/// Equal patches give equal sums wherever they lie in a tile, so windows over flat areas tie and go to their first position.
#[test]
fn flat_areas_tie() {
    fn check(element: Element) {
        let mut operand = Operand::new(element, 300, (2, 12, 12), (64, 64), 9);
        let first: Vec<f64> = operand.input[..64].to_vec();
        operand.input.chunks_exact_mut(64).for_each(|position| position.copy_from_slice(&first));
        let got = run_forward(gpu(), element, &operand, VGGX_RECTIFY_POOL, Some(NARROW), 4);
        let mut inner = 0;
        for (index, &at) in got.argmax.iter().enumerate() {
            let (y, x) = (index / 64 / 6 % 6, index / 64 % 6);
            if (1..5).contains(&y) && (1..5).contains(&x) {
                assert_eq!(at, 0, "window ({y}, {x})");
                inner += usize::from(got.mask[index]);
            }
        }
        assert!(inner > 0, "some windows are active");
    }
    check(Element::F16);
    check(Element::Bf16);
    check(Element::F32);
}

/// All terms of a sum as large as they can be, of one sign, and a bias as large as the sum: the bound is what is stored.
#[test]
fn the_largest_possible_sum_is_stored() {
    for element in Element::ALL {
        // Just below powers of two, so that their product is, too. The bound of the operator is rounded up by 1 + 2⁻¹⁰.
        let (value, weight) =
            (element.round(1.0 - power_of_two(-6)), element.round((1.0 - power_of_two(-6)) * 16384.0));
        let sum = 64.0 * weight * power_of_two(-14);
        let operand = Operand {
            images: 1,
            height: 1,
            width: 1,
            channels: 64,
            outputs: 64,
            taps: 1,
            input: vec![value; 64],
            exponents: vec![0],
            operator: vec![weight; 64 * 64],
            gain: -14,
            bias: vec![sum; 64],
        };
        let got = run_forward(gpu(), element, &operand, VGGX_RECTIFY, Some(NARROW), 2);
        check_forward(element, &operand, VGGX_RECTIFY, &got, &format!("{element:?}"));
        assert!(
            got.output[0] > power_of_two(VGGX_STORED_LOG2 - 1),
            "{element:?}: stored as {}",
            got.output[0]
        );
    }
}
