//! A finished forward pass on the device, and the backward passes that start from it.

use super::backward::{Detail, Exit, starts_with_signs};
use super::batch::{fill, is_finite, stream};
use super::callers::{DeviceDestination, check_stream};
use super::device::{DeviceError, bytes_of};
use super::network::scaled;
use super::params::VGGX_CHANNELS;
use super::plan::{Plan, padded};
use super::slot::{DevicePass, Engine, PartResults};
use super::slot_pool::Lease;
use super::{Cuda, Precision};
use crate::backend::{BackendError, Batch, PassId, Relevance, Start, Trace};
use crate::parallel;
use std::cell::RefCell;

/// A forward pass that has run on a [`Cuda`] backend. It keeps a slot busy until it is dropped.
pub struct CudaTrace<'a> {
    cuda: &'a Cuda,
    /// None for a batch without images.
    slot: Option<RefCell<Lease<'a>>>,
    images: usize,
    /// Images that are run at a time.
    part: usize,
    height: usize,
    width: usize,
    responses: Vec<f32>,
    outputs: usize,
    /// Why an image has no responses.
    failures: Vec<Option<BackendError>>,
}

/// What the engine decided at the ReLUs, and at the pool, of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Whether the value is positive, \[images, channels, height, width\]; behind a pool, the pooled value.
    pub mask: Vec<bool>,
    /// Where in its window the maximum is, 2 · row + column, in the same order; empty without a pool.
    pub argmax: Vec<u8>,
}

/// Images of a part: the first one's number, and how many there are.
pub(super) type Range = (usize, usize);

impl<'a> CudaTrace<'a> {
    /// Runs a batch forward in a slot that has been laid out for parts of `part` images.
    pub(super) fn run(
        cuda: &'a Cuda,
        slot: Option<Lease<'a>>,
        part: usize,
        batch: &Batch,
    ) -> Result<Self, BackendError> {
        let outputs = cuda.engine.chain.outputs();
        let mut trace = CudaTrace {
            cuda,
            slot: slot.map(RefCell::new),
            images: batch.images,
            part,
            height: batch.height,
            width: batch.width,
            responses: Vec::with_capacity(batch.images * outputs),
            outputs,
            failures: vec![None; batch.images],
        };
        let engine = &cuda.engine;
        let CudaTrace { slot, responses, failures, .. } = &mut trace;
        let Some(slot) = slot else { return Ok(trace) };
        if let Some(stream) = stream(batch) {
            slot.get_mut().follow(stream)?;
        }
        for (index, &(first, count)) in ranges(batch.images, part).iter().enumerate() {
            let mut finite = Vec::new();
            let images = (first, count, part);
            let results = slot.get_mut().forward(engine, index, |upload, scales| {
                finite = engine.threads.install(|| fill(batch, images, engine.precision, upload, scales));
            })?;
            if let Some(bits) = results.image_bits() {
                finite = bits.iter().copied().map(is_finite).collect();
            }
            for image in 0..count {
                let of_image = read_responses(&results, image, outputs);
                // Values that are not finite were replaced by zeros; a network's own maps cannot overflow.
                let layer = if !finite[image] {
                    Some(&engine.names[0])
                } else if of_image.iter().any(|response| !response.is_finite()) {
                    engine.names.last()
                } else {
                    None
                };
                failures[first + image] =
                    layer.map(|layer| BackendError::ActivationOverflow { layer: layer.clone() });
                responses.extend(of_image);
            }
        }
        Ok(trace)
    }

