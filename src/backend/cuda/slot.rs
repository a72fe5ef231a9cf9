//! A stream with all the memory that a batch needs, from its pixels to its explanations. Several slots keep the device
//! busy while the host copies.

use super::arena::Arena;
use super::backward::{Exit, backward};
use super::buffers::{Addresses, Buffer};
use super::device::{CallersStream, Device, DeviceError, Event, Stream};
use super::forward::forward;
use super::network::DeviceNetwork;
use super::operators::PreparedOperator;
use super::options::Precision;
use super::plan::{Geometry, Plan, most_images};
use super::program::{Pinned, Program};
use super::schedule::Subbatches;
use super::tiles::Limits;
use crate::backend::chain::Chain;
use crate::backend::{BackendError, Gate, Start};
use crate::threads::Threads;
use std::collections::HashMap;
use std::sync::Arc;

/// What every slot of a backend works with.
pub(super) struct Engine {
    pub device: Device,
    /// For what the host does in parallel. They never wait for a slot, so whoever holds one may wait for them.
    pub threads: Arc<Threads>,
    pub chain: Chain,
    pub network: DeviceNetwork,
    /// Names of the parametric layers.
    pub names: Vec<String>,
    pub precision: Precision,
    pub limits: Limits,
    /// How it is decided which layers run for parts of a batch.
    pub subbatches: Subbatches,
    /// Whether passes are captured and launched as a whole.
    pub graphs: bool,
    /// Whether every buffer is allocated apart.
    pub separate: bool,
}

impl Engine {
    /// The plan of passes forward and backward.
    pub fn plan(&self, geometry: Geometry) -> Plan {
        Plan::new(&self.chain, geometry, self.precision, self.limits, self.subbatches)
    }
}

/// A pass whose operators are on the device.
pub(super) struct DevicePass {
    pub operators: Vec<Arc<PreparedOperator>>,
    pub gate: Gate,
    pub start: Start,
}

/// The memory of one batch, and a stream.
pub(super) struct Slot {
    stream: Stream,
    /// What the stream waits for, of callers' streams.
    before: Event,
    work: Arena,
    kept: Arena,
    current: Option<Current>,
    /// The most images that are run at a time, after memory was too short for more, by extents.
    most: HashMap<(usize, usize), usize>,
}

/// What the slot is laid out for.
struct Current {
    plan: Plan,
    pinned: Pinned,
    parts: Vec<Part>,
}

/// Images that are run at a time. The parts of a batch share the memory they work in; what is kept for backward passes
/// is each one's own.
struct Part {
    at: Addresses,
    forward: Program,
    /// By number of the pass.
    backward: HashMap<(usize, Exit), Program>,
}

/// A batch that is laid out.
pub(super) struct Laid {
    /// Images of a part.
    pub part: usize,
    /// What the user should be told.
    pub notice: Option<String>,
}

impl Slot {
    pub fn new(engine: &Engine) -> Result<Self, DeviceError> {
        Ok(Slot {
            stream: engine.device.stream()?,
            before: engine.device.event()?,
            work: Arena::new(engine.device.clone(), engine.separate),
            kept: Arena::new(engine.device.clone(), engine.separate),
            current: None,
            most: HashMap::new(),
        })
    }

