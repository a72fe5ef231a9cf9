//! Moments on the CPU: the forward pass, which keeps the signed responses of each layer, and the sums over them.
//!
//! | file | does |
//! |---|---|
//! | `responses` | the forward epilogue that stores z, and ReLU and pool behind it |
//! | `pilots` | counts, pilots and Σy, Σy² of each neuron and regime |
//! | `border` | Σx of all patches from sums over the map and its borders |
//! | `covariance` | Σx and Σxy of each neuron and regime, in blocks; pilots undone |
//! | `products`, `winograd` | the sums of one block, by one plain matrix product or by one a frequency |
//! | `second`, `shifted`, `triangle` | Σxxᵀ, where it is wanted: of convolutions, of dense layers |
//!
//! Everything is summed in float32 over at most [`CHUNK`] positions with y centred, then in float64. The order of
//! each sum is fixed by the shape of the batch.

mod border;
mod covariance;
mod pilots;
mod products;
mod responses;
mod second;
mod shifted;
mod triangle;
mod winograd;

use super::convolution::{ScaledMaps, convolve};
use super::dense;
use super::pooling::average_and_flatten;
use super::tiles::{Maps, largest_per_image, tile_rows};
use super::workspace::{Buffer, Workspace};
use super::{Classifier, Cpu, Stage};
use crate::backend::{BackendError, Batch, LayerMoments, Learner, Moments, SecondMoments};
use covariance::{Input, Responses};
use pilots::Statistics;
use responses::{SignedResponses, rectify_and_pool};

/// Positions summed in one float32 accumulator: where offsets are a hundred times the spread, a covariance of so many
/// still has its first six digits.
const CHUNK: usize = 4096;

/// Magnitude from which an activation counts as an overflow: products of two, summed over a chunk and through Winograd's
/// transforms, stay within float32.
const LARGEST: f32 = (1u64 << 50) as f32;

/// Adds up moments.
pub struct CpuLearner<'a> {
    cpu: &'a Cpu,
    moments: Moments,
    /// Bytes of the moments that the system may not have given yet: it does when they are first written to.
    untouched: u64,
}

impl<'a> CpuLearner<'a> {
    /// Goes on from `moments`.
    pub fn new(cpu: &'a Cpu, moments: Moments) -> Self {
        let layers = cpu.network.parametric().map(|(_, layer)| layer.weight_shape());
        assert!(
            layers.eq(moments.layers.iter().map(|layer| layer.shape.clone())),
            "moments of another network"
        );
        let untouched = Moments::bytes(&cpu.network, moments.has_second());
        CpuLearner { cpu, moments, untouched }
    }
}

impl Learner for CpuLearner<'_> {
    fn add(&mut self, batch: &Batch) -> Result<Vec<Option<BackendError>>, BackendError> {
        self.cpu.check_learning_memory(batch, self.untouched)?;
        self.untouched = 0;
        let (cpu, layers) = (self.cpu, &mut self.moments.layers);
        cpu.threads.install(|| {
            let mut run = Run { cpu, layers, failures: vec![None; batch.images] };
            if batch.images > 0 {
                run.add(batch)?;
            }
            let failed = |layer: String| BackendError::ActivationOverflow { layer };
            Ok(run.failures.into_iter().map(|layer| layer.map(failed)).collect())
        })
    }

    fn moments(&mut self) -> Result<&Moments, BackendError> {
        Ok(&self.moments)
    }

    fn into_moments(self: Box<Self>) -> Result<Moments, BackendError> {
        Ok(self.moments)
    }
}

impl Cpu {
    /// As [`Cpu::check_memory`], for responses that are kept beside a layer's input and output.
    fn check_learning_memory(&self, batch: &Batch, untouched: u64) -> Result<(), BackendError> {
        self.check_memory_for(batch, 5, untouched)
    }
}

/// One batch on its way through the layers.
struct Run<'a> {
    cpu: &'a Cpu,
    layers: &'a mut [LayerMoments],
    /// The layer at which an image's activations were not finite.
    failures: Vec<Option<String>>,
}

impl<'a> Run<'a> {
    fn add(&mut self, batch: &Batch) -> Result<(), BackendError> {
        let cpu = self.cpu;
        let mut maps = Maps { images: batch.images, height: batch.height, width: batch.width, channels: 3 };
        let mut values = cpu.workspace.take(maps.len());
        values.copy_from_slice(&cpu.normalise(batch)?);
        let finite: Vec<bool> = values
            .chunks_exact(maps.image_len().max(1))
            .map(|image| image.iter().all(|value| value.abs() < LARGEST))
            .collect();
        self.fail(&finite, &cpu.stages[0].name, &mut values, maps);
        for stage in &cpu.stages {
            let output = maps.with_channels(stage.outputs);
            let z = self.responses(stage, &values, maps);
            let valid = self.valid();
            let layer = &mut self.layers[stage.layer];
            let input = Input::Maps { values: &values, maps };
            add_layer(layer, input, &z, &stage.bias, &valid, &cpu.workspace);
            (values, maps) = rectify_and_pool(&z, output, stage.pool, &cpu.workspace);
        }
        if let Some(classifier) = &cpu.classifier {
            self.add_classifier(classifier, &values, maps);
        }
        Ok(())
    }