    /// What the engine decided in a parametric layer, for tests that compare a pass on the same decisions. Dense layers
    /// have maps of one position; the last one has no ReLU and decides nothing.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When the network has no such layer.
    pub fn decisions(&self, layer: usize) -> Result<Decisions, BackendError> {
        let chain = &self.cuda.engine.chain;
        assert!(layer < self.cuda.engine.names.len(), "the network has no parametric layer {layer}");
        let mut decisions = Decisions { mask: Vec::new(), argmax: Vec::new() };
        let Some(slot) = &self.slot else { return Ok(decisions) };
        let slot = slot.borrow();
        let Some(plan) = slot.plan() else { return Ok(decisions) };
        let dense = layer.checked_sub(chain.stages.len());
        let (positions, channels) = match (&chain.classifier, dense) {
            (Some(classifier), Some(dense)) => (1, classifier.layers[dense].outputs),
            _ => {
                let stage = &plan.stages[layer];
                (stage.stored_height * stage.stored_width, chain.stages[layer].outputs)
            }
        };
        for (part, &(_, count)) in ranges(self.images, self.part).iter().enumerate() {
            let mask = slot.kept(part, |plan| match (&plan.classifier, dense) {
                (Some(classifier), Some(dense)) => classifier.layers[dense].mask,
                _ => Some(plan.stages[layer].mask),
            })?;
            let argmax = slot.kept(part, |plan| plan.stages.get(layer)?.argmax)?;
            for image in 0..count {
                for channel in 0..channels {
                    for position in 0..positions {
                        let place = Place::new(image * positions + position, channel, channels);
                        if let Some(word) = mask.as_chunks::<2>().0.get(place.word) {
                            decisions.mask.push(u16::from_ne_bytes(*word) >> place.bit & 1 == 1);
                        }
                        if let Some(word) = argmax.as_chunks::<4>().0.get(place.word) {
                            let code = u32::from_ne_bytes(*word) >> (2 * place.bit) & 3;
                            decisions.argmax.push(code as u8);
                        }
                    }
                }
            }
        }
        Ok(decisions)
    }

    /// The map after the last stage, \[images, channels, height, width\], as it is stored, for tests.
    ///
    /// # Errors
    /// When the device fails.
    pub fn final_map(&self) -> Result<Vec<f64>, BackendError> {
        let mut map = Vec::new();
        let Some(slot) = &self.slot else { return Ok(map) };
        let slot = slot.borrow();
        let Some(plan) = slot.plan() else { return Ok(map) };
        let (stages, last) = (&self.cuda.engine.chain.stages, plan.last_stage());
        let channels = stages[stages.len() - 1].outputs;
        let positions = last.stored_height * last.stored_width;
        let element = plan.precision.bytes();
        for (part, &(_, count)) in ranges(self.images, self.part).iter().enumerate() {
            let stored = slot.kept(part, |plan| Some(plan.last_stage().output))?;
            let exponents = slot.kept(part, |plan| Some(plan.forward_scales.exponent))?;
            let exponents = exponents.as_chunks::<4>().0;
            let first = Plan::stage_scale(stages.len() - 1) * plan.geometry.images;
            for image in 0..count {
                let power = 2f64.powi(i32::from_ne_bytes(exponents[first + image]));
                for channel in 0..channels {
                    for position in 0..positions {
                        let at = (image * positions + position) * last.outputs + channel;
                        let value = stored_value(&stored[at * element..][..element], plan.precision);
                        map.push(f64::from(value) * power);
                    }
                }
            }
        }
        Ok(map)
    }

    /// Runs a pass back from targets, of which negative ones are none, and `read`s the results of each image: given are its place in
    /// its part, and what joins it. `destinations` are of passes that leave explanations on the device.
    fn run_backward<T: Send>(
        &self,
        (id, pass, exit): (usize, &DevicePass, Exit),
        targets: &[i32],
        destinations: &[u64],
        read: impl Fn(&PartResults, usize, &Join) -> T + Sync,
    ) -> Result<Vec<T>, DeviceError> {
        let engine = &self.cuda.engine;
        let mut list = Vec::with_capacity(self.images);
        let Some(slot) = &self.slot else { return Ok(list) };
        let mut slot = slot.borrow_mut();
        for (part, &(first, count)) in ranges(self.images, self.part).iter().enumerate() {
            let start = |image: usize| {
                let destination = destinations.get(image).copied().unwrap_or(0);
                self.start(engine, pass, image, (targets[image], destination))
            };
            let starts: Vec<Join> = (first..first + count).map(start).collect();
            let results = slot.backward(engine, part, (id, pass, exit), |upload, plan| {
                fill_request(upload, plan, engine, pass, &starts)
            })?;
            let read = |(image, start)| read(&results, image, start);
            list.extend(engine.threads.install(|| parallel::map(starts.iter().enumerate(), read)));
        }
        Ok(list)
    }

    /// What joins an image's explanation at the end: with the response as start, it is run from one (or from the
    /// response's sign) and multiplied afterwards, since one float16 may not hold it.
    fn start(
        &self,
        engine: &Engine,
        pass: &DevicePass,
        image: usize,
        (target, destination): (i32, u64),
    ) -> Join {
        // What has no target leaves its destination as it is.
        let destination = if target < 0 { 0 } else { destination };
        let without = Join { target, negative: false, factor: 1.0, exponent: 0, destination };
        let Ok(output) = usize::try_from(target) else { return without };
        if engine.chain.classifier.is_none() || pass.start == Start::One {
            return without;
        }
        let response = self.responses[image * self.outputs + output];
        if response == 0.0 || !response.is_finite() {
            return Join { factor: 0.0, ..without };
        }
        let exponent = super::operators::exponent_above(response);
        let factor = scaled(response, -exponent);
        let signed = starts_with_signs(true, pass.gate, pass.start);
        let negative = signed && response < 0.0;
        let factor = if signed { factor.abs() } else { factor };
        Join { negative, factor, exponent, ..without }
    }
}

