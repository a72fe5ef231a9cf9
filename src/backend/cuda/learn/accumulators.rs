//! All layers' moments on the device, in float64, laid out as the kernels add to them.

use super::super::arena::Arena;
use super::super::device::{Device, DeviceError, PinnedMemory, Stream, bytes_of_mut};
use super::super::operators::LayerShape;
use super::super::params::VGGX_IMAGE_DEPTH;
use super::super::plan::padded;
use super::super::slot::Engine;
use super::second_sums::SecondLayout;
use crate::backend::{BackendError, LayerMoments, Moments, SecondMoments};
use crate::parallel;
use crate::threads::Threads;
use std::sync::Arc;

/// Bytes that go over the bus at a time, unless a single row is longer.
const PIECE: usize = 32 << 20;

/// Where the sums of a layer lie.
pub(super) struct LayerAddresses {
    /// Σx, double \[taps · channels\].
    pub inputs: u64,
    /// Count, Σy and Σy² of the positive regime, Σy and Σy² of the negative one: double \[outputs\].
    pub responses: [u64; 5],
    /// Σ₊x, Σ₊xy and Σ₋xy: double \[fan-in, outputs\].
    pub products: [u64; 3],
    /// Σxxᵀ, as [`SecondLayout`] says; of no bytes where it is not summed.
    pub second: u64,
}

/// How a layer's sums lie on the device: rows of the fan-in, tap after tap, and neurons innermost, both padded.
struct Layout {
    outputs: usize,
    padded_outputs: usize,
    /// Where each row of the device is in a neuron's weights in the file; none where it is padding.
    rows: Vec<Option<usize>>,
    /// Rows that have a Σx; the first layer's products have some more.
    input_rows: usize,
    /// Where Σxxᵀ is summed.
    second: Option<SecondLayout>,
}

impl Layout {
    /// With `second`, Σxxᵀ is summed too.
    fn new(shape: &LayerShape, second: bool) -> Self {
        let second = second.then(|| SecondLayout::new(shape));
        let &LayerShape { outputs, inputs, taps, flatten, .. } = shape;
        let rows: Vec<Option<usize>> = if shape.is_image() {
            let depths = 0..VGGX_IMAGE_DEPTH as usize;
            depths
                .map(|depth| (depth < inputs * taps).then(|| depth % inputs * taps + depth / inputs))
                .collect()
        } else {
            let channels = inputs / flatten;
            let padded_inputs = flatten * padded(channels);
            let row = |at: usize| {
                let (tap, input) = (at / padded_inputs, at % padded_inputs);
                let (position, channel) = (input / padded(channels), input % padded(channels));
                (channel < channels).then(|| (channel * flatten + position) * taps + tap)
            };
            (0..taps * padded_inputs).map(row).collect()
        };
        let input_rows = if shape.is_image() { inputs * taps } else { rows.len() };
        Layout { outputs, padded_outputs: padded(outputs), rows, input_rows, second }
    }

    /// Bytes of Σx, of five sums of neurons, of three of products, and of Σxxᵀ.
    fn sizes(&self) -> [usize; 10] {
        let sizes = |values: usize| values * size_of::<f64>();
        let (neurons, products) = (sizes(self.padded_outputs), sizes(self.rows.len() * self.padded_outputs));
        let inputs = sizes(self.input_rows);
        let second = self.second.map_or(0, |second| sizes(second.len()));
        [inputs, neurons, neurons, neurons, neurons, neurons, products, products, products, second]
    }
}

/// The sums of a network.
pub(super) struct Accumulators {
    threads: Arc<Threads>,
    stream: Stream,
    layouts: Vec<Layout>,
    addresses: Vec<LayerAddresses>,
    staging: PinnedMemory,
    _memory: Arena,
}

/// Which shape a sum has on the device.
#[derive(Clone, Copy)]
enum Side {
    Inputs,
    Neurons,
    Products,
}

impl Accumulators {
    /// Bytes of device memory.
    pub fn bytes(engine: &Engine, second: bool) -> u64 {
        let layouts = LayerShape::all(&engine.chain);
        layouts.iter().flat_map(|shape| Layout::new(shape, second).sizes()).map(|bytes| bytes as u64).sum()
    }

