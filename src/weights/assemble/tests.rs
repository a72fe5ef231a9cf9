//! What is assembled computes what the steps did: random sequences, both evaluated in float64.

use super::super::import::{Array, DenseAxes, FlattenOrder, KernelAxes, Operation, Step};
use super::super::tensor::ElementType;
use super::assemble;
use crate::network::{ChannelOrder, Layer, Preprocessing};

/// Random choices and numbers.
struct Random(u64);

impl Random {
    fn number(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    }

    fn below(&mut self, limit: usize) -> usize {
        ((self.number() + 1.0) / 2.0 * limit as f64) as usize % limit
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn numbers(&mut self, count: usize) -> Vec<f64> {
        // As float32, which files hold.
        (0..count).map(|_| f64::from(self.number() as f32)).collect()
    }
}

/// A weight in torchvision's order, and the array that a file has of it.
fn array(name: &str, shape: Vec<usize>, values: Vec<f64>) -> Array {
    Array::deferred(name, ElementType::F32, shape, move || {
        Ok(values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect())
    })
    .unwrap()
}

/// What a step does, independent of the file's order of extents.
#[derive(Clone)]
enum Plain {
    /// \[outputs, inputs, side, side\], and the bias.
    Convolution(Vec<f64>, Vec<f64>, usize),
    /// \[outputs, inputs\], inputs channel by channel.
    Dense(Vec<f64>, Vec<f64>),
    /// By channel.
    Affine(Vec<f64>, Vec<f64>),
    Relu,
    MaxPool,
    Average(usize),
    Reverse,
    Nothing,
}

/// channels × rows × columns.
#[derive(Clone)]
struct Map {
    values: Vec<f64>,
    channels: usize,
    rows: usize,
    columns: usize,
}

impl Map {
    fn new(channels: usize, rows: usize, columns: usize, value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let mut values = Vec::new();
        for channel in 0..channels {
            for row in 0..rows {
                values.extend((0..columns).map(|column| value(channel, row, column)));
            }
        }
        Self { values, channels, rows, columns }
    }

    fn at(&self, channel: usize, row: usize, column: usize) -> f64 {
        self.values[(channel * self.rows + row) * self.columns + column]
    }

    fn apply(&self, step: &Plain) -> Self {
        let (channels, rows, columns) = (self.channels, self.rows, self.columns);
        match step {
            Plain::Convolution(weight, bias, side) => {
                Self::new(bias.len(), rows, columns, |output, row, column| {
                    let half = side / 2;
                    let mut sum = bias[output];
                    for input in 0..channels {
                        for (y, x) in (0..*side).flat_map(|y| (0..*side).map(move |x| (y, x))) {
                            let (row, column) = (row + y, column + x);
                            if row >= half && column >= half && row - half < rows && column - half < columns {
                                sum += weight[((output * channels + input) * side + y) * side + x]
                                    * self.at(input, row - half, column - half);
                            }
                        }
                    }
                    sum
                })
            }
            Plain::Dense(weight, bias) => Self::new(bias.len(), 1, 1, |output, _, _| {
                let inputs = self.values.len();
                let products = weight[output * inputs..][..inputs].iter().zip(&self.values);
                bias[output] + products.map(|(weight, value)| weight * value).sum::<f64>()
            }),
            Plain::Affine(scale, shift) => Self::new(channels, rows, columns, |channel, row, column| {
                let index = match scale.len() {
                    1 => 0,
                    count if count == channels => channel,
                    _ => (channel * rows + row) * columns + column,
                };
                scale[index] * self.at(channel, row, column) + shift[index]
            }),
            Plain::Relu => {
                Self::new(channels, rows, columns, |c, row, column| self.at(c, row, column).max(0.0))
            }
            Plain::MaxPool => Self::new(channels, rows / 2, columns / 2, |channel, row, column| {
                let values = (0..4).map(|i| self.at(channel, 2 * row + i / 2, 2 * column + i % 2));
                values.fold(f64::MIN, f64::max)
            }),
            // The sides are chosen so that windows are equal and do not overlap.
            Plain::Average(side) => Self::new(channels, *side, *side, |channel, row, column| {
                let (height, width) = (rows / side, columns / side);
                let cells = (0..height * width)
                    .map(|i| self.at(channel, row * height + i / width, column * width + i % width));
                cells.sum::<f64>() / (height * width) as f64
            }),
            Plain::Reverse => {
                Self::new(channels, rows, columns, |c, row, column| self.at(2 - c, row, column))
            }
            Plain::Nothing => self.clone(),
        }
    }
}

/// A random network: the steps as a file has them, and what they do.
struct Sequence {
    random: Random,
    steps: Vec<Step>,
    plain: Vec<Plain>,
    channels: usize,
}

impl Sequence {
    fn push(&mut self, operation: Operation, plain: Plain) {
        let name = format!("step{}", self.steps.len());
        self.steps.push(Step { name, operation });
        self.plain.push(plain);
    }