    /// Lays the memory out for a batch; it stays as it is when it fits already. When memory is short the batch is run in
    /// parts, which gives the same results.
    pub fn lay_out(&mut self, engine: &Engine, batch: Geometry) -> Result<Laid, BackendError> {
        let Geometry { images, height, width, .. } = batch;
        if let Some(current) = &self.current
            && current.fits(batch)
        {
            return Ok(Laid { part: current.plan.geometry.images, notice: None });
        }
        let extents = (height, width);
        let counted = most_images(&engine.chain, engine.precision, height, width);
        let mut most = self.most.get(&extents).copied().unwrap_or(counted).min(images);
        if most == 0 {
            return Err(self.too_large(engine, batch));
        }
        let mut notice = None;
        loop {
            let parts = images.div_ceil(most);
            let geometry = Geometry { images: images.div_ceil(parts), ..batch };
            match self.lay_out_parts(engine, geometry, parts) {
                Ok(()) => return Ok(Laid { part: geometry.images, notice }),
                Err(error) if error.is_out_of_memory() => {
                    // Nothing of it is used; the memory serves the next attempt, or another slot.
                    self.release();
                    if geometry.images == 1 {
                        return Err(self.too_large(engine, batch));
                    }
                    most = geometry.images.div_ceil(2);
                    self.most.insert(extents, most);
                    notice = Some(format!(
                        "the CUDA device has too little memory for {images} images of {height}×{width} at a time: \
                         they run in parts of {most}"
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lay_out_parts(
        &mut self,
        engine: &Engine,
        geometry: Geometry,
        parts: usize,
    ) -> Result<(), DeviceError> {
        // Programs have the addresses of what is about to move.
        self.current = None;
        let plan = engine.plan(geometry);
        let work = self.work.reserve(&plan.buffers.work(engine.separate))?;
        let kept_sizes = plan.buffers.kept();
        let kept = self.kept.reserve(&kept_sizes.repeat(parts))?;
        let pinned = Pinned {
            upload: engine.device.allocate_pinned(plan.upload_bytes())?,
            download: engine.device.allocate_pinned(plan.download_bytes())?,
        };
        let what = format!("the forward pass on {}", images_of(geometry));
        let parts = kept
            .chunks_exact(kept_sizes.len())
            .map(|kept| {
                let at = plan.buffers.addresses(engine.separate, &work, kept);
                let steps = forward(&plan, &at, &engine.network, &engine.names)?;
                let forward = Program::new(&engine.device, what.clone(), steps)?;
                Ok(Part { at, forward, backward: HashMap::new() })
            })
            .collect::<Result<_, DeviceError>>()?;
        self.current = Some(Current { plan, pinned, parts });
        Ok(())
    }

    /// Gives all memory back.
    pub fn release(&mut self) {
        self.current = None;
        self.work.clear();
        self.kept.clear();
    }

    /// More may fit than did before.
    pub fn forget_shortage(&mut self) {
        self.most.clear();
    }

    fn too_large(&self, engine: &Engine, batch: Geometry) -> BackendError {
        let plan = engine.plan(Geometry { images: 1, ..batch });
        BackendError::Memory {
            images: 1,
            height: batch.height,
            width: batch.width,
            needed: plan.bytes() as u64 >> 20,
            available: engine.device.free_memory().unwrap_or(0) >> 20,
        }
    }

    /// Bytes of device memory that it holds.
    pub fn bytes(&self) -> usize {
        self.work.bytes() + self.kept.bytes()
    }

    /// Makes what runs next wait until what a caller's stream holds now is done.
    pub fn follow(&self, stream: CallersStream) -> Result<(), DeviceError> {
        self.stream.follow(stream, &self.before)
    }

    /// Runs a part forward. `fill` writes the pixels, and behind them at the offset that it is given the largest
    /// magnitudes and exponents of normalised ones.
    pub fn forward(
        &mut self,
        engine: &Engine,
        part: usize,
        fill: impl FnOnce(&mut [u8], usize),
    ) -> Result<PartResults<'_>, DeviceError> {
        let Some(Current { plan, pinned, parts }) = &mut self.current else { return Err(not_laid_out()) };
        let bytes = plan.upload_bytes();
        fill(pinned.upload.slice_mut(0, bytes), plan.input_scales_offset());
        // SAFETY: the steps were made for the addresses of this part, and run as long as its plan is laid out.
        unsafe { parts[part].forward.run(&self.stream, pinned, engine.graphs) }?;
        Ok(PartResults { plan, pinned, buffer: plan.responses() })
    }

    /// Runs a pass back from a part. `fill` writes the request.
    pub fn backward(
        &mut self,
        engine: &Engine,
        part: usize,
        (id, pass, exit): (usize, &DevicePass, Exit),
        fill: impl FnOnce(&mut [u8], &Plan),
    ) -> Result<PartResults<'_>, DeviceError> {
        let Some(Current { plan, pinned, parts }) = &mut self.current else { return Err(not_laid_out()) };
        let Part { at, backward: programs, .. } = &mut parts[part];
        let program = match programs.entry((id, exit)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let how = (pass.gate, pass.start);
                let exit = (exit, engine.network.pixels.reversed);
                let steps = backward(plan, at, &pass.operators, how, exit, &engine.names)?;
                let what = format!("a backward pass on {}", images_of(plan.geometry));
                entry.insert(Program::new(&engine.device, what, steps)?)
            }
        };
        fill(pinned.upload.slice_mut(0, plan.request.bytes), plan);
        // SAFETY: as in `forward`.
        unsafe { program.run(&self.stream, pinned, engine.graphs) }?;
        Ok(PartResults { plan, pinned, buffer: exit.buffer(plan) })
    }

    /// Reads back what a part keeps in a buffer.
    pub fn kept(
        &self,
        part: usize,
        choose: impl FnOnce(&Plan) -> Option<Buffer>,
    ) -> Result<Vec<u8>, DeviceError> {
        let Some(Current { plan, parts, .. }) = &self.current else { return Err(not_laid_out()) };
        let Some(buffer) = choose(plan) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; plan.buffers.bytes(buffer)];
        // SAFETY: the buffer is as large, and the copy is waited for.
        unsafe { self.stream.start_download(&mut bytes, parts[part].at.of(buffer)) }?;
        self.stream.synchronise()?;
        Ok(bytes)
    }

    /// Where the first part lies, for timing its kernels.
    pub fn first_part(&mut self) -> Result<(&Plan, &Addresses, &mut Pinned), DeviceError> {
        let Some(Current { plan, pinned, parts }) = &mut self.current else { return Err(not_laid_out()) };
        let part = parts.first().ok_or_else(not_laid_out)?;
        Ok((plan, &part.at, pinned))
    }

    pub fn plan(&self) -> Option<&Plan> {
        self.current.as_ref().map(|current| &current.plan)
    }
}

impl Current {
    /// Whether a batch runs here without too much filling up.
    fn fits(&self, batch: Geometry) -> bool {
        let Geometry { images, height, width, input } = self.plan.geometry;
        let all = images * self.parts.len();
        (height, width, input) == (batch.height, batch.width, batch.input)
            && batch.images <= all
            && all <= 4 * batch.images
    }
}

/// Cannot be: passes run in slots that were laid out.
pub(super) fn not_laid_out() -> DeviceError {
    DeviceError::NoKernel { kernel: "of a batch that was never laid out".to_owned() }
}

pub(super) fn images_of(geometry: Geometry) -> String {
    format!("{} images of {}×{}", geometry.images, geometry.height, geometry.width)
}

/// What a pass brought back.
pub(super) struct PartResults<'a> {
    pub plan: &'a Plan,
    pinned: &'a Pinned,
    buffer: Buffer,
}

impl PartResults<'_> {
    /// The numbers of an image, of which there are `count` of each.
    pub fn values<T: super::device::Plain>(&self, image: usize, count: usize) -> &[T] {
        self.pinned.download.slice(image * count * size_of::<T>(), count)
    }

    /// Powers of two of the images.
    pub fn exponents(&self) -> &[i32] {
        let offset = self.plan.exponents_offset(self.buffer);
        self.pinned.download.slice(offset, self.plan.geometry.images)
    }

    /// Bits of the largest magnitude of each image, if the device found them.
    pub fn image_bits(&self) -> Option<&[u32]> {
        let offset = self.plan.bits_offset()?;
        Some(self.pinned.download.slice(offset, self.plan.geometry.images))
    }
}