    /// Makes room for the sums and brings `moments` there.
    pub fn new(engine: &Engine, moments: &Moments) -> Result<Self, BackendError> {
        let device = &engine.device;
        let second = moments.has_second();
        let needed = Self::bytes(engine, second);
        let too_large = |device: &Device| BackendError::MomentMemory {
            needed: needed >> 20,
            available: device.free_memory().unwrap_or(0) >> 20,
            hint: "; with --device cpu they are summed in this machine's memory",
        };
        if needed > device.free_memory()? {
            return Err(too_large(device));
        }
        let layouts: Vec<Layout> =
            LayerShape::all(&engine.chain).iter().map(|shape| Layout::new(shape, second)).collect();
        let sizes: Vec<usize> = layouts.iter().flat_map(Layout::sizes).collect();
        let mut memory = Arena::new(device.clone(), engine.separate);
        let places = memory
            .reserve(&sizes)
            .map_err(|error| if error.is_out_of_memory() { too_large(device) } else { error.into() })?;
        let addresses = places
            .as_chunks::<10>()
            .0
            .iter()
            .map(|&[inputs, a, b, c, d, e, x, y, z, second]| LayerAddresses {
                inputs,
                responses: [a, b, c, d, e],
                products: [x, y, z],
                second,
            })
            .collect();
        // A row of a product at least.
        let longest = layouts.iter().map(|layout| {
            let of_second = layout.second.map_or(0, |second| second.channels());
            layout.padded_outputs.max(of_second) * size_of::<f64>()
        });
        let staging = device.allocate_pinned(PIECE.max(longest.max().unwrap_or(0)))?;
        let stream = device.stream()?;
        let threads = engine.threads.clone();
        let mut sums = Accumulators { threads, stream, layouts, addresses, staging, _memory: memory };
        sums.upload(moments)?;
        Ok(sums)
    }

    pub fn addresses(&self) -> &[LayerAddresses] {
        &self.addresses
    }

    fn upload(&mut self, moments: &Moments) -> Result<(), DeviceError> {
        for (layer, moments) in moments.layers.iter().enumerate() {
            for ((address, side), values) in self.sums(layer).into_iter().zip(values(moments)) {
                let (rows, width) = self.extents(layer, side);
                if values.iter().all(|&value| value == 0.0) {
                    // SAFETY: a sum of this layer, which is as large.
                    unsafe { self.stream.start_fill(address, 0, rows * width * size_of::<f64>()) }?;
                    continue;
                }
                for (first, count) in pieces(rows, width) {
                    let (layout, staging) = (&self.layouts[layer], &mut self.staging);
                    let piece = staging.slice_mut::<f64>(0, count * width);
                    self.threads.install(|| gather(layout, side, values, first, piece));
                    let bytes = count * width * size_of::<f64>();
                    let to = address + (first * width * size_of::<f64>()) as u64;
                    // SAFETY: within the sum, and waited for before the staging memory is filled again.
                    unsafe { self.stream.start_upload(to, staging.slice(0, bytes)) }?;
                    self.stream.synchronise()?;
                }
            }
            self.upload_second(layer, moments)?;
        }
        self.stream.synchronise()
    }

    /// Σxxᵀ of a layer, where it is summed.
    fn upload_second(&mut self, layer: usize, moments: &LayerMoments) -> Result<(), DeviceError> {
        let (Some(layout), Some(second)) = (&self.layouts[layer].second, &moments.second) else {
            return Ok(());
        };
        let address = self.addresses[layer].second;
        let is_zero = match second {
            SecondMoments::Dense(triangle) => triangle.iter().all(|&sum| sum == 0.0),
            // Where the squares over the map are zero, all is.
            SecondMoments::Convolution(lags) => lags.map.iter().all(|&sum| sum == 0.0),
        };
        if is_zero {
            // SAFETY: the layer's sums, which are as large.
            return unsafe { self.stream.start_fill(address, 0, layout.len() * size_of::<f64>()) };
        }
        for rows in layout.pieces(PIECE / size_of::<f64>()) {
            let (start, end) = (layout.row_start(rows.start), layout.row_start(rows.end));
            layout.gather(second, rows, self.staging.slice_mut(0, end - start));
            let to = address + (start * size_of::<f64>()) as u64;
            let bytes = (end - start) * size_of::<f64>();
            // SAFETY: within the layer's sums, and waited for before the staging memory is filled again.
            unsafe { self.stream.start_upload(to, self.staging.slice(0, bytes)) }?;
            self.stream.synchronise()?;
        }
        Ok(())
    }

