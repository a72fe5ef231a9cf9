//! A finished forward pass on the CPU, and the backward passes that start from it.

use super::convolution::{ScaledMaps, convolve};
use super::dense;
use super::epilogue::{self, Backward, Below};
use super::laps::Laps;
use super::pooling::{average_and_flatten, unflatten_and_spread};
use super::simd::{exponent, is_finite, magnitude_bits, power_of_two};
use super::tiles::{Maps, largest_per_image, tile_rows};
use super::{Cpu, PreparedPass, Stage};
use crate::backend::profile::Part;
use crate::backend::{BackendError, PassId, Relevance, Start, Trace};

/// What a forward pass leaves behind: bits for the gates, and the final map.
pub(super) struct CpuTrace<'a> {
    cpu: &'a Cpu,
    /// The input.
    input: Maps,
    /// Mask bits or pooling codes of each stage.
    pub(super) codes: Vec<Vec<u8>>,
    final_maps: Maps,
    /// The map after the last stage, channels last.
    final_values: Vec<f32>,
    /// Masks of the ReLUs behind the dense layers, \[images, outputs\].
    dense_masks: Vec<Vec<bool>>,
    responses: Vec<f32>,
    outputs: usize,
    /// The layer whose activations were not finite, per image.
    failures: Vec<Option<String>>,
}

impl<'a> CpuTrace<'a> {
    pub(super) fn new(cpu: &'a Cpu, input: Maps) -> Self {
        CpuTrace {
            cpu,
            input,
            codes: Vec::with_capacity(cpu.stages.len()),
            final_maps: input,
            final_values: Vec::new(),
            dense_masks: Vec::new(),
            responses: Vec::new(),
            outputs: 0,
            failures: vec![None; input.images],
        }
    }

    /// Notes the first layer at which an image's activations were not finite.
    pub(super) fn fail(&mut self, image: usize, layer: &str) {
        self.failures[image].get_or_insert_with(|| layer.to_owned());
    }

    /// Runs the classifier, or sums the final map of a headless network.
    pub(super) fn finish(&mut self, maps: Maps, values: &[f32], laps: &mut Laps) {
        self.final_maps = maps;
        self.final_values = values.to_vec();
        let images = maps.images;
        if images == 0 {
            return;
        }
        let Some(classifier) = &self.cpu.classifier else {
            self.outputs = maps.channels;
            self.responses =
                values.chunks_exact(maps.image_len()).flat_map(|map| channel_sums(map, maps)).collect();
            // A sum may overflow where no activation does.
            for image in 0..images {
                let responses = &self.responses[image * self.outputs..][..self.outputs];
                if !responses.iter().all(|response| response.is_finite()) {
                    self.fail(image, &self.cpu.stages[self.cpu.stages.len() - 1].name);
                }
            }
            laps.end(step("responses", values.len() + self.responses.len()));
            return;
        };
        let flat_len = maps.channels * classifier.side * classifier.side;
        let mut x = vec![0.0; images * flat_len];
        for (map, flat) in values.chunks_exact(maps.image_len()).zip(x.chunks_exact_mut(flat_len)) {
            average_and_flatten(map, maps, classifier.side, flat);
        }
        laps.end(step("average pool", values.len() + x.len()));
        for layer in &classifier.layers {
            x = dense::forward(&*self.cpu.forward_source, layer.shape, &layer.bias, &x, images);
            for (image, z) in x.chunks_exact(layer.shape.outputs).enumerate() {
                if !z.iter().all(|z| z.is_finite()) {
                    self.fail(image, &layer.name);
                }
            }
            if layer.relu {
                self.dense_masks.push(x.iter().map(|&z| z > 0.0).collect());
                x.iter_mut().for_each(|z| *z = z.max(0.0));
            }
            self.outputs = layer.shape.outputs;
            laps.end(Part::Layer(layer.shape.layer));
        }
        self.responses = x;
    }

    pub(super) fn run_backward(
        &self,
        prepared: &PreparedPass,
        targets: &[usize],
        laps: &mut Laps,
    ) -> Vec<Result<Relevance, BackendError>> {
        let images = self.input.images;
        if images == 0 {
            return Vec::new();
        }
        let mut signal =
            Signal { exponents: vec![0; images], scales: vec![1.0; images], failures: vec![None; images] };
        let map = match &self.cpu.classifier {
            Some(_) => self.through_classifier(prepared, targets, &mut signal, laps),
            None => self.start_of_map(prepared.pass.start, targets),
        };
        signal.rescale(&largest_of(&map, images), &self.last_stage().name);
        let input = self.through_stages(prepared, &map, &mut signal, laps);
        let plane = self.input.height * self.input.width;
        let results = (0..images)
            .map(|image| {
                if let Some(layer) = &signal.failures[image] {
                    return Err(BackendError::SignalOverflow { layer: layer.clone() });
                }
                let pixels = &input[image * 3 * plane..][..3 * plane];
                let mut values = vec![0.0; 3 * plane];
                for (position, pixel) in pixels.chunks_exact(3).enumerate() {
                    for (channel, &value) in pixel.iter().enumerate() {
                        values[channel * plane + position] = value;
                    }
                }
                Ok(Relevance { values, scale_log2: signal.exponents[image] })
            })
            .collect();
        laps.end(step("output", 2 * input.len()));
        results
    }

