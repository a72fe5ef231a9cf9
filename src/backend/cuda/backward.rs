//! The steps of a backward pass.

use super::buffers::{Addresses, Buffer};
use super::callers::Stored;
use super::device::DeviceError;
use super::forward::{OperandSide, Steps, stage_shape};
use super::operators::PreparedOperator;
use super::params::{
    VGGX_BELOW_NOTHING, VGGX_BELOW_POOL, VGGX_BELOW_RECTIFIER, VGGX_GATE_MASK, VGGX_GATE_SIGN,
    VggxAveragePool, VggxBelow, VggxConvolutionBackward, VggxDeliver, VggxOutput, VggxScale, VggxSignalImage,
    VggxStart, VggxUnpool,
};
use super::parts::{SegmentParts, parts};
use super::plan::{ClassifierPlan, Plan, per_image, signal_image_size};
use super::program::Step;
use crate::backend::{Gate, Start};
use std::sync::Arc;

/// A signal on the device.
#[derive(Clone, Copy)]
struct Signal {
    address: u64,
    scale: VggxScale,
}

/// What comes back of a signal that has arrived at the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// All three channels.
    Planes,
    /// Their sum.
    HeatMap,
}

impl Detail {
    /// Numbers for each pixel.
    pub fn channels(self) -> usize {
        match self {
            Detail::Planes => 3,
            Detail::HeatMap => 1,
        }
    }

    /// Where they are.
    fn buffer(self, plan: &Plan) -> Buffer {
        match self {
            Detail::Planes => plan.values,
            Detail::HeatMap => plan.heat_map,
        }
    }
}

/// What comes back, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Exit {
    pub detail: Detail,
    /// As what it stays on the device; none: the host takes it.
    pub stored: Option<Stored>,
}

impl Exit {
    /// To the host.
    pub fn to_host(detail: Detail) -> Self {
        Exit { detail, stored: None }
    }

    /// What the host reads, with exponents behind it where it takes the values.
    pub fn buffer(self, plan: &Plan) -> Buffer {
        if self.stored.is_some() { plan.delivered } else { self.detail.buffer(plan) }
    }
}

/// All steps of a backward pass with these operators, one a parametric layer; `names` are the layers'. `reversed` says whether the
/// network takes blue, green, red.
pub(super) fn backward(
    plan: &Plan,
    at: &Addresses,
    operators: &[Arc<PreparedOperator>],
    (gate, start): (Gate, Start),
    (exit, reversed): (Exit, bool),
    names: &[String],
) -> Result<Vec<Step>, DeviceError> {
    let parts = parts(plan, at, &plan.schedule.backward);
    let mut steps = Steps::new(plan, at);
    let request = at.of(plan.request.buffer);
    steps.push(Step::Upload { address: request, offset: 0, bytes: plan.request.bytes });
    steps.clear_largest(plan.backward_scales);
    let mut pass = Pass { steps, operators, gate, names };
    let signal = pass.start(start);
    match &plan.classifier {
        Some(classifier) => {
            let signal = pass.through_dense_layers(classifier, signal);
            pass.reach_map(classifier, signal);
        }
        None => pass.unpool(signal),
    }
    pass.through_stages(&parts);
    // A classifier's response is one number an image: it joins at the end.
    let joins = plan.classifier.is_some() && start == Start::Response;
    let factors = if joins { request + plan.request.factors as u64 } else { 0 };
    pass.output(factors, exit.detail);
    match exit.stored {
        Some(stored) => pass.deliver(exit.detail, stored, reversed),
        None => pass.download(exit.detail),
    }
    pass.steps.finish()
}

/// Whether the signal must start with the response's sign: it decides what a gate by sign lets pass. Activations are
/// never negative.
pub(super) fn starts_with_signs(has_classifier: bool, gate: Gate, start: Start) -> bool {
    has_classifier && start == Start::Response && gate.by_sign()
}

struct Pass<'a> {
    steps: Steps<'a>,
    operators: &'a [Arc<PreparedOperator>],
    gate: Gate,
    names: &'a [String],
}

