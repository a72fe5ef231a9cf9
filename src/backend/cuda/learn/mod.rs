//! Moments on a CUDA device.
//!
//! | file | does |
//! |---|---|
//! | `accumulators` | all sums on the device, and their way from and to [`Moments`] |
//! | `split` | how the sums of a layer are split into blocks |
//! | `boxes` | how warpgroups make the products of a layer |
//! | `second_sums` | Σxxᵀ on the device, and its way from and to the host |
//! | `second` | the launches that add Σxxᵀ of a batch |
//! | `plan`, `steps` | a forward pass that keeps z, and behind each layer the kernels of its sums |
//!
//! The kernels are those of `kernels/moments.cu`, `hopper_moments.cu`, `moments_image.cu` and `moment_sums.cu`, of Σxxᵀ
//! `second_lines.cu` and `second_moments.cu`. Every image of a batch has exponents of its
//! own; sums are in true units. Pilots are the batch's, so nothing but the sums goes from batch to batch.

mod accumulators;
mod boxes;
mod plan;
mod second;
mod second_sums;
mod split;
mod steps;

use super::arena::Arena;
use super::batch::{self, fill, is_finite};
use super::device::{DeviceError, Event, Stream, bytes_of};
use super::plan::{Geometry, Input, most_images};
use super::program::{LaunchTimes, Pinned, Program};
use super::slot::{Engine, images_of, not_laid_out};
use super::trace::ranges;
use super::{Cuda, Precision};
use crate::backend::{BackendError, Batch, Learner, Moments};
use accumulators::Accumulators;
use plan::LearnPlan;
use std::collections::HashMap;
use std::time::Duration;

/// Images of 224×224 a batch holds. It decides bits, so it does not depend on what else is in memory; where that is too
/// short all the same, a batch runs in parts, which rounds the sums differently, and the user is told.
const PREFERRED_BATCH: usize = 64;

/// Adds up moments on a device.
pub(super) struct CudaLearner<'a> {
    cuda: &'a Cuda,
    stream: Stream,
    /// What the stream waits for, of callers' streams.
    before: Event,
    sums: Accumulators,
    /// Complete but for what lies on the device.
    moments: Moments,
    /// Whether batches were added since the sums were read.
    is_stale: bool,
    work: Arena,
    current: Option<Current>,
    /// The most images that are run at a time, after memory was too short for more, by extents.
    most: HashMap<(usize, usize), usize>,
}

/// What the memory is laid out for.
struct Current {
    learn: LearnPlan,
    pinned: Pinned,
    program: Program,
}

impl<'a> CudaLearner<'a> {
    /// Goes on from `moments`.
    pub fn new(cuda: &'a Cuda, moments: Moments) -> Result<Self, BackendError> {
        let layers = cuda.network.parametric().map(|(_, layer)| layer.weight_shape());
        assert!(
            layers.eq(moments.layers.iter().map(|layer| layer.shape.clone())),
            "moments of another network"
        );
        let engine = &cuda.engine;
        if engine.precision == Precision::F8 {
            let reason = "is for explanations, and moments are learned".to_owned();
            return Err(BackendError::Precision { precision: engine.precision.name(), reason });
        }
        let sums = match Accumulators::new(engine, &moments) {
            // Passes that ran before may hold the memory.
            Err(BackendError::MomentMemory { .. }) if cuda.slots.reclaim(Duration::ZERO) => {
                Accumulators::new(engine, &moments)?
            }
            sums => sums?,
        };
        Ok(CudaLearner {
            cuda,
            stream: engine.device.stream()?,
            before: engine.device.event()?,
            sums,
            moments,
            is_stale: false,
            work: Arena::new(engine.device.clone(), engine.separate),
            current: None,
            most: HashMap::new(),
        })
    }

    /// The parts that a batch runs in: as many images each, but for what the last one is filled up with.
    fn part_of(&self, batch: Geometry) -> usize {
        let extents = (batch.height, batch.width);
        let engine = &self.cuda.engine;
        let counted = most_images(&engine.chain, engine.precision, batch.height, batch.width);
        let most = self.most.get(&extents).copied().unwrap_or(counted);
        let most = most.min(most_in_memory(engine, batch, self.moments.has_second())).clamp(1, batch.images);
        batch.images.div_ceil(batch.images.div_ceil(most))
    }

