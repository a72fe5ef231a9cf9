//! What a pass over so many images of one size consists of: the extents of all maps, the buffers they lie in, and the
//! variant of the convolution for each layer. Knows no addresses.

use super::buffers::{Addresses, Buffer, Buffers, Room};
use super::device::LaunchSize;
use super::float8::{self, Float8Signals};
use super::options::Precision;
use super::params::{VGGX_CHANNELS, VGGX_IMAGE_DEPTH, VGGX_SIGNAL_COLUMNS, VGGX_SIGNAL_ROWS, VggxSource};
use super::schedule::{Schedule, Segment, Subbatches};
use super::stage_kernels::{StageKernels, StageShape, works};
use super::tiles::{Limits, Variant};
use super::warpgroups::BoxVariant;
use crate::backend::chain::{Chain, Classifier, ConvolutionStage};

/// What the pixels come as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Rgb8,
    Normalised,
    /// The same in memory of the device, at addresses that the host gives.
    DeviceRgb8,
    DeviceNormalised,
}

impl Input {
    fn is_on_device(self) -> bool {
        matches!(self, Input::DeviceRgb8 | Input::DeviceNormalised)
    }
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Images that are run at a time; those that a batch lacks are filled up.
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub input: Input,
}

/// Powers of two and largest magnitudes of several maps: two arrays \[maps, images\] of 32-bit numbers.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    pub largest: Buffer,
    pub exponent: Buffer,
}

/// A stage's extents and buffers.
#[derive(Clone)]
pub(super) struct StagePlan {
    /// Extents of the convolution's input, and of its output before the pool.
    pub height: usize,
    pub width: usize,
    /// Extents of what is stored: after the pool.
    pub stored_height: usize,
    pub stored_width: usize,
    /// Padded channels; 3 for the image.
    pub inputs: usize,
    pub outputs: usize,
    pub pool: bool,
    /// Forward: the stored map.
    pub output: Buffer,
    pub mask: Buffer,
    pub argmax: Option<Buffer>,
    /// Backward: the gated signal at the convolution's output, unpooled.
    pub signal: Buffer,
    pub forward: Variant,
    /// Towards the stage below; the first stage has kernels of its own.
    pub backward: Variant,
    /// Where warpgroups run instead.
    pub forward_boxes: Option<BoxVariant>,
    pub backward_boxes: Option<BoxVariant>,
    /// The signals that are stored in float8: at this stage, and below it.
    pub float8: Float8Signals,
}

/// A dense layer's buffers.
#[derive(Clone)]
pub(super) struct DensePlan {
    /// Padded.
    pub inputs: usize,
    pub outputs: usize,
    /// Forward: activations, or the logits in float32.
    pub output: Buffer,
    /// None for the logits.
    pub mask: Option<Buffer>,
    /// Backward: the signal at the layer's input.
    pub signal: Buffer,
    pub forward: Variant,
    pub backward: Variant,
}

/// The dense layers' extents and buffers.
#[derive(Clone)]
pub(super) struct ClassifierPlan {
    pub side: usize,
    /// The averaged map; none where the map has `side` × `side` positions already.
    pub pooled: Option<Buffer>,
    /// At least the sum of what one position of the map gets of the windows it belongs to, each an average.
    pub backward_bound: f32,
    pub layers: Vec<DensePlan>,
}

/// What the host gives to a backward pass, one after another in one buffer, and what it gets back.
#[derive(Clone)]
pub(super) struct Request {
    pub buffer: Buffer,
    /// int32 \[images\], at the beginning.
    pub targets: usize,
    /// float \[images\].
    pub factors: usize,
    /// Elements \[images, padded outputs\] with a sign at the target, its largest and its exponents; classifiers only.
    pub signs: usize,
    pub signs_largest: usize,
    pub signs_exponent: usize,
    /// uint64 \[images\]: where explanations go that stay on the device.
    pub destinations: usize,
    /// int32 \[images\]: what is added to their exponents.
    pub joins: usize,
    pub bytes: usize,
}