impl<'a> Pass<'a> {
    fn signal_scale(&self, map: usize) -> VggxScale {
        self.steps.scale(self.steps.plan.backward_scales, map)
    }

    fn gate_bits(&self) -> i32 {
        let mask = if self.gate.by_mask() { VGGX_GATE_MASK } else { 0 };
        let sign = if self.gate.by_sign() { VGGX_GATE_SIGN } else { 0 };
        mask | sign
    }

    fn start(&mut self, start: Start) -> Signal {
        let (plan, at) = (self.steps.plan, self.steps.at);
        let request = at.of(plan.request.buffer);
        let last = plan.last_stage();
        let (positions, channels) = match &plan.classifier {
            Some(classifier) => (1, classifier.layers[classifier.layers.len() - 1].outputs),
            None => (last.stored_height * last.stored_width, last.outputs),
        };
        let (activations, activations_scale) =
            if starts_with_signs(plan.classifier.is_some(), self.gate, start) {
                let scale = VggxScale {
                    largest: request + plan.request.signs_largest as u64,
                    exponent: request + plan.request.signs_exponent as u64,
                };
                (request + plan.request.signs as u64, scale)
            } else if plan.classifier.is_none() && start == Start::Response {
                let scale = self.steps.scale(plan.forward_scales, Plan::stage_scale(plan.stages.len() - 1));
                (at.of(last.output), scale)
            } else {
                (0, VggxScale::default())
            };
        let signal = Signal { address: at.of(plan.start), scale: self.signal_scale(0) };
        let parameters = VggxStart {
            targets: request + plan.request.targets as u64,
            activations,
            activations_scale,
            output: signal.address,
            output_scale: signal.scale,
            images: self.steps.images(),
            positions: positions as i32,
            channels: channels as i32,
            reserved: 0,
        };
        let size = per_image(positions * channels, 2048, plan.geometry.images);
        let shape = format!("{} images, {positions} positions, {channels} channels", plan.geometry.images);
        self.steps.launch(self.steps.kernel("start"), size, shape, parameters);
        signal
    }

    /// From the target's logit back to the input of the first dense layer.
    fn through_dense_layers(&mut self, classifier: &ClassifierPlan, mut signal: Signal) -> Signal {
        let (plan, at, images) = (self.steps.plan, self.steps.at, self.steps.images());
        for (index, layer) in classifier.layers.iter().enumerate().rev() {
            let place = plan.stages.len() + index;
            let operand = OperandSide {
                input: signal.address,
                input_scale: signal.scale,
                operator: &self.operators[place],
                height: 1,
                width: 1,
                channels: layer.outputs,
                outputs: layer.inputs,
                taps: 1,
                stages: layer.backward.stages,
            };
            signal = Signal {
                address: at.of(layer.signal),
                scale: self.signal_scale(Plan::dense_signal_scale(index)),
            };
            let mask = index.checked_sub(1).and_then(|below| classifier.layers[below].mask);
            let below = VggxBelow {
                gate: self.gate_bits(),
                below: if mask.is_some() { VGGX_BELOW_RECTIFIER } else { VGGX_BELOW_NOTHING },
                mask: mask.map_or(0, |mask| at.of(mask)),
                output: signal.address,
                output_scale: signal.scale,
                ..VggxBelow::default()
            };
            let parameters = VggxConvolutionBackward { operand: operand.parameters(images), below };
            let kernel = format!("convolution_backward_{}", layer.backward.suffix(plan.precision));
            let name = &self.names[place];
            let shape =
                format!("{name}, {images} images, {} outputs, {} inputs", layer.outputs, layer.inputs);
            self.steps.of_layer(Some(place));
            self.steps.launch(kernel, layer.backward.size, shape, parameters);
        }
        self.steps.of_layer(None);
        signal
    }

