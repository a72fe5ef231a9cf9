//! The steps of a forward pass.

use super::buffers::Addresses;
use super::device::DeviceError;
use super::network::DeviceNetwork;
use super::operators::PreparedOperator;
use super::params::{
    VGGX_LINEAR, VGGX_RECTIFY, VGGX_RECTIFY_POOL, VggxAveragePool, VggxChannelSums, VggxConvolutionForward,
    VggxGather, VggxInterleave, VggxNormalise, VggxOperand, VggxScale,
};
use super::parts::{Part, SegmentParts, parts};
use super::plan::{ClassifierPlan, Input, Plan, Scales, StagePlan, per_image, per_value};
use super::program::{LaunchPlace, Parameters, Step};
use super::warpgroups::BoxVariant;

/// Steps that are put together for a plan at its addresses.
pub(super) struct Steps<'a> {
    /// Those of the part of the batch that steps are for.
    pub plan: &'a Plan,
    pub at: &'a Addresses,
    /// Those of all images.
    whole: (&'a Plan, &'a Addresses),
    /// Where it goes which images count, of pixels on the device whose values may not be finite; 0: nowhere.
    pub counted: u64,
    place: LaunchPlace,
    list: Vec<Step>,
    /// What the driver refused to describe.
    error: Option<DeviceError>,
}

impl<'a> Steps<'a> {
    pub fn new(plan: &'a Plan, at: &'a Addresses) -> Self {
        Steps {
            plan,
            at,
            whole: (plan, at),
            counted: 0,
            place: LaunchPlace::default(),
            list: Vec::new(),
            error: None,
        }
    }

    /// Steps are for a part of the batch from here on.
    pub fn begin_part(&mut self, part: &'a Part) {
        (self.plan, self.at) = (&part.plan, &part.at);
        self.place = LaunchPlace { in_part: part.is_some, first: part.first, ..LaunchPlace::default() };
    }

    /// Steps are for the whole batch again.
    pub fn end_part(&mut self) {
        (self.plan, self.at) = self.whole;
        self.place = LaunchPlace::default();
    }

    /// Says which layer the next launches belong to.
    pub fn of_layer(&mut self, layer: Option<usize>) {
        self.place.layer = layer;
    }

    pub fn push(&mut self, step: Step) {
        self.list.push(step);
    }

    pub fn launch(
        &mut self,
        kernel: String,
        size: super::device::LaunchSize,
        shape: String,
        parameters: impl Into<Parameters>,
    ) {
        let (parameters, place) = (Box::new(parameters.into()), self.place);
        self.list.push(Step::Launch { kernel, size, parameters, shape, place });
        self.place.follows = self.place.in_part;
    }

    /// Launches the kernel of warpgroups that goes this way, `forward` or `backward`, on such elements.
    pub fn launch_boxes<P: Into<Parameters>>(
        &mut self,
        (way, elements): (&str, &str),
        variant: &BoxVariant,
        shape: String,
        parameters: Result<P, DeviceError>,
    ) {
        let kernel = variant.kernel(way, elements);
        self.launch_described(kernel, variant.size, shape, parameters);
    }

    /// Launches a kernel, where the driver could describe what it copies.
    pub fn launch_described<P: Into<Parameters>>(
        &mut self,
        kernel: String,
        size: super::device::LaunchSize,
        shape: String,
        parameters: Result<P, DeviceError>,
    ) {
        match parameters {
            Ok(parameters) => self.launch(kernel, size, shape, parameters),
            Err(error) => self.error = Some(error.in_kernel(&kernel, || shape)),
        }
    }

    /// A kernel's name for the plan's elements.
    pub fn kernel(&self, name: &str) -> String {
        format!("{name}_{}", self.plan.precision.suffix())
    }

    pub fn scale(&self, scales: Scales, map: usize) -> VggxScale {
        let offset = (map * self.plan.held * size_of::<u32>()) as u64;
        VggxScale {
            largest: self.at.of(scales.largest) + offset,
            exponent: self.at.of(scales.exponent) + offset,
        }
    }

    /// Sets every largest magnitude of a pass to zero: kernels only raise them.
    pub fn clear_largest(&mut self, scales: Scales) {
        let bytes = self.plan.buffers.bytes(scales.largest);
        self.push(Step::Clear { address: self.at.of(scales.largest), bytes });
    }

    pub fn images(&self) -> i32 {
        self.plan.geometry.images as i32
    }