    fn last_stage(&self) -> &Stage {
        &self.cpu.stages[self.cpu.stages.len() - 1]
    }

    /// Headless start: the target channel of the final map.
    fn start_of_map(&self, start: Start, targets: &[usize]) -> Vec<f32> {
        let channels = self.final_maps.channels;
        let mut map = vec![0.0; self.final_values.len()];
        for (image, &target) in targets.iter().enumerate() {
            let len = self.final_maps.image_len();
            let (activations, map) =
                (&self.final_values[image * len..][..len], &mut map[image * len..][..len]);
            for (from, to) in activations.chunks_exact(channels).zip(map.chunks_exact_mut(channels)) {
                to[target] = match start {
                    Start::One => 1.0,
                    Start::Response => from[target],
                };
            }
        }
        map
    }

    /// From the target's logit back to the final map.
    fn through_classifier(
        &self,
        prepared: &PreparedPass,
        targets: &[usize],
        signal: &mut Signal,
        laps: &mut Laps,
    ) -> Vec<f32> {
        let images = self.input.images;
        let Some(classifier) = &self.cpu.classifier else { return Vec::new() };
        let mut r = vec![0.0; images * self.outputs];
        for (image, &target) in targets.iter().enumerate() {
            let at = image * self.outputs + target;
            r[at] = match prepared.pass.start {
                Start::One => 1.0,
                Start::Response => self.responses[at],
            };
        }
        let (source, gate) = (&*prepared.pass.operators, prepared.pass.gate);
        laps.end(step("start", r.len()));
        for (index, layer) in classifier.layers.iter().enumerate().rev() {
            signal.rescale_in_place(&mut r, images, &layer.name);
            r = dense::backward(source, layer.shape, &r, images);
            signal.add_gain(source.gain_log2(layer.shape.layer));
            if let Some(mask) = index.checked_sub(1).and_then(|below| self.dense_masks.get(below)) {
                for (r, &active) in r.iter_mut().zip(mask) {
                    let passes = (!gate.by_mask() || active) && epilogue::passes_sign(*r, gate.by_sign());
                    *r = if passes { *r } else { 0.0 };
                }
            }
            laps.end(Part::Layer(layer.shape.layer));
        }
        signal.rescale_in_place(&mut r, images, &classifier.layers[0].name);
        let flat_len = r.len() / images;
        let mut map = vec![0.0; self.final_values.len()];
        for (flat, map) in r.chunks_exact(flat_len).zip(map.chunks_exact_mut(self.final_maps.image_len())) {
            unflatten_and_spread(flat, self.final_maps, classifier.side, map);
        }
        laps.end(step("average pool", r.len() + map.len()));
        map
    }

    /// From the final map through all stages to the input, channels last.
    fn through_stages(
        &self,
        prepared: &PreparedPass,
        map: &[f32],
        signal: &mut Signal,
        laps: &mut Laps,
    ) -> Vec<f32> {
        let (stages, workspace) = (&self.cpu.stages, &self.cpu.workspace);
        let gate = prepared.pass.gate;
        // Input maps of every stage.
        let mut inputs = vec![self.input];
        for stage in stages {
            let output = inputs[inputs.len() - 1].with_channels(stage.outputs);
            inputs.push(if stage.pool { output.pooled() } else { output });
        }
        let below = |index: Option<usize>| match index {
            None => Below::Image,
            Some(index) if stages[index].pool => Below::Pool {
                codes: &self.codes[index],
                unpooled: inputs[index].with_channels(stages[index].outputs),
            },
            Some(index) => Below::Rectifier { mask: &self.codes[index] },
        };
        let last = stages.len() - 1;
        let entry = Backward { maps: self.final_maps, below: below(Some(last)), gate };
        let mut maps = entry.stored();
        let mut values = workspace.take(maps.len());
        let mut rows = tile_rows(self.final_maps, &entry, &mut values, &mut []);
        epilogue::apply(&entry, self.final_maps, map, &mut rows);
        drop(rows);
        laps.end(step(
            if self.cpu.classifier.is_some() { "unpool" } else { "start" },
            map.len() + values.len(),
        ));
        for (index, stage) in stages.iter().enumerate().rev() {
            let epilogue = Backward { maps: inputs[index], below: below(index.checked_sub(1)), gate };
            let stored = epilogue.stored();
            let mut result = workspace.take(stored.len());
            let mut rows = tile_rows(inputs[index], &epilogue, &mut result, &mut []);
            let operator = &prepared.operators[index];
            let input = ScaledMaps { values: &values, maps, scales: &signal.scales };
            convolve(operator, input, &epilogue, &mut rows, workspace);
            let largest = largest_per_image(maps.images, &rows);
            drop(rows);
            signal.add_gain(operator.gain_log2);
            signal.rescale(&largest, &stage.name);
            (values, maps) = (result, stored);
            laps.end(Part::Layer(stage.layer));
        }
        // The last factors found no reader: multiplied in here, exactly.
        let mut values = values.to_vec();
        for (values, &scale) in values.chunks_exact_mut(maps.image_len()).zip(&signal.scales) {
            values.iter_mut().for_each(|value| *value *= scale);
        }
        values
    }
}

