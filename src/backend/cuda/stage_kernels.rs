//! A stage's extents, the kernels that run it for so many images, and what a model of their times needs to know.

use super::device::LaunchSize;
use super::float8::Float8Signals;
use super::options::Precision;
use super::params::{VGGX_IMAGE_DEPTH, VGGX_SIGNAL_COLUMNS, VGGX_SIGNAL_ROWS};
use super::schedule::Work;
use super::tiles::{Limits, TALL, Variant};
use super::warpgroups::BoxVariant;

/// Products of 16-bit elements that the portable kernels do on a multiprocessor in each clock, about: what an A100's tensor cores
/// can do is 1024.
const PORTABLE_PRODUCTS: f64 = 600.0;
/// Of float32, without tensor cores.
const FLOAT_PRODUCTS: f64 = 128.0;
/// Pixels of a block of `signal_image_f32`.
const FLOAT_IMAGE_TILE: (usize, usize) = (8, 32);
/// Columns of the products of `signal_image_{f16,bf16}`: 27 of the operator's high and of its low parts, and two of padding.
const IMAGE_COLUMNS: usize = 56;
/// Blocks of a multiprocessor, of either.
const IMAGE_BLOCKS: usize = 2;

/// Extents of a stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageShape {
    /// Among the stages; the first one has kernels of its own.
    pub index: usize,
    /// Of the convolution's input, and of its output before the pool.
    pub height: usize,
    pub width: usize,
    /// Padded channels; 3 for the image.
    pub inputs: usize,
    pub outputs: usize,
    pub pool: bool,
    /// On the way back.
    pub float8: Float8Signals,
}

/// The kernels of a stage for so many images.
#[derive(Clone, Copy)]
pub(super) struct StageKernels {
    pub forward: Variant,
    /// Towards the stage below; the first stage has kernels of its own.
    pub backward: Variant,
    /// Where warpgroups run instead.
    pub forward_boxes: Option<BoxVariant>,
    pub backward_boxes: Option<BoxVariant>,
}

impl StageShape {
    /// Extents of what is stored: after the pool.
    pub fn stored(&self) -> (usize, usize) {
        if self.pool { (self.height / 2, self.width / 2) } else { (self.height, self.width) }
    }

    /// Elements of what is stored.
    fn stored_elements(&self) -> f64 {
        let (height, width) = self.stored();
        count([height, width, self.outputs])
    }

    /// Elements of the convolution's output.
    fn elements(&self) -> f64 {
        count([self.height, self.width, self.outputs])
    }

    /// Bytes of its mask and its argmax.
    fn bit_bytes(&self) -> f64 {
        self.stored_elements() * if self.pool { 3.0 / 8.0 } else { 1.0 / 8.0 }
    }

    pub fn kernels(&self, images: usize, precision: Precision, limits: Limits) -> StageKernels {
        let &StageShape { index, height, width, inputs, outputs, pool, float8 } = self;
        let rows = product([images, height, width]);
        // With a pool, whole windows.
        let forward_rows =
            if pool { product([4 * images, height.div_ceil(2), width.div_ceil(2)]) } else { rows };
        let forward = if index == 0 {
            let size = convolution_image_size(precision, (images, height, width), outputs);
            Variant { tile: TALL, stages: 0, size }
        } else {
            Variant::choose(precision, forward_rows, outputs, 9 * inputs, limits)
        };
        let boxes = |channels, pool| {
            let by_warpgroups =
                BoxVariant::choose(precision, (images, height, width), channels, pool, limits);
            by_warpgroups.filter(|_| index > 0)
        };
        StageKernels {
            forward,
            backward: Variant::choose(precision, rows, inputs, 9 * outputs, limits),
            forward_boxes: boxes((inputs, outputs), pool),
            backward_boxes: if float8.any() {
                BoxVariant::choose_ring((images, height, width), inputs, false, limits)
            } else {
                boxes((outputs, inputs), false)
            },
        }
    }

    /// Clocks of the busiest multiprocessor forward, about, with all that it reads in the L2 cache.
    pub fn forward_clocks(&self, images: usize, precision: Precision, limits: Limits) -> f64 {
        let kernels = self.kernels(images, precision, limits);
        let depth = if self.index == 0 { VGGX_IMAGE_DEPTH as usize } else { 9 * self.inputs };
        match kernels.forward_boxes {
            Some(boxes) => boxes.clocks((images, self.height, self.width), self.inputs, self.outputs, limits),
            None => portable_clocks(&kernels.forward, depth, precision, limits),
        }
    }