    /// The steps, as one program.
    pub fn finish(self) -> Result<Vec<Step>, DeviceError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.list),
        }
    }
}

/// What a layer's operator is applied to.
pub(super) struct OperandSide<'a> {
    pub input: u64,
    pub input_scale: VggxScale,
    pub operator: &'a PreparedOperator,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub outputs: usize,
    pub taps: i32,
    pub stages: usize,
}

impl OperandSide<'_> {
    pub fn parameters(&self, images: i32) -> VggxOperand {
        VggxOperand {
            input: self.input,
            input_scale: self.input_scale,
            operator_: self.operator.address(),
            operator_bound: self.operator.bound,
            operator_gain: self.operator.gain,
            images,
            height: self.height as i32,
            width: self.width as i32,
            channels: self.channels as i32,
            outputs: self.outputs as i32,
            taps: self.taps,
            stages: self.stages as i32,
            reserved: 0,
        }
    }
}

/// A parametric layer that has just run, and whose maps are still there.
pub(super) struct LayerMaps {
    /// Number among the parametric layers.
    pub layer: usize,
    pub input: u64,
    pub input_scale: VggxScale,
    pub output_scale: VggxScale,
}

/// What is to be done behind each layer.
pub(super) type Behind<'a, 'b> = &'a mut dyn FnMut(&mut Steps<'b>, &LayerMaps);

/// All steps of a forward pass; `names` are the parametric layers'.
pub(super) fn forward(
    plan: &Plan,
    at: &Addresses,
    network: &DeviceNetwork,
    names: &[String],
) -> Result<Vec<Step>, DeviceError> {
    let parts = parts(plan, at, &plan.schedule.forward);
    let mut steps = Steps::new(plan, at);
    let (map, scale) = layers(&mut steps, &parts, network, names, 0, &mut |_, _| ());
    let responses_scale = if plan.classifier.is_some() { scale } else { sums(&mut steps, map) };
    let responses = plan.responses();
    steps.push(Step::Download { address: at.of(responses), offset: 0, bytes: plan.buffers.bytes(responses) });
    steps.push(Step::Download {
        address: responses_scale.exponent,
        offset: plan.exponents_offset(responses),
        bytes: plan.geometry.images * size_of::<i32>(),
    });
    if let Some(offset) = plan.bits_offset() {
        let bytes = plan.buffers.bytes(plan.bits);
        steps.push(Step::Download { address: at.of(plan.bits), offset, bytes });
    }
    steps.finish()
}

/// The steps from the pixels to the output of the last layer; returns its address and scale. Each layer's z goes to
/// `pre_activation`, if there is such memory.
pub(super) fn layers<'b>(
    steps: &mut Steps<'b>,
    parts: &'b [SegmentParts],
    network: &DeviceNetwork,
    names: &[String],
    pre_activation: u64,
    behind: Behind<'_, 'b>,
) -> (u64, VggxScale) {
    input(steps, network);
    for SegmentParts { stages, parts } in parts {
        for part in parts {
            steps.begin_part(part);
            for index in stages.clone() {
                let maps = convolution(steps, index, network, &names[index], pre_activation);
                behind(steps, &maps);
            }
            steps.end_part();
        }
    }
    let plan = steps.plan;
    let map = steps.at.of(plan.last_stage().output);
    match &plan.classifier {
        Some(classifier) => dense_layers(steps, classifier, map, network, names, pre_activation, behind),
        None => (map, steps.scale(plan.forward_scales, Plan::stage_scale(plan.stages.len() - 1))),
    }
}

/// From pixels or planes to the network's input.
fn input(steps: &mut Steps, network: &DeviceNetwork) {
    let plan = steps.plan;
    let positions = plan.geometry.height * plan.geometry.width;
    steps.clear_largest(plan.forward_scales);
    let send = |steps: &mut Steps, buffer| {
        let (address, bytes) = (steps.at.of(buffer), plan.buffers.bytes(buffer));
        steps.push(Step::Upload { address, offset: 0, bytes });
    };
    match plan.geometry.input {
        Input::Rgb8 => {
            send(steps, plan.pixels);
            normalise(steps, network);
        }
        Input::DeviceRgb8 => {
            send(steps, plan.sources);
            gather(steps, "gather_bytes".to_owned(), 3 * positions, 1024);
            normalise(steps, network);
        }
        Input::Normalised => {
            send(steps, plan.pixels);
            interleave(steps);
        }
        Input::DeviceNormalised => {
            send(steps, plan.sources);
            let (address, bytes) = (steps.at.of(plan.bits), plan.buffers.bytes(plan.bits));
            steps.push(Step::Clear { address, bytes });
            gather(steps, "gather_largest".to_owned(), 3 * positions, 2048);
            gather(steps, steps.kernel("gather_planes"), positions, 1024);
        }
    }
}

