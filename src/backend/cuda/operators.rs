//! Operators and biases on the device: uploaded as the files have them, then laid out by kernels.

use super::device::{Device, DeviceError, DeviceMemory, Event, LaunchSize, PinnedMemory, Stream};
use super::float8;
use super::options::Precision;
use super::params::{
    VGGX_BF16, VGGX_F16, VGGX_F32, VGGX_IMAGE_DEPTH, VGGX_LAYOUT_BACKWARD, VGGX_LAYOUT_FORWARD,
    VGGX_LAYOUT_IMAGE_BACKWARD, VGGX_LAYOUT_IMAGE_FORWARD, VGGX_OPERATOR_LOG2, VggxOperatorBound,
    VggxPrepareOperator,
};
use super::plan::{padded, per_value};
use crate::backend::chain::Chain;
use crate::backend::{BackendError, Factor, FactorType, Factors, OperatorSource};
use crate::parallel;
use crate::threads::Threads;
use std::sync::Arc;

/// Float8 as operators are laid out in it: their largest magnitude lies in [2⁷, 2⁸), where 448 is the largest number.
const FLOAT8: (&str, usize, i32) = ("f8", 1, 8);

/// Whether signals may reach an operator in float8: on the way back, with channels that fill rows of boxes.
fn float8_layer(direction: Direction, shape: &LayerShape) -> bool {
    direction == Direction::Backward
        && shape.taps == 9
        && !shape.is_image
        && float8::fills_rows(shape.outputs)
}

/// Bytes that are staged at a time.
const PIECE: usize = 8 << 20;

/// An operator in the layout of its kernel.
pub(super) struct PreparedOperator {
    memory: DeviceMemory,
    /// At least the largest sum of |stored| over a row.
    pub bound: f32,
    /// true operator = stored · 2^gain
    pub gain: i32,
    /// The same in float8, where signals may reach it in that.
    pub float8: Option<Box<PreparedOperator>>,
}

impl PreparedOperator {
    pub fn address(&self) -> u64 {
        self.memory.address()
    }
}

/// A bias with its padding.
pub(super) struct PreparedBias {
    memory: DeviceMemory,
    /// The largest magnitude.
    pub bound: f32,
}

impl PreparedBias {
    pub fn address(&self) -> u64 {
        self.memory.address()
    }
}

/// Which way an operator is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// A parametric layer as operators see it.
#[derive(Clone)]
pub(super) struct LayerShape {
    /// Number among the parametric layers.
    pub layer: usize,
    pub name: String,
    pub outputs: usize,
    pub inputs: usize,
    /// 9, or 1 for a dense layer.
    pub taps: usize,
    /// Positions that the inputs of the first dense layer were flattened from, else 1.
    pub flatten: usize,
    /// Whether it is the first layer.
    is_image: bool,
}

impl LayerShape {
    /// All parametric layers of a network.
    pub fn all(chain: &Chain) -> Vec<LayerShape> {
        let mut shapes: Vec<LayerShape> = chain
            .stages
            .iter()
            .map(|stage| LayerShape {
                layer: stage.layer,
                name: stage.name.clone(),
                outputs: stage.outputs,
                inputs: stage.inputs,
                taps: 9,
                flatten: 1,
                is_image: stage.layer == 0,
            })
            .collect();
        if let Some(classifier) = &chain.classifier {
            shapes.extend(classifier.layers.iter().enumerate().map(|(index, layer)| LayerShape {
                layer: layer.layer,
                name: layer.name.clone(),
                outputs: layer.outputs,
                inputs: layer.inputs,
                taps: 1,
                flatten: if index == 0 { classifier.side * classifier.side } else { 1 },
                is_image: false,
            }));
        }
        shapes
    }

    /// Whether it is the first layer.
    pub fn is_image(&self) -> bool {
        self.is_image
    }

    fn elements(&self) -> usize {
        self.outputs * self.inputs * self.taps
    }

    fn padded_inputs(&self) -> usize {
        self.flatten * padded(self.inputs / self.flatten)
    }