    /// The signed responses of a stage, \[images, height, width, outputs\].
    fn responses(&mut self, stage: &Stage, values: &[f32], maps: Maps) -> Buffer<'a> {
        let workspace = &self.cpu.workspace;
        let output = maps.with_channels(stage.outputs);
        let mut z = workspace.take(output.len());
        let epilogue = SignedResponses { maps: output, bias: &stage.bias };
        let mut rows = tile_rows(output, &epilogue, &mut z, &mut []);
        let scales = vec![1.0; maps.images];
        convolve(
            &stage.operator,
            ScaledMaps { values, maps, scales: &scales },
            &epilogue,
            &mut rows,
            workspace,
        );
        let largest = largest_per_image(maps.images, &rows);
        drop(rows);
        let finite: Vec<bool> = largest.into_iter().map(|bits| bits < LARGEST.to_bits()).collect();
        self.fail(&finite, &stage.name, &mut z, output);
        z
    }

    fn add_classifier(&mut self, classifier: &Classifier, values: &[f32], maps: Maps) {
        let images = maps.images;
        let flat_len = maps.channels * classifier.side * classifier.side;
        let mut x = vec![0.0; images * flat_len];
        for (map, flat) in values.chunks_exact(maps.image_len()).zip(x.chunks_exact_mut(flat_len)) {
            average_and_flatten(map, maps, classifier.side, flat);
        }
        for stage in &classifier.layers {
            let mut z = dense::forward(&*self.cpu.forward_source, stage.shape, &stage.bias, &x, images);
            let finite: Vec<bool> = z
                .chunks_exact(stage.shape.outputs)
                .map(|image| image.iter().all(|value| value.abs() < LARGEST))
                .collect();
            let output = Maps { images, height: 1, width: 1, channels: stage.shape.outputs };
            self.fail(&finite, &stage.name, &mut z, output);
            let valid = self.valid();
            let layer = &mut self.layers[stage.shape.layer];
            let input = Input::Rows { values: &x, inputs: stage.shape.inputs };
            add_layer(layer, input, &z, &stage.bias, &valid, &self.cpu.workspace);
            z.iter_mut().for_each(|z| *z = z.max(0.0));
            x = z;
        }
    }

    /// Notes images that are not finite or too large, and puts zeros in their place so that the rest of the pass does not slow down.
    fn fail(&mut self, finite: &[bool], layer: &str, values: &mut [f32], maps: Maps) {
        for (image, _) in finite.iter().enumerate().filter(|(_, finite)| !**finite) {
            self.failures[image].get_or_insert_with(|| layer.to_owned());
            values[image * maps.image_len()..][..maps.image_len()].fill(0.0);
        }
    }

    /// The images that are summed.
    fn valid(&self) -> Vec<usize> {
        (0..self.failures.len()).filter(|&image| self.failures[image].is_none()).collect()
    }
}

/// Adds one layer's sums over the `valid` images of a batch.
fn add_layer(
    layer: &mut LayerMoments,
    input: Input,
    z: &[f32],
    bias: &[f32],
    valid: &[usize],
    workspace: &Workspace,
) {
    if valid.is_empty() {
        return;
    }
    let positions = input.positions();
    let statistics = Statistics::of(z, bias.len(), positions, valid);
    let x = match input {
        Input::Maps { values, maps } => border::patch_sums(values, maps, valid),
        Input::Rows { values, inputs } => border::row_sums(values, inputs, valid),
    };
    layer.positions += (positions * valid.len()) as f64;
    statistics.add_to(layer, bias);
    let outputs = bias.len();
    let responses = Responses { input, z, outputs, valid, statistics: &statistics, bias, x: &x };
    covariance::add(layer, &responses, workspace);
    for (sum, x) in layer.x.iter_mut().zip(&x) {
        *sum += x;
    }
    if let Some(second) = &mut layer.second {
        add_second(second, input, valid, workspace);
    }
}

/// Adds Σxxᵀ over the `valid` images of a batch.
fn add_second(second: &mut SecondMoments, input: Input, valid: &[usize], workspace: &Workspace) {
    let (values, maps) = match input {
        Input::Maps { values, maps } => (values, maps),
        Input::Rows { values, inputs } => {
            (values, Maps { images: values.len() / inputs, height: 1, width: 1, channels: inputs })
        }
    };
    if valid.len() == maps.images {
        return second::add(second, ScaledMaps { values, maps, scales: &[] }, workspace);
    }
    let image = |&image: &usize| &values[image * maps.image_len()..][..maps.image_len()];
    let values: Vec<f32> = valid.iter().flat_map(image).copied().collect();
    let maps = Maps { images: valid.len(), ..maps };
    second::add(second, ScaledMaps { values: &values, maps, scales: &[] }, workspace);
}
