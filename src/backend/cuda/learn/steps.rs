//! The steps of a pass that learns.

use super::super::buffers::Addresses;
use super::super::device::{DeviceError, LaunchSize};
use super::super::forward::{LayerMaps, Steps, layers};
use super::super::network::DeviceNetwork;
use super::super::params::{VggxMomentInputs, VggxMomentMaps, VggxMomentResponses, VggxMoments};
use super::super::parts::parts;
use super::super::plan::per_value;
use super::super::program::Step;
use super::super::tiles::Limits;
use super::accumulators::LayerAddresses;
use super::boxes::MomentBoxes;
use super::plan::LearnPlan;
use super::second::SecondAddresses;
use super::split::Extents;

/// Threads of all kernels but those of the products.
const THREADS: u32 = 256;
/// Neurons or channels of a block whose warps have one each.
const WARPS: usize = 8;
/// Channels of a block that sums octets.
const GROUP: usize = 64;

/// All steps; `names` are the parametric layers', `accumulators` where their sums lie.
pub(super) fn learn(
    learn: &LearnPlan,
    at: &Addresses,
    network: &DeviceNetwork,
    names: &[String],
    accumulators: &[LayerAddresses],
    limits: Limits,
) -> Result<Vec<Step>, DeviceError> {
    let parts = parts(&learn.plan, at, &learn.plan.schedule.forward);
    let mut steps = Steps::new(&learn.plan, at);
    if learn.plan.bits_offset().is_some() {
        // What the device finds out, it keeps, and says.
        steps.counted = at.of(learn.counted);
    } else {
        let bytes = learn.plan.geometry.images * size_of::<u32>();
        let offset = learn.counted_offset();
        steps.push(Step::Upload { address: at.of(learn.counted), offset, bytes });
    }
    layers(&mut steps, &parts, network, names, at.of(learn.pre_activation), &mut |steps, maps| {
        let layer = maps.layer;
        let sums = LayerSums {
            learn,
            layer,
            extents: learn.layers[layer],
            maps: moment_maps(learn, steps, maps),
            bias: network.biases[layer].address(),
            sums: &accumulators[layer],
            name: &names[layer],
        };
        steps.launch("moment_factors".to_owned(), one_block(32), sums.shape(), sums.maps);
        sums.inputs(steps);
        sums.responses(steps);
        sums.products(steps);
        sums.second(steps, limits);
    });
    if learn.plan.bits_offset().is_some() {
        let (address, bytes) = (at.of(learn.plan.bits), learn.plan.buffers.bytes(learn.plan.bits));
        steps.push(Step::Download { address, offset: 0, bytes });
    }
    steps.finish()
}

/// A layer's maps as the kernels take them.
fn moment_maps(learn: &LearnPlan, steps: &Steps, maps: &LayerMaps) -> VggxMomentMaps {
    let extents = learn.layers[maps.layer];
    VggxMomentMaps {
        input: maps.input,
        input_exponent: maps.input_scale.exponent,
        pre_activation: steps.at.of(learn.pre_activation),
        pre_activation_exponent: maps.output_scale.exponent,
        counted: steps.at.of(learn.counted),
        factors: steps.at.of(learn.factors),
        common: steps.at.of(learn.common),
        images: extents.images as i32,
        height: extents.height as i32,
        width: extents.width as i32,
        channels: extents.channels as i32,
        outputs: extents.outputs as i32,
        taps: extents.taps as i32,
    }
}

/// The sums over one layer.
struct LayerSums<'a> {
    learn: &'a LearnPlan,
    /// Among the parametric ones.
    layer: usize,
    extents: Extents,
    maps: VggxMomentMaps,
    bias: u64,
    sums: &'a LayerAddresses,
    name: &'a str,
}