    /// The same backward.
    pub fn backward_clocks(&self, images: usize, precision: Precision, limits: Limits) -> f64 {
        let &StageShape { index, height, width, inputs, outputs, .. } = self;
        if index == 0 {
            let ((tile_height, tile_width), products, rate) = match precision {
                Precision::F32 => {
                    let (height, width) = FLOAT_IMAGE_TILE;
                    // Three outputs of nine taps.
                    ((height, width), height * width * 9 * outputs * 3, FLOAT_PRODUCTS)
                }
                Precision::F16 | Precision::Bf16 | Precision::F8 => {
                    let (height, width) = (VGGX_SIGNAL_ROWS as usize, VGGX_SIGNAL_COLUMNS as usize);
                    let positions = (height + 2) * (width + 2);
                    ((height, width), positions * outputs * IMAGE_COLUMNS, PORTABLE_PRODUCTS)
                }
            };
            let blocks = height.div_ceil(tile_height) * width.div_ceil(tile_width) * images;
            return rounds(blocks, IMAGE_BLOCKS, limits) * products as f64 / rate;
        }
        let kernels = self.kernels(images, precision, limits);
        match kernels.backward_boxes {
            Some(boxes) => {
                // In float8 twice as many channels take as long.
                let channels = if self.float8.input { outputs / 2 } else { outputs };
                boxes.clocks((images, height, width), channels, inputs, limits)
            }
            None => portable_clocks(&kernels.backward, 9 * outputs, precision, limits),
        }
    }
}

/// What the model of the schedule sees of the stages, forward and backward, in the order in which they run.
pub(super) fn works<'a>(
    shapes: &'a [StageShape],
    precision: Precision,
    limits: Limits,
) -> [Vec<Work<'a>>; 2] {
    let element = precision.bytes() as f64;
    let below = |shape: &StageShape| shape.index.checked_sub(1).map(|below| &shapes[below]);
    let pixels = |shape: &StageShape| count([shape.height, shape.width, 3]);
    let forward = |shape: &'a StageShape| Work {
        input: element * below(shape).map_or(pixels(shape), StageShape::stored_elements),
        output: element * shape.stored_elements(),
        beside: shape.bit_bytes(),
        clocks: Box::new(move |images| shape.forward_clocks(images, precision, limits)),
    };
    let backward = |shape: &'a StageShape| Work {
        input: if shape.float8.input { 1.0 } else { element } * shape.elements(),
        output: below(shape).map_or(pixels(shape) * size_of::<f32>() as f64, |below| {
            let element = if shape.float8.output { 1.0 } else { element };
            element * below.elements()
        }),
        beside: below(shape).map_or(0.0, StageShape::bit_bytes),
        clocks: Box::new(move |images| shape.backward_clocks(images, precision, limits)),
    };
    [shapes.iter().map(forward).collect(), shapes.iter().rev().map(backward).collect()]
}

/// The size of `convolution_image` (kernels/params.h): positions and the operator at their whole depth, what four warps stage, and
/// the table of rows.
fn convolution_image_size(
    precision: Precision,
    (images, height, width): (usize, usize, usize),
    outputs: usize,
) -> LaunchSize {
    let rows = product([images, height.div_ceil(8), width.div_ceil(32), TALL.rows]);
    let operands = (TALL.rows + TALL.columns) * VGGX_IMAGE_DEPTH as usize;
    let shared = (operands + 4 * 32 * 64) * precision.bytes() + TALL.rows * 16;
    LaunchSize { shared: shared as u32, ..TALL.size(precision, 0, rows, outputs) }
}

fn product<const COUNT: usize>(factors: [usize; COUNT]) -> usize {
    factors.iter().fold(1, |product: usize, &n| product.saturating_mul(n))
}

fn count(extents: [usize; 3]) -> f64 {
    extents.into_iter().map(|extent| extent as f64).product()
}

/// Clocks of a layer of the portable kernels.
fn portable_clocks(variant: &Variant, depth: usize, precision: Precision, limits: Limits) -> f64 {
    let Variant { tile, size: LaunchSize { grid, .. }, .. } = variant;
    let products = (tile.rows * tile.columns * depth) as f64;
    let rate = if precision == Precision::F32 { FLOAT_PRODUCTS } else { PORTABLE_PRODUCTS };
    rounds(grid[0] as usize, tile.resident, limits) * products / rate
}

/// How many blocks the busiest multiprocessor runs, of which it holds so many at a time.
fn rounds(blocks: usize, resident: usize, limits: Limits) -> f64 {
    let at_a_time = resident * limits.multiprocessors.max(1);
    // Blocks that are alone in the last round have the multiprocessor to themselves.
    let (whole, rest) = (blocks / at_a_time, blocks % at_a_time);
    (whole * resident + rest.div_ceil(limits.multiprocessors.max(1))) as f64
}