    /// The layout, and the rows and depth of it.
    fn layout(&self, direction: Direction) -> (i32, usize, usize) {
        let (inputs, outputs) = (self.padded_inputs(), padded(self.outputs));
        match (direction, self.is_image) {
            (Direction::Forward, false) => (VGGX_LAYOUT_FORWARD, outputs, self.taps * inputs),
            (Direction::Backward, false) => (VGGX_LAYOUT_BACKWARD, inputs, self.taps * outputs),
            (Direction::Forward, true) => (VGGX_LAYOUT_IMAGE_FORWARD, outputs, VGGX_IMAGE_DEPTH as usize),
            (Direction::Backward, true) => (VGGX_LAYOUT_IMAGE_BACKWARD, 4, self.taps * outputs),
        }
    }
}

/// Prepares operators one after another.
pub(super) struct Preparation {
    device: Device,
    /// Read sources.
    threads: Arc<Threads>,
    stream: Stream,
    precision: Precision,
    /// While one is filled, the other is copied.
    staging: [(PinnedMemory, Event); 2],
    next: usize,
    /// One 32-bit number that a kernel leaves.
    scalar: DeviceMemory,
}

/// A source tensor on the device.
struct Uploaded {
    memory: DeviceMemory,
    element: i32,
}

impl Preparation {
    pub fn new(device: &Device, precision: Precision, threads: Arc<Threads>) -> Result<Self, DeviceError> {
        let staging = || Ok::<_, DeviceError>((device.allocate_pinned(PIECE)?, device.event()?));
        Ok(Preparation {
            device: device.clone(),
            threads,
            stream: device.stream()?,
            precision,
            staging: [staging()?, staging()?],
            next: 0,
            scalar: device.allocate(size_of::<u32>())?,
        })
    }

    /// Uploads and lays out one layer's operator.
    pub fn operator(
        &mut self,
        source: &dyn OperatorSource,
        shape: &LayerShape,
        direction: Direction,
    ) -> Result<PreparedOperator, BackendError> {
        let (layout, rows, depth) = shape.layout(direction);
        let factors = source.factors(shape.layer);
        let (first, second, scales) = match &factors {
            Some(Factors { first, second, neuron_scales }) => {
                let second = second.as_ref().map(|factor| self.upload_factor(factor)).transpose()?;
                let scales = neuron_scales.map(|scales| self.upload_scales(scales)).transpose()?;
                (self.upload_factor(first)?, second, scales)
            }
            None => (self.upload_rows(source, shape)?, None, None),
        };
        let parameters = VggxPrepareOperator {
            first: first.memory.address(),
            second: second.as_ref().map_or(0, |second| second.memory.address()),
            neuron_scales: scales.as_ref().map_or(0, DeviceMemory::address),
            destination: self.scalar.address(),
            first_type: first.element,
            second_type: second.as_ref().map_or(VGGX_F32, |second| second.element),
            layout,
            shift: 0,
            outputs: shape.outputs as i32,
            inputs: shape.inputs as i32,
            taps: shape.taps as i32,
            flatten: shape.flatten as i32,
        };
        let largest =
            self.scalar_of("operator_largest", per_value(shape.elements(), 1024, 256), &parameters, shape)?;
        if !largest.is_finite() {
            return Err(BackendError::SignalOverflow { layer: shape.name.clone() });
        }
        // Rows that are read come with a gain of their own; factors are the operator itself.
        let gain = if factors.is_some() { 0 } else { source.gain_log2(shape.layer) };
        let element =
            if layout == VGGX_LAYOUT_IMAGE_BACKWARD { size_of::<f32>() } else { self.precision.bytes() };
        let own = (self.precision.suffix(), element, VGGX_OPERATOR_LOG2);
        let mut operator = self.stored(own, &parameters, (rows, depth), (largest, gain), shape)?;
        if self.precision == Precision::F8 && float8_layer(direction, shape) {
            let float8 = self.stored(FLOAT8, &parameters, (rows, depth), (largest, gain), shape)?;
            operator.float8 = Some(Box::new(float8));
        }
        Ok(operator)
    }