/// A plan.
#[derive(Clone)]
pub(super) struct Plan {
    /// Of a part of a batch ([`Plan::of_part`]): with the part's images.
    pub geometry: Geometry,
    /// Images of the whole batch, which buffers hold.
    pub held: usize,
    pub precision: Precision,
    limits: Limits,
    /// Which stages run for parts of the batch.
    pub schedule: Schedule,
    pub buffers: Buffers,
    /// Bytes or planes, as the host has them; of planes that are on the device, none.
    pub pixels: Buffer,
    /// `VggxSource` \[images\], of pixels that are on the device.
    pub sources: Buffer,
    /// Elements \[images, height, width, 3\].
    pub input: Buffer,
    pub forward_scales: Scales,
    pub backward_scales: Scales,
    pub stages: Vec<StagePlan>,
    pub classifier: Option<ClassifierPlan>,
    /// A headless network's responses, double \[images, channels\].
    pub sums: Option<Buffer>,
    pub request: Request,
    /// What a backward pass starts with: \[images, outputs\] or, headless, a map.
    pub start: Buffer,
    /// float \[images, 3, height, width\].
    pub values: Buffer,
    /// float \[images, height, width\].
    pub heat_map: Buffer,
    /// int32 \[images\].
    pub exponents: Buffer,
    /// Bits of largest magnitudes, uint32 \[images\]: of what comes from memory of the device, or goes there.
    pub bits: Buffer,
    /// Exponents of explanations that stay on the device, int32 \[images\].
    pub delivered: Buffer,
}

/// Channels or neurons with their padding.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(VGGX_CHANNELS as usize)
}

fn product(factors: &[usize]) -> usize {
    factors.iter().fold(1usize, |product, &factor| product.saturating_mul(factor))
}

impl Plan {
    /// Every map has at least one position, as [`Network::extents`](crate::network::Network::extents) checks.
    pub fn new(
        chain: &Chain,
        geometry: Geometry,
        precision: Precision,
        limits: Limits,
        subbatches: Subbatches,
    ) -> Self {
        let Geometry { images, height, width, input } = geometry;
        let element = precision.bytes();
        let mut shapes = shapes(chain, (height, width));
        float8::mark(&mut shapes, precision, limits);
        let [forward, backward] = works(&shapes, precision, limits);
        let schedule = Schedule::new(subbatches, images, product(&[height, width]), [&forward, &backward]);
        let mut buffers = Buffers::default();
        let pixel = match input {
            Input::Rgb8 | Input::DeviceRgb8 => 1,
            Input::Normalised => size_of::<f32>(),
            // They are scaled and laid out in one step.
            Input::DeviceNormalised => 0,
        };
        let sources = if input.is_on_device() { size_of::<VggxSource>() } else { 0 };
        let positions = product(&[images, height, width]);
        let pixels = buffers.add(Room::Even, product(&[positions, 3, pixel]));
        let sources = buffers.add(Room::Pass, product(&[images, sources]));
        let input = buffers.add(Room::Odd, product(&[positions, 3, element]));
        let dense_layers = chain.classifier.as_ref().map_or(0, |classifier| classifier.layers.len());
        let maps = 1 + chain.stages.len() + dense_layers;
        let scales = |buffers: &mut Buffers, room, maps| {
            let bytes = product(&[maps, images, size_of::<u32>()]);
            Scales { largest: buffers.add(room, bytes), exponent: buffers.add(room, bytes) }
        };
        let forward_scales = scales(&mut buffers, Room::Kept, maps);
        // The start and the image have one each, too.
        let backward_scales = scales(&mut buffers, Room::Pass, maps + 1);

        let outputs = rooms(&schedule.forward, shapes.len(), images);
        let signals = rooms(&schedule.backward, shapes.len(), images);
        let stage = |(shape, ((output, stored_images), (signal, signal_images))): (&StageShape, _)| {
            let &StageShape { index, height, width, inputs, outputs, pool, float8 } = shape;
            let (stored_height, stored_width) = shape.stored();
            let positions = product(&[stored_height, stored_width]);
            let words = product(&[images, positions, outputs / VGGX_CHANNELS as usize, 4]);
            // A backward pass may start from the last map's activations.
            let output = if index + 1 == shapes.len() { Room::Kept } else { output };
            let StageKernels { forward, backward, forward_boxes, backward_boxes } =
                shape.kernels(images, precision, limits);
            let signal_element = if float8.input { 1 } else { element };
            StagePlan {
                height,
                width,
                stored_height,
                stored_width,
                inputs,
                outputs,
                pool,
                output: buffers.add(output, product(&[stored_images, positions, outputs, element])),
                mask: buffers.add(Room::Kept, product(&[words, size_of::<u16>()])),
                argmax: pool.then(|| buffers.add(Room::Kept, product(&[words, size_of::<u32>()]))),
                signal: buffers
                    .add(signal, product(&[signal_images, height, width, outputs, signal_element])),
                forward,
                backward,
                forward_boxes,
                backward_boxes,
                float8,
            }
        };
        let stages: Vec<StagePlan> = shapes.iter().zip(outputs.into_iter().zip(signals)).map(stage).collect();
        let last = &stages[stages.len() - 1];
        let (h, w, inputs) = (last.stored_height, last.stored_width, last.outputs);
        // The first stage's signal is in the even room.
        let values = buffers.add(Room::Odd, product(&[positions, 3, size_of::<f32>()]));
        // Made of the values, when that signal has been read.
        let heat_map = buffers.add(Room::Even, product(&[positions, size_of::<f32>()]));
        let list = product(&[images, size_of::<i32>()]);
        let exponents = buffers.add(Room::Pass, list);
        let (bits, delivered) = (buffers.add(Room::Pass, list), buffers.add(Room::Pass, list));

        let classifier = chain.classifier.as_ref().map(|classifier| {
            ClassifierPlan::new(classifier, images, (h, w, inputs), precision, limits, &mut buffers)
        });
        let (start, sums, outputs) = match &classifier {
            Some(classifier) => {
                let outputs = classifier.layers[classifier.layers.len() - 1].outputs;
                (buffers.add(Room::Pass, product(&[images, outputs, element])), None, outputs)
            }
            None => {
                let map = buffers.add(Room::Pass, product(&[images, h, w, inputs, element]));
                let sums = buffers.add(Room::Pass, product(&[images, inputs, size_of::<f64>()]));
                (map, Some(sums), 0)
            }
        };
        let request = Request::new(images, outputs, element, &mut buffers);
        Plan {
            geometry,
            held: images,
            precision,
            limits,
            schedule,
            buffers,
            pixels,
            sources,
            input,
            forward_scales,
            backward_scales,
            stages,
            classifier,
            sums,
            request,
            start,
            values,
            heat_map,
            exponents,
            bits,
            delivered,
        }
    }