    fn affine(&mut self, count: usize, positive: bool, shifts: bool) {
        let count = if self.random.chance() { 1 } else { count };
        self.affine_of(count, positive, shifts);
    }

    fn affine_of(&mut self, count: usize, positive: bool, shifts: bool) {
        let scale: Vec<f64> = (0..count)
            .map(|_| {
                let number = self.random.number();
                number.abs() + 0.25 + if positive || self.random.chance() { 0.0 } else { -2.0 }
            })
            .collect();
        let shift = if shifts { self.random.numbers(count) } else { vec![0.0; count] };
        let operation = Operation::Affine { scale: scale.clone(), shift: shift.clone() };
        self.push(operation, Plain::Affine(scale, shift));
    }

    fn bias(&mut self, outputs: usize) -> (Option<Array>, Vec<f64>) {
        if self.random.chance() {
            return (None, vec![0.0; outputs]);
        }
        let values = self.random.numbers(outputs);
        (Some(array("bias", vec![outputs], values.clone())), values)
    }

    fn convolution(&mut self, outputs: usize) {
        let (inputs, side) = (self.channels, if self.random.below(4) == 0 { 1 } else { 3 });
        let weight = self.random.numbers(outputs * inputs * side * side);
        let at =
            |output: usize, input: usize, tap: usize| weight[(output * inputs + input) * side * side + tap];
        let (axes, shape, values) = if self.random.chance() {
            (KernelAxes::OutputsInputsRowsColumns, vec![outputs, inputs, side, side], weight.clone())
        } else {
            let mut values = Vec::new();
            for tap in 0..side * side {
                for input in 0..inputs {
                    values.extend((0..outputs).map(|output| at(output, input, tap)));
                }
            }
            (KernelAxes::RowsColumnsInputsOutputs, vec![side, side, inputs, outputs], values)
        };
        let (bias, biases) = self.bias(outputs);
        let weight_array = array("weight", shape, values);
        self.push(
            Operation::Convolution { weight: weight_array, axes, bias },
            Plain::Convolution(weight, biases, side),
        );
        self.channels = outputs;
    }

    fn dense(&mut self, outputs: usize, positions: usize, order: FlattenOrder) {
        let channels = self.channels;
        let inputs = channels * positions;
        let weight = self.random.numbers(outputs * inputs);
        let at = |output: usize, place: usize| {
            let (channel, position) = match order {
                FlattenOrder::ChannelsFirst => (place / positions, place % positions),
                FlattenOrder::ChannelsLast => (place % channels, place / channels),
            };
            weight[output * inputs + channel * positions + position]
        };
        let mut values = Vec::new();
        let (axes, shape) = if self.random.chance() {
            (0..outputs).for_each(|output| values.extend((0..inputs).map(|place| at(output, place))));
            (DenseAxes::OutputsInputs, vec![outputs, inputs])
        } else {
            (0..inputs).for_each(|place| values.extend((0..outputs).map(|output| at(output, place))));
            (DenseAxes::InputsOutputs, vec![inputs, outputs])
        };
        let (bias, biases) = self.bias(outputs);
        let weight_array = array("weight", shape, values);
        self.push(Operation::Dense { weight: weight_array, axes, bias }, Plain::Dense(weight, biases));
        self.channels = outputs;
    }

