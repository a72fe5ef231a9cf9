//! The CPU backend: float32, channels last, all cores, every loop bounded in memory.
//!
//! Convolutions run as Winograd or im2col products on a library's matrix kernels (`gemm.rs`); what is our own are the
//! transforms and the epilogues. Results are the same bits for every batch size and number of threads: the order of
//! every sum depends on the layer's shape alone.

mod convolution;
mod dense;
mod epilogue;
mod gemm;
mod laps;
mod learn;
mod perturb;
mod pooling;
mod profile;
mod repeats;
mod simd;
mod tiles;
mod trace;
mod winograd;
mod workspace;

use super::chain::Chain;
use super::cuda::CallersError;
use super::memory;
use super::passes::Passes;
use super::profile::{Part, Profiler};
use super::{
    Backend, BackendError, Batch, Filling, Learner, MemoryNeeded, Moments, OperatorSource, Pass, PassId,
    PatchGrid, Perturber, Pixels, Trace,
};
use crate::network::{Extent, Network};
use crate::threads::Threads;
use convolution::{ConvolutionOperator, Direction, ScaledMaps, convolve};
use dense::DenseShape;
use epilogue::Forward;
use laps::Laps;
use learn::CpuLearner;
use perturb::CpuPerturber;
use simd::is_finite;
use std::sync::Arc;
use tiles::{Maps, largest_per_image, tile_rows};
use trace::CpuTrace;
use workspace::Workspace;

/// The matrix kernels that this processor gets, for `vggx info`.
pub fn instructions() -> &'static str {
    gemm::description()
}

/// Images a batch holds by default: enough for the deep layers' products, few enough for 30 MB a batch and layer.
const PREFERRED_BATCH: usize = 8;

/// Maps as large as the largest layer's that a pass needs: the input and the output of that layer, and as much again for
/// transforms and smaller buffers.
const WORKING_MAPS: u64 = 4;

/// A convolution with its ReLU and the max-pool that may follow.
struct Stage {
    /// Number among the parametric layers.
    layer: usize,
    name: String,
    inputs: usize,
    outputs: usize,
    pool: bool,
    operator: ConvolutionOperator,
    bias: Vec<f32>,
}

/// A dense layer and whether a ReLU follows.
struct DenseStage {
    name: String,
    shape: DenseShape,
    bias: Vec<f32>,
    relu: bool,
}

/// The dense layers behind an adaptive average pool to a `side` × `side` grid.
struct Classifier {
    side: usize,
    layers: Vec<DenseStage>,
}

struct PreparedPass {
    pass: Pass,
    /// Backward operators of the stages, in the order of the stages.
    operators: Vec<ConvolutionOperator>,
}

/// A network prepared for the CPU.
pub struct Cpu {
    network: Network,
    forward_source: Arc<dyn OperatorSource>,
    stages: Vec<Stage>,
    classifier: Option<Classifier>,
    passes: Passes<PreparedPass>,
    threads: Arc<Threads>,
    workspace: Workspace,
}

impl Cpu {
    /// Prepares a network's forward pass on `threads` threads (0: all cores).
    ///
    /// `weights` must have gain 2⁰ everywhere (biases are added as they are); `biases` holds one vector a parametric layer.
    ///
    /// # Errors
    /// When the layers do not follow each other as in a VGG, or threads cannot be started.
    pub fn new(
        network: Network,
        weights: Arc<dyn OperatorSource>,
        biases: Vec<Vec<f32>>,
        threads: usize,
    ) -> Result<Self, BackendError> {
        let pool = Threads::new(threads, "vggx-cpu")
            .map_err(|error| BackendError::Threads { threads, reason: error.to_string() })?;
        Self::on_threads(network, weights, biases, Arc::new(pool))
    }

    /// As [`Cpu::new`], on threads that are there.
    pub(crate) fn on_threads(
        network: Network,
        weights: Arc<dyn OperatorSource>,
        biases: Vec<Vec<f32>>,
        pool: Arc<Threads>,
    ) -> Result<Self, BackendError> {
        let (stages, classifier) = pool.install(|| plan(&network, &*weights, biases))?;
        Ok(Cpu {
            network,
            forward_source: weights,
            stages,
            classifier,
            passes: Passes::default(),
            threads: pool,
            workspace: Workspace::default(),
        })
    }