    /// The same plan for some of the images, with kernels for so many; its buffers are those of all.
    pub fn of_part(&self, images: usize) -> Plan {
        let mut plan = self.clone();
        plan.geometry.images = images;
        for (index, stage) in plan.stages.iter_mut().enumerate() {
            let &mut StagePlan { height, width, inputs, outputs, pool, .. } = stage;
            let shape = StageShape { index, height, width, inputs, outputs, pool, float8: stage.float8 };
            let StageKernels { forward, backward, forward_boxes, backward_boxes } =
                shape.kernels(images, self.precision, self.limits);
            *stage = StagePlan { forward, backward, forward_boxes, backward_boxes, ..stage.clone() };
        }
        plan
    }

    /// Where what the stages work on begins for the images from `first` on. Maps that only a part of the batch has begin where they do.
    pub fn at_image(&self, at: &Addresses, first: usize) -> Addresses {
        let mut shifted = at.clone();
        let of_stage =
            |stage: &StagePlan| [Some(stage.output), Some(stage.mask), stage.argmax, Some(stage.signal)];
        let maps = self.stages.iter().flat_map(of_stage).flatten().chain([self.input, self.values]);
        for map in maps.filter(|&map| !self.buffers.is_of_part(map)) {
            shifted.advance(map, first * (self.buffers.bytes(map) / self.held));
        }
        for Scales { largest, exponent } in [self.forward_scales, self.backward_scales] {
            shifted.advance(largest, first * size_of::<u32>());
            shifted.advance(exponent, first * size_of::<i32>());
        }
        shifted
    }

    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        let sum = |sizes: Vec<usize>| sizes.into_iter().fold(0usize, usize::saturating_add);
        sum(self.buffers.work(false)).saturating_add(sum(self.buffers.kept()))
    }

    pub fn last_stage(&self) -> &StagePlan {
        &self.stages[self.stages.len() - 1]
    }

    fn dense_layers(&self) -> usize {
        self.classifier.as_ref().map_or(0, |classifier| classifier.layers.len())
    }

    /// Place in the forward scales of a stage's output; the image is at 0.
    pub fn stage_scale(stage: usize) -> usize {
        1 + stage
    }

    /// Place in the forward scales of a dense layer's output.
    pub fn dense_scale(&self, layer: usize) -> usize {
        1 + self.stages.len() + layer
    }

    /// Place in the backward scales of the signal at a dense layer's input; the start is at 0.
    pub fn dense_signal_scale(layer: usize) -> usize {
        1 + layer
    }

    /// Place in the backward scales of the signal at a stage's output.
    pub fn stage_signal_scale(&self, stage: usize) -> usize {
        1 + self.dense_layers() + stage
    }

    /// Place in the backward scales of the image.
    pub fn values_scale(&self) -> usize {
        1 + self.dense_layers() + self.stages.len()
    }

    /// Bytes that the host sends: the pixels, the image's largest and exponents when it made them, or where they are; a request.
    pub fn upload_bytes(&self) -> usize {
        let scales = product(&[2, self.geometry.images, size_of::<u32>()]);
        let input = match self.geometry.input {
            Input::Rgb8 | Input::Normalised => self.input_scales_offset().saturating_add(scales),
            Input::DeviceRgb8 | Input::DeviceNormalised => self.buffers.bytes(self.sources),
        };
        input.max(self.request.bytes)
    }

    /// Where the image's largest, then its exponents, lie behind the pixels that the host sends.
    pub fn input_scales_offset(&self) -> usize {
        self.buffers.bytes(self.pixels).next_multiple_of(16)
    }

    /// Bytes that come back: responses or explanations, then their exponents, then the images' largest.
    pub fn download_bytes(&self) -> usize {
        let lists = product(&[2, self.geometry.images, size_of::<i32>()]);
        self.buffers
            .bytes(self.values)
            .max(self.buffers.bytes(self.responses()))
            .next_multiple_of(16)
            .saturating_add(lists)
    }

    /// Where the bits of the images' largest magnitudes lie behind responses and their exponents, if the device finds them.
    pub fn bits_offset(&self) -> Option<usize> {
        let behind = self.exponents_offset(self.responses()) + self.buffers.bytes(self.bits);
        (self.geometry.input == Input::DeviceNormalised).then_some(behind)
    }

    /// Where exponents lie behind what comes back from a buffer.
    pub fn exponents_offset(&self, buffer: Buffer) -> usize {
        self.buffers.bytes(buffer).next_multiple_of(16)
    }

    /// Logits or sums.
    pub fn responses(&self) -> Buffer {
        match (&self.classifier, self.sums) {
            (Some(classifier), _) => classifier.layers[classifier.layers.len() - 1].output,
            (None, Some(sums)) => sums,
            (None, None) => self.last_stage().output,
        }
    }
}