/// How an image starts, and what its explanation is multiplied with: factor · 2^exponent.
struct Join {
    /// None where it is negative.
    target: i32,
    /// Whether the start is −1.
    negative: bool,
    factor: f32,
    exponent: i32,
    /// Where it goes on the device; 0: nowhere.
    destination: u64,
}

fn fill_request(upload: &mut [u8], plan: &Plan, engine: &Engine, pass: &DevicePass, starts: &[Join]) {
    let request = &plan.request;
    let images = plan.geometry.images;
    let mut targets: Vec<i32> = starts.iter().map(|start| start.target).collect();
    let mut factors: Vec<f32> = starts.iter().map(|start| start.factor).collect();
    let mut joins: Vec<i32> = starts.iter().map(|start| start.exponent).collect();
    let mut destinations: Vec<u64> = starts.iter().map(|start| start.destination).collect();
    targets.resize(images, -1);
    factors.resize(images, 0.0);
    joins.resize(images, 0);
    destinations.resize(images, 0);
    let mut put = |offset: usize, bytes: &[u8]| upload[offset..][..bytes.len()].copy_from_slice(bytes);
    put(request.targets, bytes_of(&targets));
    put(request.factors, bytes_of(&factors));
    put(request.joins, bytes_of(&joins));
    put(request.destinations, bytes_of(&destinations));
    if !starts_with_signs(engine.chain.classifier.is_some(), pass.gate, pass.start) {
        return;
    }
    put(request.signs_largest, bytes_of(&vec![1f32.to_bits(); images]));
    put(request.signs_exponent, bytes_of(&vec![0i32; images]));
    let (outputs, element) = (padded(engine.chain.outputs()), plan.precision.bytes());
    // Kernels read the target's element alone.
    for (image, start) in starts.iter().enumerate() {
        if let Ok(target) = usize::try_from(start.target) {
            let sign = if start.negative { -1.0 } else { 1.0 };
            put(request.signs + (image * outputs + target) * element, &stored_bytes(sign, plan.precision));
        }
    }
}

/// A number as a map holds it.
fn stored_bytes(value: f32, precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => value.to_ne_bytes().to_vec(),
        Precision::F16 | Precision::F8 => half::f16::from_f32(value).to_ne_bytes().to_vec(),
        Precision::Bf16 => half::bf16::from_f32(value).to_ne_bytes().to_vec(),
    }
}

/// A number that a map holds.
fn stored_value(bytes: &[u8], precision: Precision) -> f32 {
    match precision {
        Precision::F32 => bytes.try_into().map_or(f32::NAN, f32::from_ne_bytes),
        Precision::F16 | Precision::F8 => {
            bytes.try_into().map_or(f32::NAN, |bytes| half::f16::from_ne_bytes(bytes).to_f32())
        }
        Precision::Bf16 => {
            bytes.try_into().map_or(f32::NAN, |bytes| half::bf16::from_ne_bytes(bytes).to_f32())
        }
    }
}

/// Stored responses times their power of two.
fn read_responses(results: &PartResults, image: usize, outputs: usize) -> Vec<f32> {
    let power = 2f64.powi(results.exponents()[image]);
    let stored = padded(outputs);
    if results.plan.classifier.is_some() {
        let logits = results.values::<f32>(image, stored);
        logits[..outputs].iter().map(|&logit| (f64::from(logit) * power) as f32).collect()
    } else {
        results.values::<f64>(image, stored)[..outputs].iter().map(|&sum| (sum * power) as f32).collect()
    }
}

/// The parts of a batch.
pub(super) fn ranges(images: usize, part: usize) -> Vec<Range> {
    (0..images).step_by(part.max(1)).map(|first| (first, part.min(images - first))).collect()
}

/// Where a decision lies: see `params.h`.
struct Place {
    word: usize,
    bit: usize,
}