/// What the pixels are, for messages.
fn pixels_shape(plan: &Plan) -> String {
    let geometry = plan.geometry;
    format!("{} images of {}×{}", geometry.images, geometry.height, geometry.width)
}

/// Bytes to the network's input.
fn normalise(steps: &mut Steps, network: &DeviceNetwork) {
    let plan = steps.plan;
    let geometry = plan.geometry;
    let positions = geometry.height * geometry.width;
    let parameters = VggxNormalise {
        pixels: steps.at.of(plan.pixels),
        table: network.pixels.address(),
        output: steps.at.of(plan.input),
        output_scale: steps.scale(plan.forward_scales, 0),
        largest: network.pixels.largest,
        exponent: network.pixels.exponent,
        images: steps.images(),
        positions: positions as i32,
        reversed: i32::from(network.pixels.reversed),
        reserved: 0,
    };
    let size = per_value(geometry.images * positions, 1024, 256);
    steps.launch(steps.kernel("normalise"), size, pixels_shape(plan), parameters);
}

/// Planes that the host has scaled to the network's input.
fn interleave(steps: &mut Steps) {
    let plan = steps.plan;
    let geometry = plan.geometry;
    let scale = steps.scale(plan.forward_scales, 0);
    let bytes = geometry.images * size_of::<u32>();
    let offset = plan.input_scales_offset();
    steps.push(Step::Upload { address: scale.largest, offset, bytes });
    steps.push(Step::Upload { address: scale.exponent, offset: offset + bytes, bytes });
    let positions = geometry.height * geometry.width;
    let parameters = VggxInterleave {
        planes: steps.at.of(plan.pixels),
        output: steps.at.of(plan.input),
        images: steps.images(),
        positions: positions as i32,
    };
    let size = per_value(geometry.images * positions, 256, 256);
    steps.launch(steps.kernel("interleave"), size, pixels_shape(plan), parameters);
}

/// One of the kernels that read images where their owner put them, with `per_block` of an image's `count` values or pixels a block.
fn gather(steps: &mut Steps, kernel: String, count: usize, per_block: usize) {
    let plan = steps.plan;
    let geometry = plan.geometry;
    let to_bytes = geometry.input == Input::DeviceRgb8;
    let parameters = VggxGather {
        sources: steps.at.of(plan.sources),
        output: steps.at.of(if to_bytes { plan.pixels } else { plan.input }),
        output_scale: steps.scale(plan.forward_scales, 0),
        bits: steps.at.of(plan.bits),
        counted: steps.counted,
        images: steps.images(),
        height: geometry.height as i32,
        width: geometry.width as i32,
        reserved: 0,
    };
    let size = per_image(count, per_block, geometry.images);
    steps.launch(kernel, size, pixels_shape(plan), parameters);
}

fn convolution(
    steps: &mut Steps,
    index: usize,
    network: &DeviceNetwork,
    name: &str,
    pre_activation: u64,
) -> LayerMaps {
    let (plan, at) = (steps.plan, steps.at);
    let stage = &plan.stages[index];
    let input = at.of(index.checked_sub(1).map_or(plan.input, |below| plan.stages[below].output));
    steps.of_layer(Some(index));
    // The image's scale is at 0, the first stage's at 1.
    let operand = OperandSide {
        input,
        input_scale: steps.scale(plan.forward_scales, index),
        operator: &network.operators[index],
        height: stage.height,
        width: stage.width,
        channels: stage.inputs,
        outputs: stage.outputs,
        taps: 9,
        stages: stage.forward.stages,
    };
    let maps = LayerMaps {
        layer: index,
        input,
        input_scale: operand.input_scale,
        output_scale: steps.scale(plan.forward_scales, Plan::stage_scale(index)),
    };
    let parameters = VggxConvolutionForward {
        operand: operand.parameters(steps.images()),
        bias: network.biases[index].address(),
        bias_bound: network.biases[index].bound,
        epilogue: if stage.pool { VGGX_RECTIFY_POOL } else { VGGX_RECTIFY },
        output: at.of(stage.output),
        output_scale: maps.output_scale,
        mask: at.of(stage.mask),
        argmax: stage.argmax.map_or(0, |argmax| at.of(argmax)),
        pre_activation,
    };
    let shape = stage_shape(plan, stage, name);
    if let Some(variant) = &stage.forward_boxes {
        let way = ("forward", plan.precision.suffix());
        steps.launch_boxes(way, variant, shape, variant.forward(parameters));
        return maps;
    }
    let kernel = if index == 0 {
        steps.kernel("convolution_image")
    } else {
        format!("convolution_forward_{}", stage.forward.suffix(plan.precision))
    };
    steps.launch(kernel, stage.forward.size, shape, parameters);
    maps
}