    /// Preprocessing, two blocks on an image of 8×8, perhaps dense layers.
    fn new(seed: u64) -> Self {
        let mut all = Self { random: Random(seed), steps: Vec::new(), plain: Vec::new(), channels: 3 };
        for _ in 0..all.random.below(4) {
            if all.random.chance() {
                all.affine(3, false, true);
            } else {
                all.push(Operation::ReverseChannels, Plain::Reverse);
            }
        }
        let headless = all.random.below(5) == 0;
        for block in 0..2 {
            let outputs = 2 + all.random.below(4);
            all.convolution(outputs);
            for _ in 0..all.random.below(3) {
                all.affine(outputs, false, true);
            }
            if all.random.chance() {
                all.push(Operation::MaxPool, Plain::MaxPool);
                if all.random.chance() {
                    all.affine(outputs, true, true);
                }
                all.push(Operation::Relu, Plain::Relu);
            } else {
                all.push(Operation::Relu, Plain::Relu);
                // Nothing takes it up at the end.
                if !(headless && block == 1) && all.random.chance() {
                    all.affine(outputs, true, false);
                }
                all.push(Operation::MaxPool, Plain::MaxPool);
            }
            // Factors before the next convolution.
            if block == 0 && all.random.chance() {
                all.affine(outputs, false, false);
            }
        }
        if headless {
            return all;
        }
        // Constants before the first dense layer, at every place there is.
        if all.random.chance() {
            all.affine(all.channels, false, true);
        }
        let mut side = 2;
        if all.random.below(3) == 0 {
            side = 1;
            all.push(Operation::AdaptiveAveragePool { side: 1 }, Plain::Average(1));
        }
        let order =
            if all.random.chance() { FlattenOrder::ChannelsFirst } else { FlattenOrder::ChannelsLast };
        all.push(Operation::Flatten(order), Plain::Nothing);
        if all.random.chance() {
            // One constant an element, in the file's order.
            let (channels, positions) = (all.channels, side * side);
            let (scale, shift) =
                (all.random.numbers(channels * positions), all.random.numbers(channels * positions));
            let reorder = |values: &[f64]| -> Vec<f64> {
                let place = |channel: usize, position: usize| match order {
                    FlattenOrder::ChannelsFirst => channel * positions + position,
                    FlattenOrder::ChannelsLast => position * channels + channel,
                };
                (0..channels * positions).map(|i| values[place(i / positions, i % positions)]).collect()
            };
            let plain = Plain::Affine(reorder(&scale), reorder(&shift));
            all.push(Operation::Affine { scale, shift }, plain);
        }
        let layers = 1 + all.random.below(3);
        for layer in 0..layers {
            let outputs = 2 + all.random.below(5);
            all.dense(outputs, if layer == 0 { side * side } else { 1 }, order);
            if all.random.chance() {
                all.affine_of(outputs, false, true);
            }
            if layer + 1 < layers {
                all.push(Operation::Relu, Plain::Relu);
                if all.random.chance() {
                    all.affine_of(outputs, false, true);
                }
            }
        }
        if all.random.chance() {
            all.push(Operation::Softmax, Plain::Nothing);
        }
        all
    }
}

fn float64(tensor: super::super::Tensor<'_>) -> Vec<f64> {
    tensor.to_vec().into_iter().map(f64::from).collect()
}

#[test]
fn random_sequences_compute_the_same_before_and_after() {
    let (mut headless, mut folded) = (0, 0);
    for seed in 0..400 {
        let sequence = Sequence::new(seed * 7919 + 1);
        let mut random = Random(seed);
        // Pixels of red, green, blue between 0 and 1.
        let values = random.numbers(3 * 64);
        let image = Map::new(3, 8, 8, |c, row, column| values[(c * 8 + row) * 8 + column].abs());
        let expected = sequence.plain.iter().fold(image.clone(), |map, step| map.apply(step));

        let assembled =
            assemble(sequence.steps, 1 << 20).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let outside = Preprocessing {
            channel_order: ChannelOrder::Rgb,
            pixel_scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let input = assembled.input.after(outside);
        let mut map = Map::new(3, 8, 8, |channel, row, column| {
            let colour = if input.channel_order == ChannelOrder::Rgb { channel } else { 2 - channel };
            (image.at(colour, row, column) - f64::from(input.mean[channel])) / f64::from(input.std[channel])
        });
        let mut parameters = assembled.parameters.iter();
        for layer in &assembled.layers {
            let mut next = || {
                let parameters = parameters.next().unwrap();
                folded += usize::from(parameters.origins.iter().any(|origin| origin.starts_with("step")));
                (float64(parameters.weight.tensor()), float64(parameters.bias.tensor()))
            };
            map = match layer {
                Layer::Convolution(_) => {
                    let (weight, bias) = next();
                    map.apply(&Plain::Convolution(weight, bias, 3)).apply(&Plain::Relu)
                }
                Layer::MaxPool => map.apply(&Plain::MaxPool),
                Layer::AdaptiveAveragePool { side } => map.apply(&Plain::Average(*side)),
                Layer::Dense(dense) => {
                    let (weight, bias) = next();
                    let map = map.apply(&Plain::Dense(weight, bias));
                    if dense.relu { map.apply(&Plain::Relu) } else { map }
                }
            };
        }
        headless += usize::from(!assembled.layers.iter().any(|layer| matches!(layer, Layer::Dense(_))));
        assert_eq!(map.values.len(), expected.values.len(), "seed {seed}");
        let largest = expected.values.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
        for (got, want) in map.values.iter().zip(&expected.values) {
            // Every folded weight, bias, mean and standard deviation is rounded to float32 once: 2⁻²⁴ of each summand, and sums of
            // up to 50 terms cancel.
            assert!((got - want).abs() <= 2e-5 * largest, "seed {seed}: {got} {want} of {largest}");
        }
    }
    assert!(headless > 20 && folded > 400, "{headless} headless, {folded} folded");
}

fn step(name: &str, operation: Operation) -> Step {
    Step { name: name.to_owned(), operation }
}

fn convolution(name: &str, outputs: usize, inputs: usize) -> Step {
    let weight = array(name, vec![outputs, inputs, 3, 3], vec![0.5; outputs * inputs * 9]);
    let axes = KernelAxes::OutputsInputsRowsColumns;
    step(name, Operation::Convolution { weight, axes, bias: None })
}

fn dense(name: &str, outputs: usize, inputs: usize) -> Step {
    let weight = array(name, vec![outputs, inputs], vec![0.5; outputs * inputs]);
    step(name, Operation::Dense { weight, axes: DenseAxes::OutputsInputs, bias: None })
}

fn affine(name: &str, scale: f64, shift: f64) -> Step {
    step(name, Operation::Affine { scale: vec![scale], shift: vec![shift] })
}

#[test]
fn what_cannot_be_a_vgg_is_refused_by_name() {
    let relu = || step("relu", Operation::Relu);
    let pool = || step("pool", Operation::MaxPool);
    let flatten = || step("flatten", Operation::Flatten(FlattenOrder::ChannelsFirst));
    let says = |steps: Vec<Step>, words: &[&str]| {
        let message = assemble(steps, 1 << 20).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{words:?}: {message}");
    };
    let first = || vec![convolution("first", 4, 3), relu()];
    let after = |more: Vec<Step>| first().into_iter().chain(more).collect::<Vec<_>>();
    assert!(assemble(first(), 1 << 20).is_ok());
    says(vec![], &["no convolution"]);
    says(vec![relu()], &["relu", "before any convolution"]);
    says(vec![pool()], &["pool", "before any convolution"]);
    says(vec![flatten()], &["flatten", "the input"]);
    says(vec![dense("dense", 2, 3)], &["dense", "before any convolution"]);
    says(vec![convolution("first", 4, 3)], &["first", "no ReLU"]);
    says(vec![convolution("first", 4, 3), convolution("second", 4, 4)], &["second", "no ReLU", "first"]);
    says(after(vec![convolution("second", 4, 5)]), &["second", "first has 4 outputs"]);
    says(after(vec![affine("norm", 2.0, 1.0), convolution("second", 4, 4)]), &["norm", "second", "zeros"]);
    says(after(vec![affine("norm", -2.0, 0.0), pool()]), &["norm", "not positive", "pool"]);
    says(after(vec![affine("norm", 2.0, 1.0), relu()]), &["norm", "relu"]);
    says(after(vec![affine("norm", 2.0, 0.0)]), &["norm", "no layer behind"]);
    says(after(vec![pool(), pool()]), &["second max-pool"]);
    says(after(vec![step("swap", Operation::ReverseChannels)]), &["swap", "inside"]);
    says(after(vec![flatten(), convolution("second", 4, 4)]), &["second", "end of the map"]);
    says(after(vec![flatten(), pool()]), &["pool", "end of the map"]);
    says(after(vec![dense("dense", 2, 4 * 3)]), &["dense", "side"]);
    says(after(vec![flatten(), dense("dense", 2, 4), relu()]), &["dense", "ReLU follows the last"]);
    says(after(vec![flatten(), dense("a", 2, 4), dense("b", 2, 2)]), &["b", "no ReLU", "a"]);
    says(
        after(vec![
            step("average", Operation::AdaptiveAveragePool { side: 2 }),
            flatten(),
            dense("dense", 2, 4),
        ]),
        &["dense", "average leaves 2×2"],
    );
    says(after(vec![step("soft", Operation::Softmax), relu()]), &["relu", "soft", "end"]);
    says(vec![affine("black", 0.0, 1.0)], &["black", "by zero"]);
    let odd = step("odd", Operation::Affine { scale: vec![1.0; 3], shift: vec![0.0] });
    says(vec![convolution("first", 4, 3), odd], &["odd", "4 channels"]);
    let element =
        |count: usize| step("element", Operation::Affine { scale: vec![1.0; count], shift: vec![0.0] });
    says(after(vec![flatten(), element(6), dense("dense", 2, 16)]), &["element", "6"]);
    says(after(vec![flatten(), element(8), dense("dense", 2, 16)]), &["element", "8", "16"]);
}
