//! The CUDA backend: runs a network on an NVIDIA GPU with kernels of our own.
//!
//! | file | does |
//! |---|---|
//! | `device/` | wraps the driver's API; the only place that calls it |
//! | `operators`, `network` | bring operators, biases and the table of pixel values onto the device |
//! | `plan`, `buffers`, `stage_kernels`, `tiles`, `warpgroups`, `resident` | lay a pass out for so many images of one size; no device needed |
//! | `float8` | says which signals go back in float8 |
//! | `schedule` | says which layers run for parts of a batch, so that maps stay in the L2 cache |
//! | `forward`, `backward`, `parts` | write a pass down as steps: copies, and kernels with their parameters |
//! | `program` | runs steps, or captures them once and launches them as a whole |
//! | `arena`, `slot`, `slot_pool` | hold the memory that passes work in |
//! | `batch`, `trace` | take pixels in, and give responses and explanations back |
//! | `callers/` | pixels and explanations in memory of callers on the device |
//! | `perturb` | copies of images in which patches are replaced |
//! | `learn/` | adds up moments behind each layer of a forward pass |
//!
//! Every map is stored times a power of two for each image, chosen by the kernels from a bound on what they are about to
//! store (`kernels/scale.cuh`), so nothing overflows in any precision. Results are the same bits for every batch size.
//!
//! Every call leaves the calling thread's current CUDA context as it was, also when it fails. While memory is allocated or freed,
//! it waits for everything in its context and ends what is being captured there, as the driver's own calls do: who captures graphs in
//! the same context does so while no call is under way.

mod arena;
mod backward;
mod batch;
mod buffers;
pub mod callers;
mod compiled;
pub mod device;
mod float8;
mod forward;
mod learn;
mod network;
mod operators;
mod options;
pub mod params;
mod parts;
mod path;
mod perturb;
mod plan;
mod profile;
mod program;
mod resident;
mod schedule;
mod slot;
mod slot_pool;
mod stage_kernels;
mod tiles;
mod trace;
mod warpgroups;

pub use backward::Detail;
pub use callers::{CallersError, DeviceDestination, DevicePixels, PixelFormat, Stored};
pub use device::{CallersContext, CallersStream, devices};
pub use learn::LearningTime;
pub use options::{CudaOptions, Precision};
pub use path::{architectures, path};
pub use trace::{CudaTrace, Decisions};

use super::chain::Chain;
use super::passes::Passes;
use super::profile::Profiler;
use super::{
    Backend, BackendError, Batch, Filling, Learner, MemoryNeeded, Moments, OperatorSource, OwnedPixels, Pass,
    PassId, PatchGrid, Perturber, Trace,
};
use crate::network::Network;
use crate::threads::Threads;
use device::Device;
use learn::CudaLearner;
use network::DeviceNetwork;
use operators::{Direction, LayerShape, Preparation, PreparedOperator};
use perturb::CudaPerturber;
use plan::{Geometry, Input};
use schedule::Subbatches;
use slot::{DevicePass, Engine, Slot};
use slot_pool::SlotPool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tiles::Limits;

/// Images a batch holds by default where memory allows: enough to fill the largest devices in the deepest layers.
const PREFERRED_BATCH: usize = 64;
/// How long a batch for which there is no memory waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The side of the images that the default is chosen for.
const USUAL_SIDE: usize = 224;

/// A network prepared for a CUDA device.
pub struct Cuda {
    engine: Engine,
    network: Network,
    batch: Option<usize>,
    passes: Passes<DevicePass>,
    prepared: Mutex<Prepared>,
    slots: SlotPool,
    notices: Mutex<Vec<String>>,
}

/// Backward operators on the device.
#[derive(Default)]
struct Prepared {
    operators: Vec<(OperatorKey, Arc<PreparedOperator>)>,
    /// Keep alive what the keys point to.
    sources: Vec<Arc<dyn OperatorSource>>,
}

/// A layer's backward operator, by where its factors lie: passes with the same operators share them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct OperatorKey {
    layer: usize,
    first: *const [u8],
    second: Option<*const [u8]>,
}

// SAFETY: the pointers are compared, never read.
unsafe impl Send for OperatorKey {}
// SAFETY: as above.
unsafe impl Sync for OperatorKey {}

impl OperatorKey {
    fn new(source: &dyn OperatorSource, layer: usize) -> Option<Self> {
        let factors = source.factors(layer)?;
        // Scales are each source's own.
        factors.neuron_scales.is_none().then(|| OperatorKey {
            layer,
            first: factors.first.bytes,
            second: factors.second.map(|second| std::ptr::from_ref(second.bytes)),
        })
    }
}

