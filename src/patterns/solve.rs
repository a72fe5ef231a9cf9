//! From moments to a pattern file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, json};

use super::moment_file::{check_layer, check_layer_count, checksum_text};
use super::report::{LayerTally, widest};
use super::rounding::round;
use super::{
    Centering, Component, LayerSource, MomentRecord, Outcome, Report, SolveError, Solved, solve_neuron,
};
use crate::backend::LayerMoments;
use crate::parallel;
use crate::weights::{ElementType, PlannedTensor, Tensor, TensorWriter, Weights};

/// Elements of each component that are solved before they are written: 4 Mi, at most 16 MiB each.
const BLOCK: usize = 1 << 22;

/// How patterns are solved and stored.
#[derive(Clone, Debug)]
pub struct SolveOptions {
    /// Which ȳ the two-component patterns are solved with.
    pub centering: Centering,
    /// Type of the file's elements; each pattern is solved in float64 and rounded once.
    pub element: ElementType,
    /// More metadata for the file, such as `source` and `licence`; keys that the file has by itself are kept as they are.
    pub metadata: BTreeMap<String, String>,
}

impl Default for SolveOptions {
    /// Global centering, float32, no more metadata.
    fn default() -> Self {
        Self { centering: Centering::Global, element: ElementType::F32, metadata: BTreeMap::new() }
    }
}

/// Solves the `positive`, `negative` and `linear` patterns of every layer and writes them, with what was found. The file
/// appears, or replaces one, when it is complete and on the disk. Of the moments one layer is in memory at a time, of
/// the patterns some neurons.
///
/// The metadata are `centering`, `fingerprint`, `architecture`, `images`, `positions` (JSON, of each layer), `run` (JSON,
/// see [`MomentRecord::run`]), `report` (JSON, see [`Report`]) and those of the options; of sums in files `moments` (JSON,
/// a list of [`LayerSource::checksums`], each of 8 hexadecimal digits); of runs that have not finished `unfinished`, `true`.
///
/// # Errors
/// When the moments are not of these weights, when a value is beyond the range of `options.element` (never stored as an
/// infinity or the largest number), and when the file cannot be written. Then what was at `path` is still there.
pub fn solve(
    moments: &dyn LayerSource,
    record: &MomentRecord,
    weights: &Weights,
    options: &SolveOptions,
    path: &Path,
) -> Result<Report, SolveError> {
    let writing = |error| SolveError::writing(path, error);
    check_layer_count(moments, weights)?;
    let layers: Vec<Tensor> = (0..moments.layer_count()).map(|layer| weights.weight(layer)).collect();
    let names: Vec<&str> = weights.network().parametric().map(|(_, layer)| layer.name()).collect();
    let tensors = names.iter().zip(&layers).flat_map(|(name, weight)| {
        Component::ALL.map(|component| PlannedTensor {
            name: format!("{name}.{component}"),
            dtype: options.element.dtype(),
            shape: weight.shape().to_vec(),
        })
    });
    let longest = names.iter().zip(&layers).map(|(name, weight)| widest(name, weight.shape()[0])).collect();
    let mut report = Report { centering: options.centering, images: record.images, layers: longest };
    let checksums = moments.checksums();
    let longest = metadata(record, &checksums, weights, options, &report);
    let mut writer = TensorWriter::create(path, tensors.collect(), &longest).map_err(writing)?;

    report.layers.clear();
    for (number, weight) in layers.iter().enumerate() {
        let layer = moments.layer(number);
        check_layer(&layer, number, weights)?;
        let (outputs, fan_in, size) = (layer.outputs(), layer.fan_in(), options.element.size());
        let mut tally = LayerTally::of(&layer);
        let neurons = (BLOCK / fan_in.max(1)).clamp(1, outputs.max(1));
        for first in (0..outputs).step_by(neurons) {
            let block = first..outputs.min(first + neurons);
            let mut rows: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; block.len() * fan_in * size]);
            for neuron in solve_block(&layer, block, *weight, options, &mut rows) {
                tally.add(neuron?);
            }
            for (index, rows) in rows.iter().enumerate() {
                writer.write(3 * number + index, first * fan_in * size, rows).map_err(writing)?;
            }
        }
        report.layers.push(tally.report());
    }
    writer.finish(&metadata(record, &checksums, weights, options, &report)).map_err(writing)?;
    Ok(report)
}

/// How one component of a neuron came out, and |wᵀa − 1| as it is stored.
pub(super) type Stored = (Solved, f64);

/// Solves the neurons of a block, on all cores; `rows` are the components' elements, one neuron after the other.
fn solve_block(
    layer: &LayerMoments,
    neurons: std::ops::Range<usize>,
    weight: Tensor<'_>,
    options: &SolveOptions,
    rows: &mut [Vec<u8>; 3],
) -> Vec<Result<[Stored; 3], SolveError>> {
    let fan_in = layer.fan_in();
    let row = (fan_in * options.element.size()).max(1);
    let [positive, negative, linear] = rows;
    let rows = positive.chunks_mut(row).zip(negative.chunks_mut(row)).zip(linear.chunks_mut(row));
    let scratch = || (vec![0f32; fan_in], vec![0.0; fan_in], vec![0.0; fan_in]);
    // All of them rather than the first error that a thread comes to, so that the error is the same every time.
    parallel::map_with(
        neurons.zip(rows),
        scratch,
        |(narrow, wide, pattern), (neuron, ((positive, negative), linear))| {
            weight.read(neuron * fan_in, narrow);
            wide.iter_mut().zip(&*narrow).for_each(|(wide, narrow)| *wide = f64::from(*narrow));
            let mut stored = |component, row: &mut [u8]| -> Result<Stored, SolveError> {
                let solved = solve_neuron(layer, neuron, wide, component, options.centering, pattern);
                let miss = round(pattern, wide, options.element, row);
                let miss = miss.map_err(|value| SolveError::Range {
                    layer: layer.name.clone(),
                    component,
                    neuron,
                    value,
                    element: options.element,
                })?;
                Ok((solved, if solved.outcome == Outcome::Pattern { miss } else { 0.0 }))
            };
            Ok([
                stored(Component::Positive, positive)?,
                stored(Component::Negative, negative)?,
                stored(Component::Linear, linear)?,
            ])
        },
    )
}

fn metadata(
    record: &MomentRecord,
    checksums: &[u32],
    weights: &Weights,
    options: &SolveOptions,
    report: &Report,
) -> BTreeMap<String, String> {
    let positions: Map<_, _> =
        report.layers.iter().map(|layer| (layer.name.clone(), json!(layer.positions))).collect();
    let mut metadata = options.metadata.clone();
    metadata.extend(
        [
            ("centering", options.centering.to_string()),
            ("fingerprint", weights.fingerprint().to_text()),
            ("architecture", weights.network().architecture.clone()),
            ("images", record.images.to_string()),
            ("positions", json!(positions).to_string()),
            ("run", json!(record.run).to_string()),
            ("report", json!(report).to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    // Those of the options would say something else.
    metadata.remove("moments");
    metadata.remove("unfinished");
    if !checksums.is_empty() {
        let checksums: Vec<String> = checksums.iter().copied().map(checksum_text).collect();
        metadata.insert("moments".to_owned(), json!(checksums).to_string());
    }
    if record.progress.is_some() {
        metadata.insert("unfinished".to_owned(), "true".to_owned());
    }
    metadata
}