    /// Writes all sums but the numbers of positions into `moments`. Everything that adds to them is done.
    pub fn download(&mut self, moments: &mut Moments) -> Result<(), DeviceError> {
        for (layer, moments) in moments.layers.iter_mut().enumerate() {
            let sums = self.sums(layer);
            for ((address, side), values) in sums.into_iter().zip(values_mut(moments)) {
                let (rows, width) = self.extents(layer, side);
                for (first, count) in pieces(rows, width) {
                    let piece = self.staging.slice_mut::<f64>(0, count * width);
                    let from = address + (first * width * size_of::<f64>()) as u64;
                    // SAFETY: within the sum, and waited for.
                    unsafe { self.stream.start_download(bytes_of_mut(piece), from) }?;
                    self.stream.synchronise()?;
                    let layout = &self.layouts[layer];
                    self.threads.install(|| scatter(layout, side, piece, first, values));
                }
            }
            let (Some(layout), Some(second)) = (&self.layouts[layer].second, &mut moments.second) else {
                continue;
            };
            for rows in layout.pieces(PIECE / size_of::<f64>()) {
                let (start, end) = (layout.row_start(rows.start), layout.row_start(rows.end));
                let piece = self.staging.slice_mut::<f64>(0, end - start);
                let from = self.addresses[layer].second + (start * size_of::<f64>()) as u64;
                // SAFETY: within the layer's sums, and waited for.
                unsafe { self.stream.start_download(bytes_of_mut(piece), from) }?;
                self.stream.synchronise()?;
                layout.scatter(piece, rows, second);
            }
        }
        Ok(())
    }

    /// The sums of a layer, in the order of [`values`].
    fn sums(&self, layer: usize) -> [(u64, Side); 9] {
        let LayerAddresses { inputs, responses: [a, b, c, d, e], products: [x, y, z], .. } =
            self.addresses[layer];
        let (neurons, products) = (Side::Neurons, Side::Products);
        [
            (inputs, Side::Inputs),
            (a, neurons),
            (b, neurons),
            (c, neurons),
            (d, neurons),
            (e, neurons),
            (x, products),
            (y, products),
            (z, products),
        ]
    }

    /// Rows and numbers of each.
    fn extents(&self, layer: usize, side: Side) -> (usize, usize) {
        let layout = &self.layouts[layer];
        match side {
            Side::Inputs => (layout.input_rows, 1),
            Side::Neurons => (1, layout.padded_outputs),
            Side::Products => (layout.rows.len(), layout.padded_outputs),
        }
    }
}

fn values(moments: &LayerMoments) -> [&[f64]; 9] {
    [
        &moments.x,
        &moments.positive_count,
        &moments.positive_y,
        &moments.positive_yy,
        &moments.negative_y,
        &moments.negative_yy,
        &moments.positive_x,
        &moments.positive_xy,
        &moments.negative_xy,
    ]
}

fn values_mut(moments: &mut LayerMoments) -> [&mut [f64]; 9] {
    [
        &mut moments.x,
        &mut moments.positive_count,
        &mut moments.positive_y,
        &mut moments.positive_yy,
        &mut moments.negative_y,
        &mut moments.negative_yy,
        &mut moments.positive_x,
        &mut moments.positive_xy,
        &mut moments.negative_xy,
    ]
}

/// First row and number of rows of the pieces of `rows` rows of `width` numbers.
fn pieces(rows: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = (PIECE / (width * size_of::<f64>()).max(1)).max(1);
    (0..rows).step_by(most).map(move |first| (first, most.min(rows - first)))
}