impl Cuda {
    /// Prepares a network's forward pass on a device.
    ///
    /// `weights` must have gain 2⁰ everywhere (biases are added as they are); `biases` holds one vector a parametric
    /// layer.
    ///
    /// # Errors
    /// When there is no such device, this build has no kernels for it, its memory cannot hold the weights, or the layers
    /// do not follow each other as in a VGG.
    pub fn new(
        network: Network,
        weights: Arc<dyn OperatorSource>,
        biases: Vec<Vec<f32>>,
        options: &CudaOptions,
    ) -> Result<Self, BackendError> {
        let threads = Threads::new(0, "vggx")
            .map_err(|error| BackendError::Threads { threads: 0, reason: error.to_string() })?;
        Self::on_threads(network, weights, biases, options, Arc::new(threads))
    }

    /// As [`Cuda::new`], with threads that are there for what the host does.
    pub(crate) fn on_threads(
        network: Network,
        weights: Arc<dyn OperatorSource>,
        biases: Vec<Vec<f32>>,
        options: &CudaOptions,
        threads: Arc<Threads>,
    ) -> Result<Self, BackendError> {
        let chain = Chain::new(&network, &*weights, &biases, "CUDA device")?;
        let device = match options.context {
            Some(context) => Device::in_context(context)?,
            None => Device::open(options.device)?,
        };
        let subbatches = Subbatches::on(device.description())?;
        let precision = options.precision;
        let warpgroups = path::warpgroups(device.description());
        if precision == Precision::F8 && !warpgroups {
            let (major, minor) = device.description().capability;
            let device = format!("this device has {major}.{minor}");
            let kernels = "the kernels for it are left out or were not compiled";
            let but = if (major, minor) == (9, 0) { kernels.to_owned() } else { device };
            let reason = format!("needs compute capability 9.0, and {but}");
            return Err(BackendError::Precision { precision: precision.name(), reason });
        }
        let preparation = Preparation::new(&device, precision, threads.clone())?;
        let on_device = DeviceNetwork::new(preparation, &chain, &network.preprocessing, &*weights, &biases)?;
        let limits = Limits {
            multiprocessors: device.description().multiprocessors as usize,
            shared_memory: device.description().shared_memory as usize,
            warpgroups,
            clusters: !options::is_set("VGGX_NO_CLUSTERS"),
        };
        let names = network.parametric().map(|(_, layer)| layer.name().to_owned()).collect();
        let graphs = !options::is_set("VGGX_NO_GRAPHS");
        let separate = options::is_set("VGGX_SEPARATE_ALLOCATIONS");
        let engine = Engine {
            device,
            threads,
            chain,
            network: on_device,
            names,
            precision,
            limits,
            subbatches,
            graphs,
            separate,
        };
        let slots = count_slots(&engine, &network, options.batch)?;
        let slots = (0..slots).map(|_| Slot::new(&engine)).collect::<Result<_, _>>()?;
        Ok(Cuda {
            engine,
            network,
            batch: options.batch,
            passes: Passes::default(),
            prepared: Mutex::default(),
            slots: SlotPool::new(slots),
            notices: Mutex::new(Vec::new()),
        })
    }

    /// The number of the device.
    pub fn device_number(&self) -> usize {
        self.engine.device.description().index
    }

    /// As [`Backend::forward`], with what only this backend can tell.
    ///
    /// # Errors
    /// As [`Backend::forward`].
    pub fn forward_trace(&self, batch: &Batch) -> Result<CudaTrace<'_>, BackendError> {
        self.network.extents(batch.height, batch.width)?;
        batch::check(&self.engine.device, batch)?;
        if batch.images == 0 {
            return CudaTrace::run(self, None, 0, batch);
        }
        let mut slot = self.slots.take();
        let laid = loop {
            match slot.lay_out(&self.engine, batch::geometry(batch)) {
                // Another slot may hold the memory that one image lacks.
                Err(BackendError::Memory { .. }) if self.slots.reclaim(PATIENCE) => slot.forget_shortage(),
                laid => break laid?,
            }
        };
        if let Some(notice) = laid.notice {
            self.note(notice);
        }
        CudaTrace::run(self, Some(slot), laid.part, batch)
    }

    /// Times every kernel of a pass that learns from a batch, in their order, one by one.
    ///
    /// # Errors
    /// As [`Backend::learn`] and [`Learner::add`].
    pub fn time_learning(&self, batch: &Batch, repeats: usize) -> Result<Vec<LearningTime>, BackendError> {
        learn::time(self, batch, repeats)
    }

    /// Notes something for the user, once.
    fn note(&self, notice: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }

    /// Prepares the backward operator of a layer, or finds it.
    fn backward_operator(
        &self,
        preparation: &mut Preparation,
        source: &dyn OperatorSource,
        shape: &LayerShape,
    ) -> Result<Arc<PreparedOperator>, BackendError> {
        let key = OperatorKey::new(source, shape.layer);
        if let Some((_, operator)) = self.prepared().operators.iter().find(|(known, _)| Some(*known) == key) {
            return Ok(operator.clone());
        }
        // Without the lock: this takes long. Should two threads prepare the same, both operators are right.
        let operator = Arc::new(preparation.operator(source, shape, Direction::Backward)?);
        if let Some(key) = key {
            self.prepared().operators.push((key, operator.clone()));
        }
        Ok(operator)
    }

    fn prepared(&self) -> MutexGuard<'_, Prepared> {
        // Nothing panics under the lock.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The usual side of images, or what the network needs.