/// What a convolution works on, for messages.
pub(super) fn stage_shape(plan: &Plan, stage: &StagePlan, name: &str) -> String {
    let images = plan.geometry.images;
    let StagePlan { height, width, inputs, outputs, .. } = stage;
    format!("{name}, {images} images of {height}×{width}, {inputs} and {outputs} channels")
}

/// Averages, then applies the dense layers; returns the logits' address and scale.
fn dense_layers<'b>(
    steps: &mut Steps<'b>,
    classifier: &ClassifierPlan,
    map: u64,
    network: &DeviceNetwork,
    names: &[String],
    pre_activation: u64,
    behind: Behind<'_, 'b>,
) -> (u64, VggxScale) {
    let (plan, at, images) = (steps.plan, steps.at, steps.images());
    let last = plan.last_stage();
    let mut input = map;
    let mut scale = steps.scale(plan.forward_scales, Plan::stage_scale(plan.stages.len() - 1));
    if let Some(pooled) = classifier.pooled {
        let parameters = VggxAveragePool {
            input,
            input_scale: scale,
            images,
            height: last.stored_height as i32,
            width: last.stored_width as i32,
            channels: last.outputs as i32,
            side: classifier.side as i32,
            output: at.of(pooled),
            ..VggxAveragePool::default()
        };
        let size = per_image(classifier.layers[0].inputs, 2048, plan.geometry.images);
        let shape = stage_shape(plan, last, "the map before the dense layers");
        steps.launch(steps.kernel("average_pool"), size, shape, parameters);
        // Averages keep the map's scale.
        input = at.of(pooled);
    }
    for (index, (layer, name)) in classifier.layers.iter().zip(&names[plan.stages.len()..]).enumerate() {
        let place = plan.stages.len() + index;
        let output_scale = steps.scale(plan.forward_scales, plan.dense_scale(index));
        let operand = OperandSide {
            input,
            input_scale: scale,
            operator: &network.operators[place],
            height: 1,
            width: 1,
            channels: layer.inputs,
            outputs: layer.outputs,
            taps: 1,
            stages: layer.forward.stages,
        };
        let parameters = VggxConvolutionForward {
            operand: operand.parameters(images),
            bias: network.biases[place].address(),
            bias_bound: network.biases[place].bound,
            epilogue: if layer.mask.is_some() { VGGX_RECTIFY } else { VGGX_LINEAR },
            output: at.of(layer.output),
            output_scale,
            mask: layer.mask.map_or(0, |mask| at.of(mask)),
            argmax: 0,
            pre_activation,
        };
        steps.of_layer(Some(place));
        let kernel = format!("convolution_forward_{}", layer.forward.suffix(plan.precision));
        let shape = format!("{name}, {images} images, {} inputs, {} outputs", layer.inputs, layer.outputs);
        steps.launch(kernel, layer.forward.size, shape, parameters);
        behind(steps, &LayerMaps { layer: place, input, input_scale: scale, output_scale });
        (input, scale) = (at.of(layer.output), output_scale);
    }
    steps.of_layer(None);
    (input, scale)
}

/// A headless network's responses; returns the final map's scale.
fn sums(steps: &mut Steps, map: u64) -> VggxScale {
    let plan = steps.plan;
    let last = plan.last_stage();
    if let Some(sums) = plan.sums {
        let parameters = VggxChannelSums {
            input: map,
            output: steps.at.of(sums),
            images: steps.images(),
            positions: (last.stored_height * last.stored_width) as i32,
            channels: last.outputs as i32,
            reserved: 0,
        };
        let size = per_value(plan.geometry.images * last.outputs, 128, 128);
        let shape = stage_shape(plan, last, "the final map");
        steps.launch(steps.kernel("channel_sums"), size, shape, parameters);
    }
    steps.scale(plan.forward_scales, Plan::stage_scale(plan.stages.len() - 1))
}