/// The extents of all stages.
fn shapes(chain: &Chain, (mut height, mut width): (usize, usize)) -> Vec<StageShape> {
    let mut inputs = 3;
    let shape = |(index, stage): (usize, &ConvolutionStage)| {
        let outputs = padded(stage.outputs);
        let shape = StageShape {
            index,
            height,
            width,
            inputs,
            outputs,
            pool: stage.pool,
            float8: Float8Signals::default(),
        };
        ((height, width), inputs) = (shape.stored(), outputs);
        shape
    };
    chain.stages.iter().enumerate().map(shape).collect()
}

/// Where the map between each stage and the next one lies, and how many images it has: maps of the whole batch alternate between the
/// even and the odd room, beginning with the even one; those of a part have two rooms of their own.
fn rooms(segments: &[Segment], stages: usize, images: usize) -> Vec<(Room, usize)> {
    let mut whole = 0;
    let room = |stage: usize| {
        if let Some(segment) = Schedule::within(segments, stage, images) {
            return (if stage.is_multiple_of(2) { Room::PartEven } else { Room::PartOdd }, segment.images);
        }
        whole += 1;
        (if whole % 2 == 1 { Room::Even } else { Room::Odd }, images)
    };
    (0..stages).map(room).collect()
}

impl ClassifierPlan {
    fn new(
        classifier: &Classifier,
        images: usize,
        (height, width, channels): (usize, usize, usize),
        precision: Precision,
        limits: Limits,
        buffers: &mut Buffers,
    ) -> Self {
        let (side, element) = (classifier.side, precision.bytes());
        let is_identity = height == side && width == side;
        let mut inputs = product(&[side, side, channels]);
        let pooled = (!is_identity).then(|| buffers.add(Room::Pass, product(&[images, inputs, element])));
        let mut layers = Vec::new();
        for layer in &classifier.layers {
            let outputs = padded(layer.outputs);
            let stored = if layer.relu { element } else { size_of::<f32>() };
            let words = product(&[images, outputs / VGGX_CHANNELS as usize, 4]);
            layers.push(DensePlan {
                inputs,
                outputs,
                output: buffers.add(Room::Pass, product(&[images, outputs, stored])),
                mask: layer.relu.then(|| buffers.add(Room::Kept, product(&[words, size_of::<u16>()]))),
                signal: buffers.add(Room::Pass, product(&[images, inputs, element])),
                forward: Variant::choose(precision, images, outputs, inputs, limits),
                backward: Variant::choose(precision, images, inputs, outputs, limits),
            });
            inputs = outputs;
        }
        let shares = largest_share(height, side) * largest_share(width, side);
        // Rounded up.
        let backward_bound = (shares * (1.0 + 1e-6)) as f32;
        ClassifierPlan { side, pooled, backward_bound, layers }
    }
}