    /// From the first dense layer's input to the last stage's convolution.
    fn reach_map(&mut self, classifier: &ClassifierPlan, signal: Signal) {
        if classifier.pooled.is_none() {
            return self.unpool(signal);
        }
        let plan = self.steps.plan;
        let last = plan.last_stage();
        let below = self.below(plan.stages.len() - 1);
        let parameters = VggxAveragePool {
            input: signal.address,
            input_scale: signal.scale,
            bound: classifier.backward_bound,
            images: self.steps.images(),
            height: last.stored_height as i32,
            width: last.stored_width as i32,
            channels: last.outputs as i32,
            side: classifier.side as i32,
            output: 0,
            below,
        };
        let values = last.stored_height * last.stored_width * last.outputs;
        let size = per_image(values, 2048, plan.geometry.images);
        let shape = stage_shape(plan, last, "the map before the dense layers");
        self.steps.launch(self.steps.kernel("average_pool_backward"), size, shape, parameters);
    }

    /// Gates and unpools a signal that has the extents of the final map.
    fn unpool(&mut self, signal: Signal) {
        let plan = self.steps.plan;
        let last = plan.last_stage();
        let below = self.below(plan.stages.len() - 1);
        let parameters = VggxUnpool {
            input: signal.address,
            input_scale: signal.scale,
            images: self.steps.images(),
            height: last.stored_height as i32,
            width: last.stored_width as i32,
            channels: last.outputs as i32,
            below,
        };
        let values = last.stored_height * last.stored_width * last.outputs;
        let size = per_image(values, 2048, plan.geometry.images);
        let shape = stage_shape(plan, last, "the final map");
        self.steps.launch(self.steps.kernel("unpool"), size, shape, parameters);
    }

    /// The signal at the output of a stage's convolution.
    fn signal(&self, index: usize) -> Signal {
        let plan = self.steps.plan;
        let address = self.steps.at.of(plan.stages[index].signal);
        Signal { address, scale: self.signal_scale(plan.stage_signal_scale(index)) }
    }

    /// How a signal that arrives at a stage's stored map passes its pool and ReLU.
    fn below(&self, index: usize) -> VggxBelow {
        let (plan, at) = (self.steps.plan, self.steps.at);
        let stage = &plan.stages[index];
        let signal = self.signal(index);
        VggxBelow {
            gate: self.gate_bits(),
            below: if stage.pool { VGGX_BELOW_POOL } else { VGGX_BELOW_RECTIFIER },
            mask: at.of(stage.mask),
            argmax: stage.argmax.map_or(0, |argmax| at.of(argmax)),
            unpooled_height: stage.height as i32,
            unpooled_width: stage.width as i32,
            output: signal.address,
            output_scale: signal.scale,
        }
    }

    /// From the last stage's convolution to the pixels.
    fn through_stages(&mut self, parts: &'a [SegmentParts]) {
        for SegmentParts { stages, parts } in parts.iter().rev() {
            for part in parts {
                self.steps.begin_part(part);
                for index in stages.clone().rev() {
                    self.steps.of_layer(Some(index));
                    match index {
                        0 => self.first_stage(),
                        _ => self.through_stage(index),
                    }
                }
                self.steps.end_part();
            }
        }
    }

    /// Through a convolution that has another one before it.
    fn through_stage(&mut self, index: usize) {
        let plan = self.steps.plan;
        let stage = &plan.stages[index];
        let signal = self.signal(index);
        let operator = &self.operators[index];
        // The plan says so of layers alone that have such an operator.
        let float8 = operator.float8.as_deref().filter(|_| stage.float8.input);
        let operand = OperandSide {
            input: signal.address,
            input_scale: signal.scale,
            operator: float8.unwrap_or(operator),
            height: stage.height,
            width: stage.width,
            channels: stage.outputs,
            outputs: stage.inputs,
            taps: 9,
            stages: stage.backward.stages,
        };
        let below = self.below(index - 1);
        let parameters = VggxConvolutionBackward { operand: operand.parameters(self.steps.images()), below };
        let shape = stage_shape(plan, stage, &self.names[index]);
        if let Some(variant) = &stage.backward_boxes {
            let way = ("backward", stage.float8.elements().unwrap_or(plan.precision.suffix()));
            self.steps.launch_boxes(way, variant, shape, variant.backward(parameters, stage.float8));
        } else {
            let kernel = format!("convolution_backward_{}", stage.backward.suffix(plan.precision));
            self.steps.launch(kernel, stage.backward.size, shape, parameters);
        }
    }