impl Place {
    fn new(position: usize, channel: usize, channels: usize) -> Self {
        let group_size = VGGX_CHANNELS as usize;
        let (group, within) = (channel / group_size, channel % group_size);
        let (j, q, e) = (within / 8, within % 8 / 2, within % 2);
        let groups = padded(channels) / group_size;
        Place { word: (position * groups + group) * 4 + q, bit: 2 * j + e }
    }
}

impl Trace for CudaTrace<'_> {
    fn responses(&self, image: usize) -> &[f32] {
        &self.responses[image * self.outputs..][..self.outputs]
    }

    fn failure(&self, image: usize) -> Option<BackendError> {
        self.failures[image].clone()
    }

    fn backward(&self, pass: PassId, targets: &[usize]) -> Vec<Result<Relevance, BackendError>> {
        self.explain(pass, targets, Detail::Planes)
    }

    fn heat_maps(&self, pass: PassId, targets: &[usize]) -> Vec<Result<Relevance, BackendError>> {
        self.explain(pass, targets, Detail::HeatMap)
    }

    fn backward_into(
        &self,
        pass: PassId,
        targets: &[usize],
        destination: &DeviceDestination,
    ) -> Result<Vec<Result<i32, BackendError>>, BackendError> {
        let device = &self.cuda.engine.device;
        check_stream(device, destination.stream())?;
        destination.check(device, self.images, (self.height, self.width))?;
        if let Some(slot) = &self.slot {
            slot.borrow().follow(destination.stream())?;
        }
        let exit = Exit { detail: destination.detail(), stored: Some(destination.stored()) };
        Ok(self.of_targets(targets, |targets| {
            let prepared = self.cuda.passes.get(pass);
            let pass = (pass.0, &*prepared, exit);
            self.run_backward(pass, targets, destination.addresses(), |results, image, _| {
                results.values::<i32>(image, 1)[0]
            })
        }))
    }
}

impl CudaTrace<'_> {
    fn explain(
        &self,
        pass: PassId,
        targets: &[usize],
        detail: Detail,
    ) -> Vec<Result<Relevance, BackendError>> {
        let values = self.height * self.width * detail.channels();
        self.of_targets(targets, |targets| {
            let prepared = self.cuda.passes.get(pass);
            let pass = (pass.0, &*prepared, Exit::to_host(detail));
            self.run_backward(pass, targets, &[], |results, image, start| Relevance {
                values: results.values::<f32>(image, values).to_vec(),
                scale_log2: results.exponents()[image].saturating_add(start.exponent),
            })
        })
    }

    /// Gives what `run` gives for images that can start, and says of the others why they cannot.
    fn of_targets<T>(
        &self,
        targets: &[usize],
        run: impl FnOnce(&[i32]) -> Result<Vec<T>, DeviceError>,
    ) -> Vec<Result<T, BackendError>> {
        assert_eq!(targets.len(), self.images, "one target an image");
        // An image that cannot start has no target, and the others run.
        let failures: Vec<Option<BackendError>> = targets
            .iter()
            .zip(&self.failures)
            .map(|(&target, failure)| {
                let missing = || BackendError::Target { target, outputs: self.outputs };
                failure.clone().or_else(|| (target >= self.outputs).then(missing))
            })
            .collect();
        let started: Vec<i32> = targets
            .iter()
            .zip(&failures)
            .map(|(&target, failure)| if failure.is_some() { -1 } else { target as i32 })
            .collect();
        match run(&started) {
            Ok(results) => results
                .into_iter()
                .zip(failures)
                .map(|(result, failure)| failure.map_or(Ok(result), Err))
                .collect(),
            Err(error) => failures
                .into_iter()
                .map(|failure| Err(failure.unwrap_or_else(|| error.clone().into())))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_has_its_own_place() {
        let channels = 130;
        let mut seen = std::collections::HashSet::new();
        for position in 0..3 {
            for channel in 0..channels {
                let place = Place::new(position, channel, channels);
                assert!(place.bit < 16 && place.word < 3 * 3 * 4);
                assert!(seen.insert((place.word, place.bit)));
            }
        }
        // Channel 8j + 2q + e of a group: here j = 1, q = 2, e = 1 of the second group.
        let place = Place::new(0, 64 + 13, channels);
        assert_eq!((place.word, place.bit), (4 + 2, 3));
    }

    #[test]
    fn parts_cover_a_batch() {
        assert_eq!(ranges(5, 2), [(0, 2), (2, 2), (4, 1)]);
        assert_eq!(ranges(2, 8), [(0, 2)]);
        assert!(ranges(0, 0).is_empty());
    }
}