/// The largest sum, over the windows that one of `extent` positions belongs to, of 1 / the window's length, along one
/// axis of torch's adaptive average pool to `side` windows.
fn largest_share(extent: usize, side: usize) -> f64 {
    let window = |cell: usize| (cell * extent / side, ((cell + 1) * extent).div_ceil(side));
    let share = |position: usize| -> f64 {
        (0..side)
            .map(window)
            .filter(|&(begin, end)| begin <= position && position < end)
            .map(|(begin, end)| 1.0 / (end - begin) as f64)
            .sum()
    };
    (0..extent).map(share).fold(0.0, f64::max)
}

impl Request {
    fn new(images: usize, outputs: usize, element: usize, buffers: &mut Buffers) -> Self {
        let list = product(&[images, size_of::<u32>()]);
        // Kernels read the signs 16 bytes at a time.
        let signs = list.saturating_mul(2).next_multiple_of(16);
        let signs_largest = signs.saturating_add(product(&[images, outputs, element]));
        let signs_exponent = signs_largest.saturating_add(list);
        let start = if outputs > 0 { signs_exponent.saturating_add(list) } else { list.saturating_mul(2) };
        let destinations = start.next_multiple_of(size_of::<u64>());
        let joins = destinations.saturating_add(product(&[images, size_of::<u64>()]));
        let bytes = joins.saturating_add(list);
        let buffer = buffers.add(Room::Pass, bytes);
        let (targets, factors) = (0, list);
        Request { buffer, targets, factors, signs, signs_largest, signs_exponent, destinations, joins, bytes }
    }
}

/// The images that a pass can count: rows in 32 bits, and the 16-byte vectors of every map too; images are an extent of the
/// grid, which ends at 65535.
pub(super) fn most_images(chain: &Chain, precision: Precision, height: usize, width: usize) -> usize {
    let rows = product(&[height.next_multiple_of(2), width.next_multiple_of(2)]);
    let mut most = ((1usize << 30) / rows.max(1)).min(65535);
    let (mut h, mut w) = (height, width);
    for stage in &chain.stages {
        // Its input has no more channels than the output of the stage before, at no larger extents.
        let vectors = product(&[h, w, padded(stage.outputs), precision.bytes()]) / 16;
        most = most.min(i32::MAX as usize / vectors.max(1));
        if stage.pool {
            (h, w) = (h / 2, w / 2);
        }
    }
    most
}

/// The size of a kernel with one thread for `per_thread` of `count` values of each image.
pub(super) fn per_image(count: usize, per_block: usize, images: usize) -> LaunchSize {
    LaunchSize { grid: [count.div_ceil(per_block) as u32, images as u32, 1], threads: 256, shared: 0 }
}

/// The size of a kernel with one thread a value.
pub(super) fn per_value(count: usize, per_block: usize, threads: u32) -> LaunchSize {
    LaunchSize { grid: [count.div_ceil(per_block) as u32, 1, 1], threads, shared: 0 }
}

/// The size of `signal_image` (kernels/params.h).
pub(super) fn signal_image_size(geometry: Geometry, precision: Precision) -> LaunchSize {
    let Geometry { images, height, width, .. } = geometry;
    let (rows, columns, threads, shared) = match precision {
        // A halo of 10×34 positions of 64 channels, and the operator of these.
        Precision::F32 => (8, 32, 256, 10 * 34 * 64 * size_of::<f32>() + 9 * 64 * 16),
        // Sums of three columns of taps with three outputs each, and the operator's fragments.
        Precision::F16 | Precision::Bf16 | Precision::F8 => {
            let (rows, columns) = (VGGX_SIGNAL_ROWS as usize, VGGX_SIGNAL_COLUMNS as usize);
            (rows, columns, 128, rows * 9 * (columns + 6) * size_of::<f32>() + 28 * 32 * 8)
        }
    };
    LaunchSize {
        grid: [width.div_ceil(columns) as u32, height.div_ceil(rows) as u32, images as u32],
        threads,
        shared: shared as u32,
    }
}

const _: () = assert!(VGGX_IMAGE_DEPTH >= 27, "the image's operator holds 9 taps of 3 channels");

#[cfg(test)]
mod tests {
    use super::super::tiles::TALL;
    use super::*;
    use crate::backend::chain::DenseStage;

    const LIMITS: Limits =
        Limits { multiprocessors: 132, shared_memory: 227 << 10, warpgroups: false, clusters: false };

    fn stage(layer: usize, inputs: usize, outputs: usize, pool: bool) -> ConvolutionStage {
        ConvolutionStage { layer, name: format!("features.{layer}"), inputs, outputs, pool }
    }