impl LayerSums<'_> {
    /// For messages.
    fn shape(&self) -> String {
        let Extents { images, height, width, channels, outputs, .. } = self.extents;
        format!(
            "moments of {}, {images} images of {height}×{width}, {channels} and {outputs} channels",
            self.name
        )
    }

    fn inputs(&self, steps: &mut Steps) {
        let (extents, slices) = (self.extents, self.extents.slices());
        let batch_sums = steps.at.of(self.learn.batch_inputs);
        if extents.is_image() {
            // The products' rows behind the last tap have sums, too.
            steps.push(Step::Clear { address: batch_sums, bytes: extents.fan_in() * size_of::<f64>() });
        }
        let parameters = VggxMomentInputs {
            maps: self.maps,
            partials: steps.at.of(self.learn.partials),
            batch_sums,
            sums: self.sums.inputs,
            slice_positions: slices.length as i32,
            slices: slices.count as i32,
        };
        let name = if extents.is_image() { "moment_inputs_image" } else { "moment_inputs" };
        let size = LaunchSize {
            grid: [slices.count, extents.groups(), extents.regions()].map(|blocks| blocks as u32),
            threads: THREADS,
            shared: staged(1),
        };
        steps.launch(steps.kernel(name), size, self.shape(), parameters);
        let size = one_a_warp(extents.channels);
        steps.launch("moment_inputs_taps".to_owned(), size, self.shape(), parameters);
    }

    fn responses(&self, steps: &mut Steps) {
        let (outputs, slices) = (self.extents.outputs, self.extents.slices());
        let [positive_count, positive_y, positive_yy, negative_y, negative_yy] = self.sums.responses;
        let parameters = VggxMomentResponses {
            maps: self.maps,
            bias: self.bias,
            partials: steps.at.of(self.learn.partials),
            pilots: steps.at.of(self.learn.pilots),
            counts: steps.at.of(self.learn.counts),
            positive_count,
            positive_y,
            positive_yy,
            negative_y,
            negative_yy,
            slice_positions: slices.length as i32,
            slices: slices.count as i32,
        };
        let of_slices = |sums| LaunchSize {
            grid: [slices.count as u32, (outputs / GROUP) as u32, 1],
            threads: THREADS,
            shared: staged(sums),
        };
        steps.launch(steps.kernel("moment_regimes"), of_slices(3), self.shape(), parameters);
        steps.launch(steps.kernel("moment_pilots"), one_a_warp(outputs), self.shape(), parameters);
        steps.launch(steps.kernel("moment_deviations"), of_slices(4), self.shape(), parameters);
        steps.launch("moment_responses".to_owned(), one_a_warp(outputs), self.shape(), parameters);
    }

    fn products(&self, steps: &mut Steps) {
        let extents = self.extents;
        let boxes = self.learn.boxes[self.layer].as_ref();
        let chunks = boxes.map_or_else(|| extents.chunks(), MomentBoxes::chunk_positions);
        let [positive_x, positive_xy, negative_xy] = self.sums.products;
        let parameters = VggxMoments {
            maps: self.maps,
            bias: self.bias,
            pilots: steps.at.of(self.learn.pilots),
            counts: steps.at.of(self.learn.counts),
            input_sums: steps.at.of(self.learn.batch_inputs),
            partials: steps.at.of(self.learn.partials),
            positive_x,
            positive_xy,
            negative_xy,
            chunk_positions: chunks.length as i32,
            chunks: chunks.count as i32,
            stages: boxes.map_or_else(|| extents.stages(), |boxes| boxes.slots) as i32,
            reserved: 0,
        };
        if let Some(boxes) = boxes {
            let kernel = steps.kernel("hopper_moments");
            steps.launch_described(kernel, boxes.size, self.shape(), boxes.parameters(parameters));
        } else {
            let size = extents.product_size(steps.plan.precision);
            steps.launch(steps.kernel(extents.kernel()), size, self.shape(), parameters);
        }
        if boxes.is_some() || chunks.count > 1 {
            let size = per_value(extents.fan_in() * extents.outputs, THREADS as usize, THREADS);
            steps.launch("moments_flush".to_owned(), size, self.shape(), parameters);
        }
    }
}

impl LayerSums<'_> {
    /// Σxxᵀ, where it is summed.
    fn second(&self, steps: &mut Steps, limits: Limits) {
        let Some(second) = &self.learn.second else { return };
        // Sums of the middle tap, which meets every position once.
        let middle = self.extents.taps / 2 * self.extents.channels * size_of::<f64>();
        let addresses = SecondAddresses {
            input: self.maps.input,
            factors: self.maps.factors,
            common: self.maps.common,
            sums: steps.at.of(self.learn.batch_inputs) + middle as u64,
            scratch: second.scratch.map(|buffer| steps.at.of(buffer)),
            accumulators: self.sums.second,
        };
        second.layers[self.layer].steps(&addresses, limits, self.name, |kernel, size, shape, parameters| {
            steps.launch(kernel, size, shape, parameters);
        });
    }
}

fn one_block(threads: u32) -> LaunchSize {
    LaunchSize { grid: [1, 1, 1], threads, shared: 0 }
}

fn one_a_warp(count: usize) -> LaunchSize {
    LaunchSize { grid: [count.div_ceil(WARPS) as u32, 1, 1], threads: THREADS, shared: 0 }
}

/// Bytes in which the warps of a block add so many sums of each of its channels.
fn staged(sums: usize) -> u32 {
    (WARPS * sums * GROUP * size_of::<f64>()) as u32
}