    /// The network's input in float32, channels last.
    fn normalise(&self, batch: &Batch) -> Result<Vec<f32>, BackendError> {
        let positions = batch.height.saturating_mul(batch.width);
        let expected = batch.images.saturating_mul(positions).saturating_mul(3);
        let check = |got| {
            let Batch { images, height, width, .. } = *batch;
            let wrong = BackendError::BatchSize { got, expected, images, height, width };
            if got == expected { Ok(()) } else { Err(wrong) }
        };
        match batch.pixels {
            Pixels::Rgb8(pixels) => {
                check(pixels.len())?;
                Ok(self.network.preprocessing.normalise(pixels))
            }
            Pixels::Normalised(values) => {
                check(values.len())?;
                let mut input = vec![0.0; expected];
                for (planes, input) in
                    values.chunks_exact(3 * positions).zip(input.chunks_exact_mut(3 * positions))
                {
                    for (position, channels) in input.chunks_exact_mut(3).enumerate() {
                        for (channel, value) in channels.iter_mut().enumerate() {
                            *value = planes[channel * positions + position];
                        }
                    }
                }
                Ok(input)
            }
            Pixels::Device(_) => Err(CallersError::NoDevice.into()),
        }
    }

    /// Refuses a batch that the machine cannot hold: an allocation that fails would end the process.
    fn check_memory(&self, batch: &Batch) -> Result<(), BackendError> {
        self.check_memory_for(batch, WORKING_MAPS, 0)
    }

    /// Refuses a batch for which there is no room for so many maps as large as the largest layer's, and for `more` bytes.
    fn check_memory_for(&self, batch: &Batch, maps: u64, more: u64) -> Result<(), BackendError> {
        let extents = self.network.extents(batch.height, batch.width)?;
        let largest = extents.iter().map(values).max().unwrap_or(0).saturating_mul(batch.images as u64);
        let needed = largest.saturating_mul(maps * size_of::<f32>() as u64).saturating_add(more);
        // What earlier batches left in the workspace serves this one.
        let own = self.workspace.free_bytes() as u64;
        match memory::available() {
            Some(available) if needed > available.saturating_add(own) => Err(BackendError::Memory {
                images: batch.images,
                height: batch.height,
                width: batch.width,
                needed: needed >> 20,
                available: available >> 20,
            }),
            _ => Ok(()),
        }
    }

    fn run_forward<'a>(&'a self, batch: &Batch, laps: &mut Laps) -> Result<CpuTrace<'a>, BackendError> {
        self.check_memory(batch)?;
        let mut maps = Maps { images: batch.images, height: batch.height, width: batch.width, channels: 3 };
        let mut values = self.workspace.take(maps.len());
        values.copy_from_slice(&self.normalise(batch)?);
        let scales = vec![1.0; batch.images];
        let mut trace = CpuTrace::new(self, maps);
        laps.end(Part::Step { name: "normalise", bytes: (maps.len() * (1 + size_of::<f32>())) as u64 });
        for stage in &self.stages {
            let output = maps.with_channels(stage.outputs);
            let epilogue = Forward { maps: output, bias: &stage.bias, pool: stage.pool };
            let stored = if stage.pool { output.pooled() } else { output };
            let mut result = self.workspace.take(stored.len());
            let mut codes = vec![0; epilogue.code_len()];
            let mut rows = tile_rows(output, &epilogue, &mut result, &mut codes);
            let input = ScaledMaps { values: &values, maps, scales: &scales };
            convolve(&stage.operator, input, &epilogue, &mut rows, &self.workspace);
            for (image, largest) in largest_per_image(batch.images, &rows).into_iter().enumerate() {
                if !is_finite(largest) {
                    trace.fail(image, &stage.name);
                }
            }
            drop(rows);
            trace.codes.push(codes);
            (values, maps) = (result, stored);
            laps.end(Part::Layer(stage.layer));
        }
        trace.finish(maps, &values, laps);
        Ok(trace)
    }
}