    /// Three convolutions, pools behind the last two, and two dense layers behind a grid of 2 × 2.
    fn chain(with_classifier: bool) -> Chain {
        let stages = vec![stage(0, 3, 10, false), stage(1, 10, 70, true), stage(2, 70, 130, true)];
        let dense = |layer, inputs, outputs, relu| DenseStage {
            layer,
            name: format!("classifier.{layer}"),
            inputs,
            outputs,
            relu,
        };
        let layers = vec![dense(3, 520, 30, true), dense(4, 30, 7, false)];
        Chain { stages, classifier: with_classifier.then_some(Classifier { side: 2, layers }) }
    }

    fn plan(with_classifier: bool, (height, width): (usize, usize), images: usize, input: Input) -> Plan {
        let geometry = Geometry { images, height, width, input };
        Plan::new(&chain(with_classifier), geometry, Precision::F16, LIMITS, Subbatches::Never)
    }

    #[test]
    fn maps_are_padded_and_pools_drop_odd_rows_and_columns() {
        let plan = plan(true, (15, 22), 3, Input::Rgb8);
        let bytes = |buffer| plan.buffers.bytes(buffer);
        assert_eq!(bytes(plan.pixels), 3 * 15 * 22 * 3);
        assert_eq!(bytes(plan.input), 3 * 15 * 22 * 3 * 2);
        let extents: Vec<_> = plan
            .stages
            .iter()
            .map(|stage| (stage.height, stage.width, stage.stored_height, stage.stored_width, stage.outputs))
            .collect();
        assert_eq!(extents, [(15, 22, 15, 22, 64), (15, 22, 7, 11, 128), (7, 11, 3, 5, 192)]);
        let last = plan.last_stage();
        assert_eq!(bytes(last.output), 3 * 3 * 5 * 192 * 2);
        assert_eq!(bytes(last.signal), 3 * 7 * 11 * 192 * 2);
        assert_eq!(bytes(last.mask), 3 * 3 * 5 * (192 / 8));
        assert_eq!(last.argmax.map(bytes), Some(3 * 3 * 5 * (192 / 4)));
        assert!(plan.stages[0].argmax.is_none());
        let classifier = plan.classifier.as_ref().expect("it has one");
        assert_eq!(classifier.pooled.map(bytes), Some(3 * 4 * 192 * 2));
        let dense: Vec<_> = classifier.layers.iter().map(|layer| (layer.inputs, layer.outputs)).collect();
        assert_eq!(dense, [(4 * 192, 64), (64, 64)]);
        // Logits are float32 and have no ReLU.
        assert_eq!(bytes(plan.responses()), 3 * 64 * 4);
        assert!(classifier.layers[1].mask.is_none());
        assert_eq!(bytes(plan.values), 3 * 3 * 15 * 22 * 4);
    }

    #[test]
    fn kernels_get_whole_windows_and_every_row() {
        let plan = plan(true, (15, 22), 3, Input::Rgb8);
        let grid = |variant: &Variant| variant.size.grid;
        // Two boxes of 8 × 32 an image; 8 · 11 windows of 4 with a pool; 15 · 22 rows on the way back.
        assert_eq!(grid(&plan.stages[0].forward), [3 * 2, 1, 1]);
        let second = &plan.stages[1];
        assert_eq!(second.forward.tile.columns, 128);
        assert_eq!(grid(&second.forward), [(3 * 8 * 11 * 4usize).div_ceil(128) as u32, 1, 1]);
        assert_eq!(second.backward.tile, TALL);
        assert_eq!(grid(&second.backward), [(3 * 15 * 22usize).div_ceil(256) as u32, 1, 1]);
        // 192 channels are two tiles of 128 columns.
        assert_eq!(grid(&plan.stages[2].forward), [2 * (3 * 4 * 6 * 4usize).div_ceil(128) as u32, 1, 1]);
    }

    #[test]
    fn a_map_is_never_made_in_the_room_it_is_made_from() {
        for with_classifier in [true, false] {
            let plan = plan(with_classifier, (16, 16), 2, Input::Normalised);
            let work: Vec<u64> = (0..plan.buffers.work(false).len() as u64).collect();
            let kept: Vec<u64> = (1000..1000 + plan.buffers.kept().len() as u64).collect();
            let at = plan.buffers.addresses(false, &work, &kept);
            let forward: Vec<u64> = [plan.pixels, plan.input]
                .into_iter()
                .chain(plan.stages.iter().map(|stage| stage.output))
                .map(|buffer| at.of(buffer))
                .collect();
            let backward: Vec<u64> = std::iter::once(plan.start)
                .chain(plan.stages.iter().rev().map(|stage| stage.signal))
                .chain([plan.values])
                .map(|buffer| at.of(buffer))
                .collect();
            for order in [forward, backward] {
                assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
            }
            // What backward passes read is nowhere that any pass writes.
            let kept_by_stages =
                plan.stages.iter().flat_map(|stage| [Some(stage.mask), stage.argmax]).flatten();
            assert!(kept_by_stages.chain([plan.last_stage().output]).all(|buffer| at.of(buffer) >= 1000));
        }
    }