    /// Lays an operator out in a type: what its kernels' names end with, its bytes, and the power of two that the largest magnitude
    /// is to be below.
    fn stored(
        &self,
        (suffix, element, log2): (&str, usize, i32),
        uploaded: &VggxPrepareOperator,
        (rows, depth): (usize, usize),
        (largest, gain): (f32, i32),
        shape: &LayerShape,
    ) -> Result<PreparedOperator, BackendError> {
        let layout = uploaded.layout;
        let memory = self.device.allocate(rows * depth * element)?;
        let parameters = VggxPrepareOperator {
            destination: memory.address(),
            shift: if largest > 0.0 { log2 - exponent_above(largest) } else { 0 },
            ..*uploaded
        };
        self.run(
            &format!("prepare_operator_{suffix}"),
            per_value(rows * depth, 256, 256),
            &parameters,
            shape,
        )?;
        let bound = VggxOperatorBound {
            operator_: memory.address(),
            bound: self.scalar.address(),
            rows: rows as i32,
            depth: depth as i32,
        };
        let (kernel, size) = if layout == VGGX_LAYOUT_IMAGE_BACKWARD {
            ("operator_bound_image".to_owned(), LaunchSize { grid: [3, 1, 1], threads: 32, shared: 0 })
        } else {
            (format!("operator_bound_{suffix}"), per_value(rows, 8, 256))
        };
        let bound = self.scalar_of(&kernel, size, &bound, shape)?;
        Ok(PreparedOperator { memory, bound, gain: gain - parameters.shift, float8: None })
    }

    /// Uploads a bias, padded with zeros.
    pub fn bias(&mut self, bias: &[f32]) -> Result<PreparedBias, DeviceError> {
        let mut values = bias.to_vec();
        values.resize(padded(bias.len()), 0.0);
        let memory = self.upload(&values)?;
        let bound = bias.iter().fold(0f32, |bound, value| bound.max(value.abs()));
        Ok(PreparedBias { memory, bound })
    }

    /// Uploads a few numbers.
    pub fn upload<T: super::device::Plain>(&mut self, values: &[T]) -> Result<DeviceMemory, DeviceError> {
        let memory = self.device.allocate(size_of_val(values))?;
        self.stream.upload(&memory, 0, values)?;
        Ok(memory)
    }

    fn upload_scales(&mut self, scales: &[f64]) -> Result<DeviceMemory, DeviceError> {
        self.upload(scales)
    }

    fn upload_factor(&mut self, factor: &Factor) -> Result<Uploaded, DeviceError> {
        let element = match factor.element {
            FactorType::F32 => VGGX_F32,
            FactorType::F16 => VGGX_F16,
            FactorType::Bf16 => VGGX_BF16,
        };
        let memory = self.upload_pieces(factor.bytes.len(), |start, piece| {
            // Pages of the file are read by several threads.
            const PAGES: usize = 1 << 20;
            let source = &factor.bytes[start..][..piece.len()];
            parallel::each(piece.chunks_mut(PAGES).zip(source.chunks(PAGES)), |(to, from)| {
                to.copy_from_slice(from);
            });
        })?;
        Ok(Uploaded { memory, element })
    }

    /// Uploads an operator that only exists as rows.
    fn upload_rows(
        &mut self,
        source: &dyn OperatorSource,
        shape: &LayerShape,
    ) -> Result<Uploaded, DeviceError> {
        let fan_in = shape.inputs * shape.taps;
        let memory = self.upload_pieces(shape.elements() * size_of::<f32>(), |start, piece| {
            let first = start / size_of::<f32>();
            let (mut rest, mut at) = (piece.as_chunks_mut::<4>().0, first);
            let mut spans = Vec::new();
            while !rest.is_empty() {
                let (neuron, offset) = (at / fan_in, at % fan_in);
                let (span, behind) = rest.split_at_mut((fan_in - offset).min(rest.len()));
                at += span.len();
                rest = behind;
                spans.push((neuron, offset, span));
            }
            parallel::each(spans, |(neuron, offset, span)| {
                let mut row = vec![0f32; span.len()];
                source.read(shape.layer, neuron, offset, &mut row);
                for (to, value) in span.iter_mut().zip(row) {
                    *to = value.to_ne_bytes();
                }
            });
        })?;
        Ok(Uploaded { memory, element: VGGX_F32 })
    }