fn usual_side(network: &Network) -> usize {
    let mut side = USUAL_SIDE;
    while network.extents(side, side).is_err() && side < 1 << 20 {
        side *= 2;
    }
    side
}

/// Bytes that a batch of images of the usual size takes.
fn batch_bytes(engine: &Engine, network: &Network, images: usize) -> u64 {
    let side = usual_side(network);
    let geometry = Geometry { images, height: side, width: side, input: Input::Rgb8 };
    engine.plan(geometry).bytes() as u64
}

/// Two slots, so that the copies of one overlap the computation of the other, where memory allows with room for the
/// operators of passes.
fn count_slots(engine: &Engine, network: &Network, batch: Option<usize>) -> Result<usize, BackendError> {
    let needed = batch_bytes(engine, network, batch.unwrap_or(PREFERRED_BATCH));
    let free = engine.device.free_memory()?;
    Ok(if needed.saturating_mul(2) <= free / 2 { 2 } else { 1 })
}

impl Backend for Cuda {
    fn description(&self) -> String {
        let description = self.engine.device.description();
        format!("cuda:{}, {description}, {}", description.index, self.engine.precision.name())
    }

    fn threads(&self) -> Option<&rayon::ThreadPool> {
        Some(&self.engine.threads)
    }

    fn prepare(&self, pass: &Pass) -> Result<PassId, BackendError> {
        let Engine { device, precision, threads, .. } = &self.engine;
        let mut preparation = Preparation::new(device, *precision, threads.clone())?;
        // Before its addresses become keys.
        self.prepared().sources.push(pass.operators.clone());
        let operators = LayerShape::all(&self.engine.chain)
            .iter()
            .map(|shape| self.backward_operator(&mut preparation, &*pass.operators, shape))
            .collect::<Result<_, _>>()?;
        Ok(self.passes.add(DevicePass { operators, gate: pass.gate, start: pass.start }))
    }

    fn forward<'a>(&'a self, batch: &Batch) -> Result<Box<dyn Trace + 'a>, BackendError> {
        Ok(Box::new(self.forward_trace(batch)?))
    }

    fn fetch(
        &self,
        pixels: &DevicePixels,
        images: usize,
        size: (usize, usize),
    ) -> Result<OwnedPixels, BackendError> {
        callers::fetch(&self.engine.device, pixels, images, size)
    }

    fn store(
        &self,
        destination: &DeviceDestination,
        size: (usize, usize),
        explanations: &[Option<&[u8]>],
    ) -> Result<(), BackendError> {
        callers::store(&self.engine.device, destination, size, explanations)
    }

    fn perturb<'a>(
        &'a self,
        images: &[f32],
        count: usize,
        grid: PatchGrid,
        filling: Filling,
    ) -> Result<Box<dyn Perturber + 'a>, BackendError> {
        Ok(Box::new(CudaPerturber::new(self, images, count, grid, filling)?))
    }

    fn preferred_batch(&self) -> usize {
        if let Some(batch) = self.batch {
            return batch.max(1);
        }
        let Ok(free) = self.engine.device.free_memory() else { return 1 };
        let usable = (free + self.slots.bytes() as u64) / 8 * 7 / self.slots.count().max(1) as u64;
        let fits = |&images: &usize| batch_bytes(&self.engine, &self.network, images) <= usable;
        std::iter::successors(Some(PREFERRED_BATCH), |&images| (images > 1).then_some(images / 2))
            .find(fits)
            .unwrap_or(1)
    }

    fn memory_needed(
        &self,
        images: usize,
        height: usize,
        width: usize,
    ) -> Result<MemoryNeeded, BackendError> {
        self.network.extents(height, width)?;
        let geometry = Geometry { images, height, width, input: Input::Rgb8 };
        let plan = self.engine.plan(geometry);
        let host = plan.upload_bytes().saturating_add(plan.download_bytes());
        Ok(MemoryNeeded { host: host as u64, device: plan.bytes() as u64 })
    }

    fn learn<'a>(&'a self, moments: Moments) -> Result<Box<dyn Learner + 'a>, BackendError> {
        Ok(Box::new(CudaLearner::new(self, moments)?))
    }

    fn preferred_learning_batch(&self) -> usize {
        learn::preferred_batch(self)
    }

    fn profiler(&self) -> Option<&dyn Profiler> {
        Some(self)
    }

    fn concurrent_batches(&self) -> usize {
        self.slots.count()
    }

    fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