    fn plan_of_parts(images: usize, forced: (usize, usize)) -> Plan {
        let geometry = Geometry { images, height: 16, width: 16, input: Input::Rgb8 };
        let subbatches = Subbatches::Forced { images: forced.0, stages: forced.1 };
        Plan::new(&chain(true), geometry, Precision::F16, LIMITS, subbatches)
    }

    #[test]
    fn maps_of_parts_take_the_memory_of_a_part_and_disturb_no_map_of_the_batch() {
        for stages in 1..=3 {
            let plan = plan_of_parts(5, (2, stages));
            let work: Vec<u64> = (0..plan.buffers.work(false).len() as u64).collect();
            let kept: Vec<u64> = (1000..1000 + plan.buffers.kept().len() as u64).collect();
            let at = plan.buffers.addresses(false, &work, &kept);
            for (segments, maps, ends) in [
                (
                    &plan.schedule.forward,
                    plan.stages.iter().map(|stage| stage.output).collect::<Vec<_>>(),
                    plan.input,
                ),
                (
                    &plan.schedule.backward,
                    plan.stages.iter().map(|stage| stage.signal).collect(),
                    plan.values,
                ),
            ] {
                // Maps in the order of the stages, of each whether only a part of the batch has it.
                let maps: Vec<(Buffer, bool)> = std::iter::once((ends, false))
                    .chain((0..3).map(|stage| (maps[stage], Schedule::within(segments, stage, 5).is_some())))
                    .collect();
                for (stage, &(map, is_of_part)) in maps.iter().enumerate().skip(1) {
                    assert_eq!(plan.buffers.is_of_part(map), is_of_part);
                    let &(below, _) = &maps[stage - 1];
                    assert_ne!(at.of(map), at.of(below), "{stages}, {stage}");
                }
                // Maps of the batch follow each other with those of parts between.
                let whole: Vec<u64> =
                    maps.iter().filter(|(_, is_of_part)| !is_of_part).map(|&(map, _)| at.of(map)).collect();
                assert!(whole.windows(2).all(|pair| pair[0] != pair[1]), "{whole:?}");
            }
        }
        let (whole, parts) = (plan_of_parts(5, (5, 3)), plan_of_parts(5, (2, 3)));
        let first = |plan: &Plan| plan.buffers.bytes(plan.stages[0].output);
        assert_eq!((first(&whole), first(&parts)), (5 * 16 * 16 * 64 * 2, 2 * 16 * 16 * 64 * 2));
        assert_eq!(parts.buffers.bytes(parts.stages[0].mask), 5 * 16 * 16 * 8);
        assert!(parts.bytes() < whole.bytes());
    }

    #[test]
    fn parts_begin_at_their_images() {
        let plan = plan_of_parts(5, (2, 2));
        let sizes = |bytes: Vec<usize>| (0..bytes.len() as u64).map(|place| place << 32).collect::<Vec<_>>();
        let (work, kept) = (sizes(plan.buffers.work(true)), sizes(plan.buffers.kept()));
        let at = plan.buffers.addresses(true, &work, &kept);
        let shifted = plan.at_image(&at, 3);
        let by = |buffer| shifted.of(buffer) - at.of(buffer);
        let [first, second, third] = &plan.stages[..] else { panic!("three stages") };
        assert_eq!((by(plan.input), by(plan.values)), (3 * 16 * 16 * 6, 3 * 16 * 16 * 12));
        // The first one's output is of parts, as is the signal there.
        assert_eq!((by(first.output), by(first.signal), by(first.mask)), (0, 0, 3 * 16 * 16 * 8));
        assert_eq!((by(second.output), by(second.signal)), (3 * 8 * 8 * 256, 3 * 16 * 16 * 256));
        assert_eq!((by(second.mask), second.argmax.map(by)), (3 * 8 * 8 * 16, Some(3 * 8 * 8 * 32)));
        assert_eq!((by(third.output), by(third.signal)), (3 * 4 * 4 * 384, 3 * 8 * 8 * 384));
        assert_eq!((by(plan.forward_scales.largest), by(plan.backward_scales.exponent)), (12, 12));
        assert_eq!(by(plan.request.buffer), 0);
        let part = plan.of_part(2);
        assert_eq!((part.geometry.images, part.held), (2, 5));
        assert_eq!(part.stages[0].forward.size.grid, [2 * 2, 1, 1]);
        assert_eq!(plan.stages[0].forward.size.grid, [5 * 2, 1, 1]);
    }