impl Trace for CpuTrace<'_> {
    fn responses(&self, image: usize) -> &[f32] {
        &self.responses[image * self.outputs..][..self.outputs]
    }

    fn failure(&self, image: usize) -> Option<BackendError> {
        self.failures[image].clone().map(|layer| BackendError::ActivationOverflow { layer })
    }

    fn backward(&self, pass: PassId, targets: &[usize]) -> Vec<Result<Relevance, BackendError>> {
        assert_eq!(targets.len(), self.input.images, "one target an image");
        // A target that does not exist fails its own image; another takes its place so that the batch can run.
        let valid: Vec<usize> =
            targets.iter().map(|&target| if target < self.outputs { target } else { 0 }).collect();
        let prepared = self.cpu.passes.get(pass);
        let mut results = self.cpu.threads.install(|| self.run_backward(&prepared, &valid, &mut Laps::off()));
        for (image, &target) in targets.iter().enumerate() {
            if let Some(failure) = self.failure(image) {
                results[image] = Err(failure);
            } else if target >= self.outputs {
                results[image] = Err(BackendError::Target { target, outputs: self.outputs });
            }
        }
        results
    }
}

/// The powers of two that keep every image's signal near one: PatternNet gains ten- to fortyfold a layer.
struct Signal {
    /// The true signal is the stored one, times the pending factor, times 2^exponent.
    exponents: Vec<i32>,
    /// Pending factors, applied exactly when the signal is read next.
    scales: Vec<f32>,
    /// The layer below which an image's signal was not finite.
    failures: Vec<Option<String>>,
}

impl Signal {
    fn add_gain(&mut self, gain_log2: i32) {
        self.exponents.iter_mut().for_each(|exponent| *exponent += gain_log2);
    }

    /// Chooses the factors that bring each image's largest magnitude into [1/2, 1).
    fn rescale(&mut self, largest: &[u32], layer: &str) {
        for (image, &largest) in largest.iter().enumerate() {
            if !is_finite(largest) {
                self.failures[image].get_or_insert_with(|| layer.to_owned());
            }
            let shift = if largest == 0 { 0 } else { (exponent(largest) + 1).clamp(-126, 126) };
            self.scales[image] = power_of_two(-shift);
            self.exponents[image] += shift;
        }
    }

    /// As [`Signal::rescale`], applied at once to a small vector an image.
    fn rescale_in_place(&mut self, r: &mut [f32], images: usize, layer: &str) {
        self.rescale(&largest_of(r, images), layer);
        let len = r.len() / images;
        for (r, scale) in r.chunks_exact_mut(len).zip(&mut self.scales) {
            r.iter_mut().for_each(|r| *r *= *scale);
            *scale = 1.0;
        }
    }
}

/// Work between the layers that reads and writes so many float32 values.
fn step(name: &'static str, values: usize) -> Part {
    Part::Step { name, bytes: (values * size_of::<f32>()) as u64 }
}

/// Largest magnitude of each image.
fn largest_of(values: &[f32], images: usize) -> Vec<u32> {
    let len = values.len() / images;
    values
        .chunks_exact(len)
        .map(|values| values.iter().fold(0, |largest, &r| largest.max(magnitude_bits(r))))
        .collect()
}

/// Sum of each channel's map, in float64.
fn channel_sums(map: &[f32], maps: Maps) -> Vec<f32> {
    let mut sums = vec![0f64; maps.channels];
    for position in map.chunks_exact(maps.channels) {
        for (sum, &value) in sums.iter_mut().zip(position) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
