//! Positions written out one by one, and what follows from them the slow and obvious way.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Model, Random};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use vggx::backend::{LayerMoments, Moments, SecondMoments};
use vggx::patterns::{Centering, Component, MomentRecord};
use vggx::weights::Weights;

/// A folder with weights in it.
pub struct Place {
    pub folder: TempDir,
    pub weights: Weights,
}

impl Place {
    pub fn new(model: &Model) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let weights = model.open(folder.path()).unwrap();
        Self { folder, weights }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Names of everything in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Patches and responses of one layer at explicit positions.
pub struct Samples {
    pub name: String,
    pub shape: Vec<usize>,
    /// A patch a position.
    pub x: Vec<Vec<f64>>,
    /// The weights of each neuron.
    pub w: Vec<Vec<f64>>,
    /// Whether the neuron is positive at the position: \[neuron\]\[position\].
    pub positive: Vec<Vec<bool>>,
}

impl Samples {
    /// Random patches about an offset of up to 3 for each element; a neuron is positive where y exceeds the
    /// `quantile`-th smallest of its responses (0: everywhere).
    pub fn random(
        weights: &Weights,
        layer: usize,
        positions: usize,
        quantile: impl Fn(usize) -> usize,
        seed: u64,
    ) -> Self {
        let mut random = Random(seed * 1000 + layer as u64);
        let mut next = || f64::from(random.next());
        let (_, parametric) = weights.network().parametric().nth(layer).unwrap();
        let (outputs, fan_in) = (parametric.outputs(), parametric.fan_in());
        let offsets: Vec<f64> = (0..fan_in).map(|_| 3.0 * next()).collect();
        // Correlated elements: a pattern is more than its weights.
        let x: Vec<Vec<f64>> = (0..positions)
            .map(|_| {
                let common = next();
                offsets.iter().map(|offset| offset + common + next()).collect()
            })
            .collect();
        let w: Vec<Vec<f64>> = {
            let values = weights.weight(layer).to_vec();
            values.chunks(fan_in).map(|row| row.iter().map(|&w| f64::from(w)).collect()).collect()
        };
        let positive = (0..outputs)
            .map(|neuron| {
                let y: Vec<f64> = x.iter().map(|x| dot(&w[neuron], x)).collect();
                let mut sorted = y.clone();
                sorted.sort_by(f64::total_cmp);
                let negative = quantile(neuron).min(positions);
                y.iter().map(|y| negative == 0 || *y > sorted[negative - 1]).collect()
            })
            .collect();
        Self { name: parametric.name().to_owned(), shape: parametric.weight_shape(), x, w, positive }
    }

    pub fn fan_in(&self) -> usize {
        self.w[0].len()
    }

    /// The sums, position by position. Second moments are random: only their bookkeeping is tested here.
    pub fn moments(&self, second: Option<&LayerMoments>) -> LayerMoments {
        let (outputs, fan_in) = (self.w.len(), self.fan_in());
        let neurons = || vec![0.0; outputs];
        let patches = || vec![0.0; outputs * fan_in];
        let mut sums = LayerMoments {
            name: self.name.clone(),
            shape: self.shape.clone(),
            positions: self.x.len() as f64,
            x: vec![0.0; fan_in],
            positive_count: neurons(),
            positive_y: neurons(),
            positive_yy: neurons(),
            negative_y: neurons(),
            negative_yy: neurons(),
            positive_x: patches(),
            positive_xy: patches(),
            negative_xy: patches(),
            second: second.and_then(|layer| layer.second.clone()),
        };
        for (position, x) in self.x.iter().enumerate() {
            for (sum, x) in sums.x.iter_mut().zip(x) {
                *sum += x;
            }
            for neuron in 0..outputs {
                let y = dot(&self.w[neuron], x);
                let row = neuron * fan_in..(neuron + 1) * fan_in;
                if self.positive[neuron][position] {
                    sums.positive_count[neuron] += 1.0;
                    sums.positive_y[neuron] += y;
                    sums.positive_yy[neuron] += y * y;
                    for ((sum_x, sum_xy), x) in
                        sums.positive_x[row.clone()].iter_mut().zip(&mut sums.positive_xy[row]).zip(x)
                    {
                        *sum_x += x;
                        *sum_xy += x * y;
                    }
                } else {
                    sums.negative_y[neuron] += y;
                    sums.negative_yy[neuron] += y * y;
                    for (sum_xy, x) in sums.negative_xy[row].iter_mut().zip(x) {
                        *sum_xy += x * y;
                    }
                }
            }
        }
        sums
    }

    /// Positions of a component's regime.
    pub fn regime(&self, neuron: usize, component: Component) -> Vec<usize> {
        let wanted = |positive: bool| match component {
            Component::Positive => positive,
            Component::Negative => !positive,
            Component::Linear => true,
        };
        (0..self.x.len()).filter(|&position| wanted(self.positive[neuron][position])).collect()
    }