    /// Through the first convolution.
    fn first_stage(&mut self) {
        let plan = self.steps.plan;
        let geometry = plan.geometry;
        let operator = &self.operators[0];
        let signal = self.signal(0);
        let parameters = VggxSignalImage {
            input: signal.address,
            input_scale: signal.scale,
            operator_: operator.address(),
            operator_bound: operator.bound,
            operator_gain: operator.gain,
            images: self.steps.images(),
            height: geometry.height as i32,
            width: geometry.width as i32,
            channels: plan.stages[0].outputs as i32,
            output: self.steps.at.of(plan.values),
            output_scale: self.signal_scale(plan.values_scale()),
        };
        let shape = stage_shape(plan, &plan.stages[0], &self.names[0]);
        let size = signal_image_size(geometry, plan.precision);
        self.steps.launch(self.steps.kernel("signal_image"), size, shape, parameters);
    }

    /// Out, of the signal that has arrived at the pixels.
    fn output(&mut self, factors: u64, detail: Detail) {
        let (plan, at) = (self.steps.plan, self.steps.at);
        let geometry = plan.geometry;
        let shape = stage_shape(plan, &plan.stages[0], &self.names[0]);
        let positions = geometry.height * geometry.width;
        let parameters = VggxOutput {
            values: at.of(plan.values),
            scale: self.signal_scale(plan.values_scale()),
            factors,
            heat_map: at.of(plan.heat_map),
            exponents: at.of(plan.exponents),
            images: self.steps.images(),
            positions: positions as i32,
        };
        let size = per_image(detail.channels() * positions, 1024, geometry.images);
        let kernel = match detail {
            Detail::Planes => "output_planes",
            Detail::HeatMap => "output_heat_map",
        };
        self.steps.launch(kernel.to_owned(), size, shape, parameters);
    }

    /// To the host, with the exponents.
    fn download(&mut self, detail: Detail) {
        let (plan, at) = (self.steps.plan, self.steps.at);
        let buffer = detail.buffer(plan);
        let bytes = plan.buffers.bytes(buffer);
        self.steps.push(Step::Download { address: at.of(buffer), offset: 0, bytes });
        let (offset, bytes) = (plan.exponents_offset(buffer), plan.buffers.bytes(plan.exponents));
        self.steps.push(Step::Download { address: at.of(plan.exponents), offset, bytes });
    }

    /// To where the request says on the device; the exponents that are left, to the host.
    fn deliver(&mut self, detail: Detail, stored: Stored, reversed: bool) {
        let (plan, at) = (self.steps.plan, self.steps.at);
        let geometry = plan.geometry;
        let request = at.of(plan.request.buffer);
        let (address, bytes) = (at.of(plan.bits), plan.buffers.bytes(plan.bits));
        self.steps.push(Step::Clear { address, bytes });
        let positions = geometry.height * geometry.width;
        let parameters = VggxDeliver {
            values: at.of(detail.buffer(plan)),
            exponents: at.of(plan.exponents),
            joins: request + plan.request.joins as u64,
            bits: address,
            destinations: request + plan.request.destinations as u64,
            scales: at.of(plan.delivered),
            images: self.steps.images(),
            channels: detail.channels() as i32,
            positions: positions as i32,
            reversed: i32::from(reversed && detail == Detail::Planes),
        };
        let shape = format!("{} images of {}×{}", geometry.images, geometry.height, geometry.width);
        let size = |per_block| per_image(detail.channels() * positions, per_block, geometry.images);
        self.steps.launch("deliver_largest".to_owned(), size(2048), shape.clone(), parameters);
        let kernel = match stored {
            Stored::F32 => "deliver_f32",
            Stored::F16 => "deliver_f16",
        };
        self.steps.launch(kernel.to_owned(), size(1024), shape, parameters);
        let (address, bytes) = (at.of(plan.delivered), plan.buffers.bytes(plan.delivered));
        self.steps.push(Step::Download { address, offset: 0, bytes });
    }
}