/// Fills a piece that begins at row `first` of a sum on the device; padding with zeros.
fn gather(layout: &Layout, side: Side, values: &[f64], first: usize, piece: &mut [f64]) {
    match side {
        Side::Neurons => {
            piece.fill(0.0);
            piece[..values.len()].copy_from_slice(values);
        }
        Side::Inputs => {
            for (to, row) in piece.iter_mut().zip(&layout.rows[first..]) {
                *to = row.map_or(0.0, |row| values[row]);
            }
        }
        Side::Products => {
            let fan_in = values.len() / layout.outputs;
            let rows = piece.chunks_exact_mut(layout.padded_outputs).zip(&layout.rows[first..]);
            parallel::each(rows, |(to, row)| {
                to.fill(0.0);
                if let Some(row) = row {
                    for (to, neuron) in to.iter_mut().zip(values.chunks_exact(fan_in)) {
                        *to = neuron[*row];
                    }
                }
            });
        }
    }
}

/// The other way round.
fn scatter(layout: &Layout, side: Side, piece: &[f64], first: usize, values: &mut [f64]) {
    match side {
        Side::Neurons => values.copy_from_slice(&piece[..values.len()]),
        Side::Inputs => {
            for (&from, row) in piece.iter().zip(&layout.rows[first..]) {
                if let Some(row) = row {
                    values[*row] = from;
                }
            }
        }
        Side::Products => {
            let fan_in = values.len() / layout.outputs;
            parallel::each(values.chunks_exact_mut(fan_in).enumerate(), |(output, neuron)| {
                let rows = piece.chunks_exact(layout.padded_outputs).zip(&layout.rows[first..]);
                for (from, row) in rows {
                    if let Some(row) = row {
                        neuron[*row] = from[output];
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::chain::{Chain, Classifier, ConvolutionStage, DenseStage};

    /// An image's convolution, another one, and a dense layer behind a grid of 2 × 2.
    fn layouts() -> Vec<Layout> {
        let stage = |layer, inputs, outputs| ConvolutionStage {
            layer,
            name: String::new(),
            inputs,
            outputs,
            pool: false,
        };
        let dense = DenseStage { layer: 2, name: String::new(), inputs: 280, outputs: 5, relu: false };
        let chain = Chain {
            stages: vec![stage(0, 3, 70), stage(1, 70, 70)],
            classifier: Some(Classifier { side: 2, layers: vec![dense] }),
        };
        LayerShape::all(&chain).iter().map(|shape| Layout::new(shape, false)).collect()
    }

    #[test]
    fn rows_are_where_the_kernels_put_them() {
        let layouts = layouts();
        // Depth 3 · tap + channel of channel · 9 + tap.
        assert_eq!((layouts[0].rows.len(), layouts[0].input_rows), (32, 27));
        assert_eq!((layouts[0].rows[3 * 4 + 2], layouts[0].rows[27]), (Some(2 * 9 + 4), None));
        assert_eq!((layouts[1].rows.len(), layouts[1].rows[128 * 4 + 69]), (9 * 128, Some(69 * 9 + 4)));
        assert_eq!(layouts[1].rows[128 * 4 + 70], None);
        // Row, column, channel of channel, row, column.
        assert_eq!((layouts[2].rows.len(), layouts[2].rows[3 * 128 + 69]), (4 * 128, Some(69 * 4 + 3)));
    }

    #[test]
    fn what_is_gathered_is_scattered_back() {
        for layout in layouts() {
            let fan_in = layout.rows.iter().flatten().count();
            let values: Vec<f64> = (0..layout.outputs * fan_in).map(|at| at as f64 + 1.0).collect();
            let mut back = vec![0.0; values.len()];
            // In pieces of seven rows.
            for first in (0..layout.rows.len()).step_by(7) {
                let count = 7.min(layout.rows.len() - first);
                let mut piece = vec![f64::NAN; count * layout.padded_outputs];
                gather(&layout, Side::Products, &values, first, &mut piece);
                assert!(piece.iter().all(|value| value.is_finite()));
                scatter(&layout, Side::Products, &piece, first, &mut back);
            }
            assert_eq!(back, values);
        }
    }
}