#[cfg(test)]
mod tests {
    use super::super::schedule::{Chip, Model, Schedule, Segment, Subbatches};
    use super::*;
    use std::ops::Range;

    const H200: Limits =
        Limits { multiprocessors: 132, shared_memory: 227 << 10, warpgroups: true, clusters: true };
    const ADA: Limits =
        Limits { multiprocessors: 142, shared_memory: 99 << 10, warpgroups: false, clusters: false };

    /// The convolutions of VGG16 for images of 224×224.
    fn vgg16() -> Vec<StageShape> {
        let blocks = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
        let stages =
            blocks.iter().flat_map(|&(outputs, count)| (1..=count).map(move |n| (outputs, n == count)));
        let (mut side, mut inputs) = (224, 3);
        let shape = |(index, (outputs, pool))| {
            let float8 = Float8Signals::default();
            let shape = StageShape { index, height: side, width: side, inputs, outputs, pool, float8 };
            (side, inputs) = (shape.stored().0, outputs);
            shape
        };
        stages.enumerate().map(shape).collect()
    }

    fn h200() -> Chip {
        Chip::new([60 << 20, 132, 1_980_000], 4_916_736_000_000).expect("all that the model needs")
    }

    #[test]
    fn the_times_are_those_of_the_documentation() {
        // docs/performance.md at 1.46 GHz: 308 µs of conv1_2, 323 of conv3_2, 313 of conv4_2 for 64 images.
        let shapes = vgg16();
        let microseconds = |stage: usize| shapes[stage].forward_clocks(64, Precision::F16, H200) / 1460.0;
        for (stage, expected) in [(1, 308.0), (5, 323.0), (8, 313.0)] {
            assert!((microseconds(stage) - expected).abs() < 5.0, "{stage}: {}", microseconds(stage));
        }
    }

    #[test]
    fn an_h200_gains_nothing_and_devices_with_slow_memory_do() {
        let shapes = vgg16();
        let schedule = |chip, limits, images| {
            let [forward, backward] = works(&shapes, Precision::F16, limits);
            Schedule::new(Subbatches::Modelled(chip), images, 224 * 224, [&forward, &backward])
        };
        for images in [1, 16, 64, 256] {
            let whole = vec![Segment { stages: 0..13, images }];
            let expected = Schedule { forward: whole.clone(), backward: whole };
            assert_eq!(schedule(h200(), H200, images), expected);
        }
        // An L40S: 96 MB of cache, 864 GB/s.
        let l40s = Chip::new([96 << 20, 142, 2_520_000], 864_000_000_000).expect("all that the model needs");
        let Schedule { forward, .. } = schedule(l40s, ADA, 64);
        assert_eq!(forward[0].stages, 0..2);
        assert!(forward[0].images < 64);
        // The last maps of all images fit into its cache.
        assert_eq!(forward[forward.len() - 1].images, 64);
        let [work, _] = works(&shapes, Precision::F16, ADA);
        let model = Model { chip: l40s, images: 64, work: &work };
        let (part, seconds) = best_parts(&model, 0..2).expect("parts fit");
        let [parts, whole] = seconds.map(|seconds| seconds * 1e6);
        println!("L40S: {whole:.0} µs, parts of {part}: {parts:.0} µs; {forward:?}");
        assert!(parts < 0.8 * whole);
    }

    /// The fastest parts for some stages, and seconds with them and for the whole batch.
    fn best_parts(model: &Model, stages: Range<usize>) -> Option<(usize, [f64; 2])> {
        let whole = model.seconds(stages.clone(), model.images);
        let parts = model.part_sizes().into_iter().filter(|&part| model.fits(&stages, part));
        let seconds = |part| (part, [model.seconds(stages.clone(), part), whole]);
        parts.map(seconds).min_by(|(_, [one, _]), (_, [other, _])| one.total_cmp(other))
    }

    /// The rows of docs/performance.md, with `--nocapture`.
    #[test]
    fn no_segment_at_the_image_gains_on_an_h200() {
        let shapes = vgg16();
        let work = works(&shapes, Precision::F16, H200);
        for (images, count) in
            [16, 64, 256].into_iter().flat_map(|images| [(images, 2), (images, 3), (images, 4)])
        {
            // The first ones forward, the last ones backward.
            for (work, stages) in [(&work[0], 0..count), (&work[1], 13 - count..13)] {
                let model = Model { chip: h200(), images, work };
                let (part, seconds) = best_parts(&model, stages.clone()).expect("parts fit");
                let [parts, whole] = seconds.map(|seconds| seconds * 1e6);
                println!("{stages:?} of {images} images: {whole:.0} µs, parts of {part}: {parts:.0} µs");
                assert!(parts > whole);
            }
        }
    }
}