    /// Uploads bytes that `fill` writes piece by piece, given where a piece starts.
    fn upload_pieces(
        &mut self,
        bytes: usize,
        fill: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<DeviceMemory, DeviceError> {
        let memory = self.device.allocate(bytes)?;
        let mut start = 0;
        while start < bytes {
            let len = PIECE.min(bytes - start);
            let (staging, copied) = &mut self.staging[self.next];
            self.next = 1 - self.next;
            // An event that was never recorded is reached.
            copied.synchronise()?;
            let piece = staging.slice_mut(0, len);
            self.threads.install(|| fill(start, piece));
            // SAFETY: within the memory; the staging memory is not touched until the event is reached.
            unsafe { self.stream.start_upload(memory.address() + start as u64, staging.slice(0, len)) }?;
            copied.record(&self.stream)?;
            start += len;
        }
        Ok(memory)
    }

    fn run<P: Copy>(
        &self,
        kernel: &str,
        size: LaunchSize,
        parameters: &P,
        shape: &LayerShape,
    ) -> Result<(), DeviceError> {
        let kernel = self.device.kernel(kernel)?;
        // SAFETY: the parameters are the kernel's, their memory is as large as the shape says, and stays until the wait.
        unsafe { self.stream.launch(&kernel, size, parameters) }
            .and_then(|()| self.stream.synchronise())
            .map_err(|error| {
                let LayerShape { name, outputs, inputs, taps, .. } = shape;
                error
                    .in_kernel(kernel.name(), || format!("operator of {name}, {outputs} × {inputs} × {taps}"))
            })
    }

    /// Runs a kernel that raises the scalar from zero, and reads it.
    fn scalar_of<P: Copy>(
        &self,
        kernel: &str,
        size: LaunchSize,
        parameters: &P,
        shape: &LayerShape,
    ) -> Result<f32, DeviceError> {
        self.stream.fill(&self.scalar, 0)?;
        self.run(kernel, size, parameters, shape)?;
        let mut bits = [0u32];
        self.stream.download(&mut bits, &self.scalar, 0)?;
        Ok(f32::from_bits(bits[0]))
    }
}

/// The smallest e with |value| < 2^e, for a finite value that is not zero.
pub(super) fn exponent_above(value: f32) -> i32 {
    // Exact: a float64 has every float32 as a normal number.
    let bits = f64::from(value).to_bits();
    (bits >> 52 & 0x7ff) as i32 - 1022
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_bound_magnitudes_tightly() {
        for value in [1.0, 0.75, 2.0, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), -3.0] {
            let bound = 2f64.powi(exponent_above(value));
            let magnitude = f64::from(value).abs();
            assert!(magnitude < bound && magnitude >= bound / 2.0, "{value}");
        }
    }

    #[test]
    fn layouts_hold_padded_channels() {
        let shape = |outputs, inputs, taps, flatten, is_image| LayerShape {
            layer: 0,
            name: "layer".to_owned(),
            outputs,
            inputs,
            taps,
            flatten,
            is_image,
        };
        let convolution = shape(70, 3, 9, 1, true);
        assert_eq!(convolution.layout(Direction::Forward), (VGGX_LAYOUT_IMAGE_FORWARD, 128, 32));
        assert_eq!(convolution.layout(Direction::Backward), (VGGX_LAYOUT_IMAGE_BACKWARD, 4, 9 * 128));
        let convolution = shape(70, 10, 9, 1, false);
        assert_eq!(convolution.layout(Direction::Forward), (VGGX_LAYOUT_FORWARD, 128, 9 * 64));
        assert_eq!(convolution.layout(Direction::Backward), (VGGX_LAYOUT_BACKWARD, 64, 9 * 128));
        // 2 × 2 positions of 70 channels.
        let dense = shape(5, 280, 1, 4, false);
        assert_eq!(dense.layout(Direction::Forward), (VGGX_LAYOUT_FORWARD, 64, 4 * 128));
        assert_eq!(dense.layout(Direction::Backward), (VGGX_LAYOUT_BACKWARD, 4 * 128, 64));
    }
}