/// Values of a map.
fn values(extent: &Extent) -> u64 {
    [extent.height, extent.width, extent.channels]
        .iter()
        .fold(1u64, |product, &side| product.saturating_mul(side as u64))
}

impl Backend for Cpu {
    fn description(&self) -> String {
        format!("cpu, {} threads, {}", self.threads.current_num_threads(), gemm::description())
    }

    fn threads(&self) -> Option<&rayon::ThreadPool> {
        Some(&self.threads)
    }

    fn prepare(&self, pass: &Pass) -> Result<PassId, BackendError> {
        let operators = self.threads.install(|| {
            let read = |stage: &Stage| {
                let shape = (stage.inputs, stage.outputs);
                ConvolutionOperator::new(&*pass.operators, stage.layer, shape, Direction::Backward)
            };
            self.stages.iter().map(read).collect()
        });
        Ok(self.passes.add(PreparedPass { pass: pass.clone(), operators }))
    }

    fn forward<'a>(&'a self, batch: &Batch) -> Result<Box<dyn Trace + 'a>, BackendError> {
        Ok(Box::new(self.threads.install(|| self.run_forward(batch, &mut Laps::off()))?))
    }

    fn perturb<'a>(
        &'a self,
        images: &[f32],
        count: usize,
        grid: PatchGrid,
        filling: Filling,
    ) -> Result<Box<dyn Perturber + 'a>, BackendError> {
        Ok(Box::new(CpuPerturber::new(self, images, count, grid, filling)?))
    }

    fn preferred_batch(&self) -> usize {
        PREFERRED_BATCH
    }

    fn memory_needed(
        &self,
        images: usize,
        height: usize,
        width: usize,
    ) -> Result<MemoryNeeded, BackendError> {
        let extents = self.network.extents(height, width)?;
        let float = size_of::<f32>() as u64;
        let largest = extents.iter().map(values).max().unwrap_or(0);
        // A bit for each activation, and what a pass brings back to the pixels.
        let bits: u64 = extents.iter().map(|extent| values(extent) / 8).fold(0, u64::saturating_add);
        let back = extents.first().map_or(0, values).saturating_mul(2 * float);
        let image = largest.saturating_mul(WORKING_MAPS * float).saturating_add(bits).saturating_add(back);
        Ok(MemoryNeeded { host: image.saturating_mul(images as u64), device: 0 })
    }

    fn learn<'a>(&'a self, moments: Moments) -> Result<Box<dyn Learner + 'a>, BackendError> {
        Ok(Box::new(CpuLearner::new(self, moments)))
    }

    fn profiler(&self) -> Option<&dyn Profiler> {
        Some(self)
    }
}

/// Lays the network out, and reads the forward operators of the convolutions.
fn plan(
    network: &Network,
    weights: &dyn OperatorSource,
    biases: Vec<Vec<f32>>,
) -> Result<(Vec<Stage>, Option<Classifier>), BackendError> {
    let chain = Chain::new(network, weights, &biases, "CPU")?;
    // One bias a parametric layer, as the chain has checked, in the order of the layers.
    let mut biases = biases.into_iter();
    let mut next_bias = || biases.next().unwrap_or_default();
    let stages = chain
        .stages
        .into_iter()
        .map(|stage| {
            let shape = (stage.inputs, stage.outputs);
            Stage {
                layer: stage.layer,
                name: stage.name,
                inputs: stage.inputs,
                outputs: stage.outputs,
                pool: stage.pool,
                operator: ConvolutionOperator::new(weights, stage.layer, shape, Direction::Forward),
                bias: next_bias(),
            }
        })
        .collect();
    let classifier = chain.classifier.map(|classifier| Classifier {
        side: classifier.side,
        layers: classifier
            .layers
            .into_iter()
            .map(|layer| DenseStage {
                name: layer.name,
                shape: DenseShape { layer: layer.layer, inputs: layer.inputs, outputs: layer.outputs },
                bias: next_bias(),
                relu: layer.relu,
            })
            .collect(),
    });
    Ok((stages, classifier))
}