    #[test]
    fn every_map_has_a_scale_of_its_own() {
        let plan = plan(true, (16, 16), 5, Input::Rgb8);
        let maps = |scales: Scales| plan.buffers.bytes(scales.largest) / (5 * 4);
        let forward: Vec<usize> =
            (0..3).map(Plan::stage_scale).chain((0..2).map(|layer| plan.dense_scale(layer))).collect();
        assert_eq!((forward, maps(plan.forward_scales)), (vec![1, 2, 3, 4, 5], 6));
        let backward: Vec<usize> = (0..2)
            .map(Plan::dense_signal_scale)
            .chain((0..3).map(|stage| plan.stage_signal_scale(stage)))
            .chain([plan.values_scale()])
            .collect();
        assert_eq!((backward, maps(plan.backward_scales)), (vec![1, 2, 3, 4, 5, 6], 7));
    }

    #[test]
    fn requests_and_results_do_not_overlap() {
        let plan = plan(true, (16, 16), 3, Input::Normalised);
        let request = &plan.request;
        assert_eq!((request.targets, request.factors, request.signs), (0, 12, 32));
        assert_eq!(request.signs_largest, 32 + 3 * 64 * 2);
        assert_eq!((request.destinations, request.joins), (440, 440 + 24));
        assert!(
            request.destinations >= request.signs_exponent + 12 && request.destinations.is_multiple_of(8)
        );
        assert_eq!(request.bytes, request.joins + 12);
        assert_eq!(plan.buffers.bytes(plan.pixels), 3 * 16 * 16 * 3 * 4);
        assert!(plan.upload_bytes() >= plan.input_scales_offset() + 2 * 12);
        assert!(plan.download_bytes() >= plan.exponents_offset(plan.values) + 12);
        assert!(plan.download_bytes() >= plan.exponents_offset(plan.responses()) + 12);
        assert_eq!(plan.bits_offset(), None);
    }

    #[test]
    fn pixels_on_the_device_are_sent_as_addresses() {
        for (input, pixel) in [(Input::DeviceRgb8, 1), (Input::DeviceNormalised, 0)] {
            let plan = plan(true, (16, 16), 3, input);
            assert_eq!(plan.buffers.bytes(plan.pixels), 3 * 16 * 16 * 3 * pixel);
            assert_eq!(plan.buffers.bytes(plan.sources), 3 * 16);
            assert_eq!(plan.upload_bytes(), plan.request.bytes.max(3 * 16));
            assert_eq!(plan.bits_offset().is_some(), input == Input::DeviceNormalised);
            let end = plan.bits_offset().unwrap_or(0) + 12;
            assert!(plan.bits_offset() != Some(plan.exponents_offset(plan.responses())));
            assert!(plan.download_bytes() >= end);
        }
    }

    #[test]
    fn shares_of_averages_are_bounded_by_the_overlap_of_windows() {
        // The identity; 7 positions in 2 windows [0, 4), [3, 7), of which position 3 belongs to both; 1 position in 3.
        assert_eq!(largest_share(7, 7), 1.0);
        assert_eq!(largest_share(7, 2), 0.5);
        assert_eq!(largest_share(8, 2), 0.25);
        assert_eq!(largest_share(1, 3), 3.0);
    }

    #[test]
    fn absurd_sizes_do_not_wrap_around() {
        let plan = plan(false, (1 << 40, 1 << 40), 7, Input::Rgb8);
        assert_eq!(plan.bytes(), usize::MAX);
        let most = |height, width| most_images(&chain(false), Precision::F16, height, width);
        assert_eq!(most(1 << 40, 1 << 40), 0);
        assert_eq!(most(1 << 20, 1 << 20), 0);
        assert_eq!(most(1, 1), 65535);
    }

    #[test]
    fn kernels_count_the_vectors_of_every_map() {
        // 128 channels before the first pool: 16 vectors a position of 16-bit elements, 32 of float32.
        let positions = 224 * 224;
        let most = |precision| most_images(&chain(false), precision, 224, 224);
        assert_eq!(most(Precision::F16), i32::MAX as usize / (16 * positions));
        assert_eq!(most(Precision::F32), i32::MAX as usize / (32 * positions));
    }
}
