//! The plan of a pass that learns: a forward pass, and the buffers of the sums.

use super::super::buffers::{Buffer, Room};
use super::super::operators::LayerShape;
use super::super::plan::{Geometry, Plan};
use super::super::schedule::Subbatches;
use super::super::slot::Engine;
use super::boxes::MomentBoxes;
use super::second::SecondShape;
use super::second_sums::SecondLayout;
use super::split::Extents;

/// A forward pass with what its sums need. All layers share the buffers, one after another.
pub(super) struct LearnPlan {
    /// The buffers below are among its own.
    pub plan: Plan,
    /// Of the parametric layers.
    pub layers: Vec<Extents>,
    /// How warpgroups make the products of these layers; none where the portable kernels do.
    pub boxes: Vec<Option<MomentBoxes>>,
    /// z of a layer: Elements \[images, height, width, outputs\].
    pub pre_activation: Buffer,
    /// uint32 \[images\]: 1 where an image counts.
    pub counted: Buffer,
    /// See `VggxMomentMaps`.
    pub factors: Buffer,
    pub common: Buffer,
    pub pilots: Buffer,
    pub counts: Buffer,
    /// Σx of the batch, double \[fan-in\].
    pub batch_inputs: Buffer,
    /// What blocks leave for each other.
    pub partials: Buffer,
    /// Where Σxxᵀ is summed.
    pub second: Option<SecondPlan>,
}

/// What Σxxᵀ needs.
pub(super) struct SecondPlan {
    /// Of the parametric layers.
    pub layers: Vec<SecondShape>,
    /// As [`SecondShape::scratch`], of all layers.
    pub scratch: [Buffer; 5],
}

impl LearnPlan {
    /// With `second`, Σxxᵀ is summed too.
    pub fn new(engine: &Engine, geometry: Geometry, second: bool) -> Self {
        // Behind each layer there are sums over the whole batch.
        let Engine { chain, precision, limits, .. } = engine;
        let mut plan = Plan::new(chain, geometry, *precision, *limits, Subbatches::Never);
        let layers = layers(&plan);
        let element = plan.precision.bytes();
        let most = |bytes: &dyn Fn(&Extents) -> usize| layers.iter().map(bytes).max().unwrap_or(0);
        let z = most(&|layer| layer.positions().saturating_mul(layer.outputs).saturating_mul(element));
        let neurons = most(&|layer| layer.outputs);
        let fan_in = most(&Extents::fan_in);
        let boxes: Vec<Option<MomentBoxes>> =
            layers.iter().map(|layer| MomentBoxes::choose(engine.precision, layer, engine.limits)).collect();
        let partials = layers.iter().zip(&boxes).map(|(layer, boxes)| {
            // A single chunk is added at once by the portable kernels.
            let portable = Some(layer.chunks().count).filter(|&count| count > 1).unwrap_or(0);
            layer.partial_bytes(boxes.as_ref().map_or(portable, |boxes| boxes.chunks.count))
        });
        let partials = partials.max().unwrap_or(0);
        let second = second.then(|| second_shapes(engine, &layers));
        let mut add = |bytes| plan.buffers.add(Room::Pass, bytes);
        LearnPlan {
            pre_activation: add(z),
            counted: add(geometry.images * size_of::<u32>()),
            factors: add(2 * geometry.images * size_of::<f32>()),
            common: add(4 * size_of::<i32>()),
            pilots: add(2 * neurons * size_of::<f32>()),
            counts: add(neurons * size_of::<f64>()),
            batch_inputs: add(fan_in * size_of::<f64>()),
            partials: add(partials),
            second: second.map(|layers| {
                let scratch: Vec<[usize; 5]> = layers.iter().map(SecondShape::scratch).collect();
                let largest = |index: usize| scratch.iter().map(|bytes| bytes[index]).max().unwrap_or(0);
                SecondPlan { scratch: std::array::from_fn(|index| add(largest(index))), layers }
            }),
            layers,
            boxes,
            plan,
        }
    }

    /// Where the host puts which images count, behind what a forward pass takes.
    pub fn counted_offset(&self) -> usize {
        self.plan.upload_bytes().next_multiple_of(16)
    }

    /// Bytes that the host sends.
    pub fn upload_bytes(&self) -> usize {
        self.counted_offset() + self.plan.geometry.images * size_of::<u32>()
    }
}

fn second_shapes(engine: &Engine, layers: &[Extents]) -> Vec<SecondShape> {
    let shape = |(shape, extents): (LayerShape, &Extents)| SecondShape {
        precision: engine.precision,
        images: extents.images,
        height: extents.height,
        width: extents.width,
        layout: SecondLayout::new(&shape),
    };
    LayerShape::all(&engine.chain).into_iter().zip(layers).map(shape).collect()
}

/// The extents of all layers.
fn layers(plan: &Plan) -> Vec<Extents> {
    let images = plan.geometry.images;
    let stages = plan.stages.iter().map(|stage| Extents {
        images,
        height: stage.height,
        width: stage.width,
        channels: stage.inputs,
        outputs: stage.outputs,
        taps: 9,
    });
    let dense = plan.classifier.iter().flat_map(|classifier| &classifier.layers).map(|layer| Extents {
        images,
        height: 1,
        width: 1,
        channels: layer.inputs,
        outputs: layer.outputs,
        taps: 1,
    });
    stages.chain(dense).collect()
}