    /// The pattern by its definition, from the positions: E_s\[x (y − ȳ)\] / E_s\[y (y − ȳ)\]; `None` where it has none.
    pub fn pattern(&self, neuron: usize, component: Component, centering: Centering) -> Option<Vec<f64>> {
        let regime = self.regime(neuron, component);
        if regime.len() < 2 {
            return None;
        }
        let y: Vec<f64> = self.x.iter().map(|x| dot(&self.w[neuron], x)).collect();
        let mean = |positions: &[usize], value: &dyn Fn(usize) -> f64| {
            positions.iter().map(|&position| value(position)).sum::<f64>() / positions.len() as f64
        };
        let everywhere: Vec<usize> = (0..self.x.len()).collect();
        let centre = match centering {
            Centering::Global => mean(&everywhere, &|position| y[position]),
            Centering::Regime => mean(&regime, &|position| y[position]),
        };
        let denominator = mean(&regime, &|position| y[position] * (y[position] - centre));
        let square = mean(&regime, &|position| y[position] * y[position]);
        if denominator.is_nan() || denominator <= 1e-10 * square {
            return None;
        }
        let element =
            |index: usize| mean(&regime, &|position| self.x[position][index] * (y[position] - centre));
        Some((0..self.fan_in()).map(|index| element(index) / denominator).collect())
    }
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Sums of all layers at a number of positions, half of them positive, give or take; second moments of random numbers.
pub fn random_moments(weights: &Weights, positions: usize, second: bool, seed: u64) -> Moments {
    let mut moments = Moments::zeros(weights.network(), second);
    let mut random = Random(seed);
    for (number, layer) in moments.layers.iter_mut().enumerate() {
        let samples = Samples::random(weights, number, positions, |neuron| (positions + neuron) / 2, seed);
        match &mut layer.second {
            None => {}
            Some(SecondMoments::Dense(values)) => values.fill_with(|| f64::from(random.next())),
            Some(SecondMoments::Convolution(lags)) => {
                for values in [
                    &mut lags.map,
                    &mut lags.top,
                    &mut lags.bottom,
                    &mut lags.left,
                    &mut lags.right,
                    &mut lags.corners,
                ] {
                    values.fill_with(|| f64::from(random.next()));
                }
            }
        }
        *layer = samples.moments(Some(layer));
    }
    moments
}

pub fn record(images: u64, run: Value) -> MomentRecord {
    MomentRecord { images, run: run.as_object().cloned().unwrap_or_else(Map::new), progress: None }
}

/// A run of which each seed makes another.
pub fn run(seed: u64) -> MomentRecord {
    record(10 + seed, json!({ "inputs": "photos", "crops": 3, "seed": seed }))
}

/// A safetensors file in pieces, to be damaged.
#[derive(Clone)]
pub struct Pieces {
    pub metadata: BTreeMap<String, String>,
    /// Name, type, shape and data.
    pub tensors: Vec<(String, String, Vec<usize>, Vec<u8>)>,
}

impl Pieces {
    pub fn of(bytes: &[u8]) -> Self {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let data = &bytes[8 + length..];
        let metadata = serde_json::from_value(header["__metadata__"].clone()).unwrap();
        let mut tensors: Vec<_> = header
            .iter()
            .filter(|(name, _)| *name != "__metadata__")
            .map(|(name, entry)| {
                let [start, end]: [usize; 2] = serde_json::from_value(entry["data_offsets"].clone()).unwrap();
                let shape: Vec<usize> = serde_json::from_value(entry["shape"].clone()).unwrap();
                let dtype = entry["dtype"].as_str().unwrap().to_owned();
                (start, (name.clone(), dtype, shape, data[start..end].to_vec()))
            })
            .collect();
        tensors.sort_by_key(|(start, _)| *start);
        Self { metadata, tensors: tensors.into_iter().map(|(_, tensor)| tensor).collect() }
    }

    /// The file, with the checksum that it states.
    pub fn bytes(&self) -> Vec<u8> {
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!(self.metadata));
        let mut data = Vec::new();
        for (name, dtype, shape, bytes) in &self.tensors {
            let offsets = [data.len(), data.len() + bytes.len()];
            header.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }));
            data.extend_from_slice(bytes);
        }
        crate::support::raw(&Value::Object(header).to_string(), &data)
    }

    /// The file, with a checksum that is right, as its format is documented.
    pub fn sealed(&self) -> Vec<u8> {
        let mut sealed = self.clone();
        sealed.metadata.remove("checksum");
        let tensors: Vec<_> = self.tensors.iter().map(|(name, _, shape, _)| json!([name, shape])).collect();
        let description = json!([sealed.metadata, tensors]).to_string();
        let data = self.tensors.iter().flat_map(|(_, _, _, bytes)| bytes).chain(description.as_bytes());
        sealed.metadata.insert("checksum".to_owned(), format!("{:08x}", crc32(data)));
        sealed.bytes()
    }

    pub fn tensor(&mut self, name: &str) -> &mut (String, String, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|(found, ..)| found == name).expect(name)
    }

    /// Sets a value of a tensor.
    pub fn set(mut self, name: &str, index: usize, value: f64) -> Self {
        self.tensor(name).3[8 * index..8 * index + 8].copy_from_slice(&value.to_le_bytes());
        self
    }
}

/// CRC-32 as in zip (ISO 3309), bit by bit.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}