    /// Lays the memory out for the parts of a batch, and says how many images a part has.
    fn lay_out(&mut self, batch: Geometry) -> Result<usize, BackendError> {
        let engine = &self.cuda.engine;
        if most_images(&engine.chain, engine.precision, batch.height, batch.width) == 0 {
            return Err(self.too_large(Geometry { images: 1, ..batch }));
        }
        loop {
            let geometry = Geometry { images: self.part_of(batch), ..batch };
            if self.current.as_ref().is_some_and(|current| current.learn.plan.geometry == geometry) {
                return Ok(geometry.images);
            }
            match self.lay_out_part(geometry) {
                Ok(()) => return Ok(geometry.images),
                Err(error) if error.is_out_of_memory() => {
                    self.work.clear();
                    if self.cuda.slots.reclaim(Duration::ZERO) {
                        continue;
                    }
                    let (height, width) = (batch.height, batch.width);
                    if geometry.images == 1 {
                        return Err(self.too_large(geometry));
                    }
                    let most = geometry.images.div_ceil(2);
                    self.most.insert((height, width), most);
                    self.cuda.note(format!(
                        "the CUDA device has too little memory to learn from {} images of {height}×{width} at a time: \
                         they run in parts of {most}",
                        geometry.images
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lay_out_part(&mut self, geometry: Geometry) -> Result<(), DeviceError> {
        let engine = &self.cuda.engine;
        // Its program has the addresses of what is about to move.
        self.current = None;
        let learn = LearnPlan::new(engine, geometry, self.moments.has_second());
        let buffers = &learn.plan.buffers;
        let (work, kept) = (buffers.work(engine.separate), buffers.kept());
        let addresses = self.work.reserve(&[work.clone(), kept].concat())?;
        let (work, kept) = addresses.split_at(work.len());
        let at = buffers.addresses(engine.separate, work, kept);
        let pinned = Pinned {
            upload: engine.device.allocate_pinned(learn.upload_bytes())?,
            download: engine.device.allocate_pinned(learn.plan.buffers.bytes(learn.plan.bits))?,
        };
        let steps =
            steps::learn(&learn, &at, &engine.network, &engine.names, self.sums.addresses(), engine.limits)?;
        let what = format!("the moments of {}", images_of(geometry));
        let program = Program::new(&engine.device, what, steps)?;
        self.current = Some(Current { learn, pinned, program });
        Ok(())
    }

    fn too_large(&self, geometry: Geometry) -> BackendError {
        let engine = &self.cuda.engine;
        BackendError::Memory {
            images: geometry.images,
            height: geometry.height,
            width: geometry.width,
            needed: LearnPlan::new(engine, geometry, self.moments.has_second()).plan.bytes() as u64 >> 20,
            available: engine.device.free_memory().unwrap_or(0) >> 20,
        }
    }

    /// Runs images `first..first + count` of a batch. Returns which of them are finite.
    fn add_part(
        &mut self,
        batch: &Batch,
        (first, count, part): (usize, usize, usize),
    ) -> Result<Vec<bool>, DeviceError> {
        let engine = &self.cuda.engine;
        let Some(Current { learn, pinned, program }) = &mut self.current else {
            return Err(not_laid_out());
        };
        let (bytes, scales) = (learn.plan.upload_bytes(), learn.plan.input_scales_offset());
        let upload = pinned.upload.slice_mut(0, bytes);
        let images = (first, count, part);
        let mut finite = engine.threads.install(|| fill(batch, images, engine.precision, upload, scales));
        // What a part is filled up with does not count.
        let mut counted: Vec<u32> = finite.iter().map(|&finite| u32::from(finite)).collect();
        counted.resize(part, 0);
        let counted = bytes_of(&counted);
        pinned.upload.slice_mut(learn.counted_offset(), counted.len()).copy_from_slice(counted);
        // SAFETY: the steps were made for these addresses; the sums and the work memory stay as long as the program.
        unsafe { program.run(&self.stream, pinned, engine.graphs) }?;
        if learn.plan.bits_offset().is_some() {
            let bits = pinned.download.slice::<u32>(0, count);
            finite = bits.iter().copied().map(is_finite).collect();
        }
        let images = finite.iter().filter(|finite| **finite).count();
        for (layer, extents) in self.moments.layers.iter_mut().zip(&learn.layers) {
            layer.positions += (images * extents.height * extents.width) as f64;
        }
        self.is_stale = true;
        Ok(finite)
    }
}

impl Learner for CudaLearner<'_> {
    fn add(&mut self, batch: &Batch) -> Result<Vec<Option<BackendError>>, BackendError> {
        self.cuda.network.extents(batch.height, batch.width)?;
        batch::check(&self.cuda.engine.device, batch)?;
        if batch.images == 0 {
            return Ok(Vec::new());
        }
        let part = self.lay_out(batch::geometry(batch))?;
        if let Some(stream) = batch::stream(batch) {
            self.stream.follow(stream, &self.before)?;
        }
        let mut failures = Vec::with_capacity(batch.images);
        for (first, count) in ranges(batch.images, part) {
            let finite = self.add_part(batch, (first, count, part))?;
            // A network's own maps cannot overflow.
            failures.extend(finite.into_iter().map(|finite| {
                (!finite)
                    .then(|| BackendError::ActivationOverflow { layer: self.cuda.engine.names[0].clone() })
            }));
        }
        Ok(failures)
    }

    fn moments(&mut self) -> Result<&Moments, BackendError> {
        if self.is_stale {
            self.sums.download(&mut self.moments)?;
            self.is_stale = false;
        }
        Ok(&self.moments)
    }

    fn into_moments(mut self: Box<Self>) -> Result<Moments, BackendError> {
        self.moments()?;
        Ok(self.moments)
    }
}

/// How long a kernel of a pass that learns took.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningTime {
    /// What ran.
    pub kernel: String,
    /// On what.
    pub shape: String,
    /// Median over the repeats, for a whole part of the batch.
    pub seconds: f64,
}

/// As [`Cuda::time_learning`].
pub(super) fn time(cuda: &Cuda, batch: &Batch, repeats: usize) -> Result<Vec<LearningTime>, BackendError> {
    let mut learner = CudaLearner::new(cuda, Moments::zeros(&cuda.network, false))?;
    learner.add(batch)?;
    let Some(Current { program, .. }) = &learner.current else { return Ok(Vec::new()) };
    // SAFETY: as in `add_part`, which has just run.
    let times = unsafe { program.time(&learner.stream, repeats.max(1)) }?;
    let time = |LaunchTimes { kernel, shape, mut seconds }: LaunchTimes| {
        seconds.sort_by(f64::total_cmp);
        let seconds = seconds[seconds.len() / 2];
        LearningTime { kernel: kernel.to_owned(), shape: shape.to_owned(), seconds }
    };
    Ok(times.into_iter().map(time).collect())
}

/// Bytes that a batch may take of a device's memory, beside weights and sums.
fn budget(engine: &Engine, second: bool) -> u64 {
    (engine.device.description().memory / 8 * 7).saturating_sub(Accumulators::bytes(engine, second)) / 8 * 7
}

/// The most images of a part that a device has the memory for, whatever else is in it.
fn most_in_memory(engine: &Engine, batch: Geometry, second: bool) -> usize {
    let budget = budget(engine, second);
    let fits = |&images: &usize| {
        LearnPlan::new(engine, Geometry { images, ..batch }, second).plan.bytes() as u64 <= budget
    };
    std::iter::successors(Some(batch.images), |&images| (images > 1).then(|| images.div_ceil(2)))
        .find(fits)
        .unwrap_or(1)
}

/// As [`Backend::preferred_learning_batch`](crate::backend::Backend::preferred_learning_batch).
pub(super) fn preferred_batch(cuda: &Cuda) -> usize {
    if let Some(batch) = cuda.batch {
        return batch.max(1);
    }
    let side = super::usual_side(&cuda.network);
    let geometry = Geometry { images: PREFERRED_BATCH, height: side, width: side, input: Input::Rgb8 };
    most_in_memory(&cuda.engine, geometry, false)
}
