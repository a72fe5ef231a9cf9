//! Moment files: sums in safetensors, checked whole when they are opened.
//!
//! Tensors of float64 `LAYER.FIELD`, with the fields of [`LayerMoments::fields`], layer after layer. The metadata have
//! `moments`, the version of the format, now 1; `fingerprint` and `architecture` of the network; its preprocessing under
//! the keys that files of weights have; `images`; `second_moments`, `true` or `false`; `run` and, while the run has not
//! finished, `progress`, both JSON; and `checksum`, 8 hexadecimal digits: CRC-32 (that of zip) over the bytes of all
//! tensors, as they follow each other in the file, and then over a JSON text without spaces, `[METADATA,[[NAME,SHAPE],…]]`,
//! with all other metadata sorted by key and the tensors in their order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crc32fast::Hasher;
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::moment_fields::{field_shapes, impossible, is_second, no_positions};
use super::{Component, LayerSource, MomentError};
use crate::backend::LayerMoments;
use crate::network::Preprocessing;
use crate::parallel;
use crate::weights::{
    Entry, Fingerprint, PlannedTensor, TensorFile, TensorWriter, Weights, printable, shape_text,
};

/// The version of the format that is written and read.
const VERSION: u32 = 1;

/// Values converted at a time: 1 MiB.
const PIECE: usize = 1 << 17;

/// Bytes of a value.
const SIZE: usize = size_of::<f64>();

/// What is known of moments besides the sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MomentRecord {
    /// Images (crops, where there are several of an image) that were summed.
    pub images: u64,
    /// What tells this run from others: inputs, resize, crop, crops, seed; `shard` as a text `"I/N"` where the run is a
    /// part of one. `device`, `precision` and `version` may be there too and do not tell runs apart. Moments of the same
    /// run and shard are not merged. Of merged moments `shard` is a list of shards, or the only key is `runs`, a list of
    /// such runs.
    pub run: Map<String, Value>,
    /// How far the run has come, in the caller's own words; `None` when it has finished. Of merged moments a list.
    pub progress: Option<Value>,
}

/// A moment file: mapped, and checked whole.
#[derive(Debug)]
pub struct MomentFile {
    file: TensorFile,
    fingerprint: Fingerprint,
    preprocessing: Preprocessing,
    record: MomentRecord,
    checksum: u32,
    second: bool,
    layers: Vec<StoredLayer>,
}

/// Where the sums of a layer lie.
#[derive(Debug)]
struct StoredLayer {
    name: String,
    /// Shape of its weight.
    shape: Vec<usize>,
    /// In the order of [`LayerMoments::fields`].
    fields: Vec<(&'static str, Entry)>,
}

impl MomentFile {
    /// Writes moments: the file appears, or replaces one, when it is complete and on the disk.
    ///
    /// # Errors
    /// When the moments are not of these weights, hold values that no sums can have, or cannot be written. Then what was
    /// at `path` is still there.
    pub fn write(
        path: &Path,
        moments: &dyn LayerSource,
        record: &MomentRecord,
        weights: &Weights,
    ) -> Result<(), MomentError> {
        let writing = |error| MomentError::writing(path, error);
        let second = moments.has_second_moments();
        let expected = expected_layers(weights);
        let tensors: Vec<PlannedTensor> = expected
            .iter()
            .flat_map(|(layer, weight)| {
                let fields = field_shapes(weight, second).into_iter();
                fields.map(move |(field, shape)| PlannedTensor {
                    name: format!("{layer}.{field}"),
                    dtype: Dtype::F64,
                    shape,
                })
            })
            .collect();
        let described = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        let mut metadata = metadata(record, weights, second);
        let described = description(&metadata, described);
        metadata.insert("checksum".to_owned(), checksum_text(0));
        let mut writer = TensorWriter::create(path, tensors, &metadata).map_err(writing)?;

        check_layer_count(moments, weights)?;
        let mut hasher = Hasher::new();
        let mut bytes = Vec::with_capacity(PIECE * SIZE);
        let mut tensor = 0..;
        for (number, (_, weight)) in expected.iter().enumerate() {
            let layer = moments.layer(number);
            check_layer(&layer, number, weights)?;
            // Σxxᵀ comes last, and is left out where not every layer has it.
            for (field, tensor) in
                layer.fields().iter().take(field_shapes(weight, second).len()).zip(&mut tensor)
            {
                if let Some((index, problem)) = impossible(field.name, layer.positions, field.values) {
                    return Err(MomentError::Value {
                        path: path.to_owned(),
                        tensor: format!("{}.{}", layer.name, field.name),
                        index,
                        value: field.values[index],
                        problem,
                    });
                }
                for (piece, values) in field.values.chunks(PIECE).enumerate() {
                    bytes.clear();
                    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    hasher.update(&bytes);
                    writer.write(tensor, piece * PIECE * SIZE, &bytes).map_err(writing)?;
                }
            }
        }
        hasher.update(described.as_bytes());
        metadata.insert("checksum".to_owned(), checksum_text(hasher.finalize()));
        writer.finish(&metadata).map_err(writing)
    }

    /// Maps a moment file and checks that it is of these weights (the first use reads all of them), complete, and as it
    /// was written: reads all of it, on all cores.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(path: &Path, weights: &Weights) -> Result<Self, MomentError> {
        let (file, fingerprint) = open(path)?;
        if let Some(difference) = fingerprint.difference(weights.fingerprint()) {
            return Err(MomentError::OtherWeights {
                path: path.to_owned(),
                weights: weights.path().to_owned(),
                difference,
            });
        }
        Self::verified(file, fingerprint, &expected_layers(weights))
    }

    /// As [`MomentFile::open`], of whatever weights.
    ///
    /// # Errors
    /// When the file is damaged, or of another version or kind.
    pub fn inspect(path: &Path) -> Result<Self, MomentError> {
        let (file, fingerprint) = open(path)?;
        let layers: Vec<(String, Vec<usize>)> = file
            .by_position()
            .into_iter()
            .filter_map(|(tensor, entry)| Some((tensor.strip_suffix(".positive.xy")?, entry)))
            .map(|(layer, entry)| (layer.to_owned(), entry.shape.clone()))
            .collect();
        if !fingerprint.layers().iter().map(|layer| &layer.shape).eq(layers.iter().map(|(_, shape)| shape)) {
            return Err(MomentError::Metadata {
                path: path.to_owned(),
                key: "fingerprint",
                problem: "is not of the layers that the tensors are of".to_owned(),
            });
        }
        Self::verified(file, fingerprint, &layers)
    }

    /// Whether a file calls itself one of moments, or has tensors of their names.
    pub fn is_one(file: &TensorFile) -> bool {
        file.metadata().contains_key("moments") || file.names().any(|name| name.ends_with(".positive.xy"))
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Images, run and progress.
    pub fn record(&self) -> &MomentRecord {
        &self.record
    }

    /// The architecture of the network.
    pub fn architecture(&self) -> Option<&str> {
        self.file.metadata().get("architecture").map(String::as_str)
    }

    /// The preprocessing of the images that were summed.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Identifies the weights they were summed with.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Of each layer its name, the shape of its weight, and how many positions were summed.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &[usize], f64)> {
        let layers = self.layers.iter().enumerate();
        layers.map(|(number, layer)| (layer.name.as_str(), layer.shape.as_slice(), self.positions(number)))
    }

    /// The file.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }

    /// CRC-32 of everything in it, as the metadata state it.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Adds a layer's sums to others of the same shape; Σxxᵀ only where both have it.
    pub(super) fn add_layer(&self, number: usize, sums: &mut LayerMoments) {
        for (values, (_, entry)) in sums.values_mut().into_iter().zip(&self.layers[number].fields) {
            let bytes = self.file.bytes(entry);
            parallel::each(values.chunks_mut(PIECE).zip(bytes.chunks(PIECE * SIZE)), |(values, bytes)| {
                let (bytes, _) = bytes.as_chunks::<SIZE>();
                for (value, bytes) in values.iter_mut().zip(bytes) {
                    *value += f64::from_le_bytes(*bytes);
                }
            });
        }
    }

    /// Moments of a layer without positions, shaped as this file's.
    pub(super) fn empty_layer(&self, number: usize, second: bool) -> LayerMoments {
        let StoredLayer { name, shape, .. } = &self.layers[number];
        no_positions(name, shape, second)
    }

    fn verified(
        file: TensorFile,
        fingerprint: Fingerprint,
        layers: &[(String, Vec<usize>)],
    ) -> Result<Self, MomentError> {
        let path = file.path();
        let stated = state(&file)?;
        let second = file.names().any(is_second);
        let layers = layers
            .iter()
            .map(|(name, shape)| StoredLayer::find(&file, name, shape, second))
            .collect::<Result<Vec<_>, _>>()?;
        let known: BTreeSet<String> = layers
            .iter()
            .flat_map(|layer| layer.fields.iter().map(|(field, _)| format!("{}.{field}", layer.name)))
            .collect();
        if let Some(tensor) = file.names().find(|name| !known.contains(*name)) {
            return Err(MomentError::UnknownTensor { path: path.to_owned(), tensor: tensor.to_owned() });
        }
        let found = checksum(&file);
        if found != stated.checksum {
            return Err(MomentError::Checksum { path: path.to_owned(), found, stated: stated.checksum });
        }
        layers.iter().try_for_each(|layer| layer.check_values(&file))?;
        let Stated { preprocessing, record, checksum } = stated;
        Ok(Self { file, fingerprint, preprocessing, record, checksum, second, layers })
    }
}

impl LayerSource for MomentFile {
    fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        let mut moments = self.empty_layer(layer, self.second);
        // Adding to zero is exact.
        self.add_layer(layer, &mut moments);
        Cow::Owned(moments)
    }

    fn positions(&self, layer: usize) -> f64 {
        let mut positions = [0.0];
        // The first field of a layer.
        if let Some((_, entry)) = self.layers[layer].fields.first() {
            decode(self.file.bytes(entry), &mut positions);
        }
        positions[0]
    }

    fn has_second_moments(&self) -> bool {
        self.second
    }

    fn checksums(&self) -> Vec<u32> {
        vec![self.checksum]
    }
}

impl StoredLayer {
    /// All fields of a layer, of the right types and shapes.
    fn find(file: &TensorFile, name: &str, weight: &[usize], second: bool) -> Result<Self, MomentError> {
        let fields = field_shapes(weight, second)
            .into_iter()
            .map(|(field, expected)| {
                let tensor = format!("{name}.{field}");
                let Some(entry) = file.entry(&tensor) else {
                    return Err(MomentError::MissingField { path: file.path().to_owned(), tensor });
                };
                if entry.dtype != Dtype::F64 || entry.shape != expected {
                    return Err(MomentError::Shape {
                        path: file.path().to_owned(),
                        tensor,
                        found: format!("{} {}", entry.dtype, shape_text(&entry.shape)),
                        expected,
                    });
                }
                Ok((field, entry.clone()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), shape: weight.to_vec(), fields })
    }

    /// Refuses values that no sums can have.
    fn check_values(&self, file: &TensorFile) -> Result<(), MomentError> {
        let mut positions = [0.0];
        for (field, entry) in &self.fields {
            let bytes = file.bytes(entry);
            if *field == "positions" {
                decode(bytes, &mut positions);
            }
            let pieces = bytes.chunks(PIECE * SIZE).enumerate();
            let found = parallel::find_first(pieces, |(piece, bytes)| {
                let mut values = vec![0.0; bytes.len() / SIZE];
                decode(bytes, &mut values);
                let (index, problem) = impossible(field, positions[0], &values)?;
                Some((piece * PIECE + index, values[index], problem))
            });
            if let Some((index, value, problem)) = found {
                return Err(MomentError::Value {
                    path: file.path().to_owned(),
                    tensor: format!("{}.{field}", self.name),
                    index,
                    value,
                    problem,
                });
            }
        }
        Ok(())
    }
}

/// Refuses moments that have another number of layers than a network.
pub(super) fn check_layer_count(moments: &dyn LayerSource, weights: &Weights) -> Result<(), MomentError> {
    let (found, expected) = (moments.layer_count(), weights.network().parametric().count());
    if found == expected {
        return Ok(());
    }
    Err(MomentError::LayerCount { found, weights: weights.path().to_owned(), expected })
}

/// Refuses moments of another layer than the network's.
pub(super) fn check_layer(layer: &LayerMoments, number: usize, weights: &Weights) -> Result<(), MomentError> {
    let expected = weights.weight(number).shape();
    let name = weights.network().parametric().nth(number).map(|(_, layer)| layer.name());
    if layer.shape == expected && Some(layer.name.as_str()) == name {
        return Ok(());
    }
    Err(MomentError::OtherNetwork {
        found: format!("{} {}", printable(&layer.name), shape_text(&layer.shape)),
        weights: weights.path().to_owned(),
        expected: format!("{} {}", name.unwrap_or_default(), shape_text(expected)),
    })
}

/// Names of a network's layers and shapes of their weights.
fn expected_layers(weights: &Weights) -> Vec<(String, Vec<usize>)> {
    let layers = weights.network().parametric();
    layers.map(|(_, layer)| (layer.name().to_owned(), layer.weight_shape())).collect()
}

/// All metadata but the checksum.
fn metadata(record: &MomentRecord, weights: &Weights, second: bool) -> BTreeMap<String, String> {
    let network = weights.network();
    let preprocessing = network.preprocessing;
    let mut metadata: BTreeMap<String, String> = [
        ("moments", VERSION.to_string()),
        ("fingerprint", weights.fingerprint().to_text()),
        ("architecture", network.architecture.clone()),
        ("channel_order", preprocessing.channel_order.to_string()),
        ("pixel_scale", preprocessing.pixel_scale.to_string()),
        ("mean", format!("{:?}", preprocessing.mean)),
        ("std", format!("{:?}", preprocessing.std)),
        ("images", record.images.to_string()),
        ("second_moments", second.to_string()),
        ("run", json!(record.run).to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(progress) = &record.progress {
        metadata.insert("progress".to_owned(), progress.to_string());
    }
    metadata
}

/// What the checksum covers besides the data.
fn description<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
) -> String {
    json!([metadata, tensors.collect::<Vec<_>>()]).to_string()
}

/// A checksum as files have it.
pub(super) fn checksum_text(checksum: u32) -> String {
    format!("{checksum:08x}")
}

/// The checksum that the file should have, on all cores.
fn checksum(file: &TensorFile) -> u32 {
    let hash = |bytes: &[u8]| {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher
    };
    let pieces = parallel::map(file.data().chunks(PIECE * SIZE), hash);
    let mut hasher = Hasher::new();
    pieces.iter().for_each(|piece| hasher.combine(piece));
    let mut metadata = file.metadata().clone();
    metadata.remove("checksum");
    let tensors = file.by_position();
    let tensors = tensors.iter().map(|(name, entry)| (*name, entry.shape.as_slice()));
    hasher.update(description(&metadata, tensors).as_bytes());
    hasher.finalize()
}

fn decode(bytes: &[u8], values: &mut [f64]) {
    let (bytes, _) = bytes.as_chunks::<SIZE>();
    for (value, bytes) in values.iter_mut().zip(bytes) {
        *value = f64::from_le_bytes(*bytes);
    }
}

/// Maps a file that is one of moments, of the version that is read.
fn open(path: &Path) -> Result<(TensorFile, Fingerprint), MomentError> {
    let file = TensorFile::open(path)?;
    let Some(version) = file.metadata().get("moments") else {
        return Err(not_moments(&file));
    };
    if *version != VERSION.to_string() {
        return Err(MomentError::Version { path: path.to_owned(), found: version.clone(), known: VERSION });
    }
    let text = required(&file, "fingerprint")?;
    let fingerprint = Fingerprint::parse(text)
        .map_err(|problem| MomentError::Fingerprint { path: path.to_owned(), problem })?;
    Ok((file, fingerprint))
}

/// Says what a file holds that has no version of moments.
fn not_moments(file: &TensorFile) -> MomentError {
    let ends =
        |suffix: &str| file.names().any(|name| name.rsplit_once('.').is_some_and(|(_, last)| last == suffix));
    let (found, remedy) = if MomentFile::is_one(file) {
        return MomentError::Metadata {
            path: file.path().to_owned(),
            key: "moments",
            problem: "is missing, which has the version".to_owned(),
        };
    } else if ends("weight") {
        ("weights", "give weights with --weights, and here a file that vggx learn wrote with --moments")
    } else if Component::ALL.iter().any(|component| ends(component.name())) {
        ("patterns", "patterns are solved already; give a file that vggx learn wrote with --moments")
    } else {
        ("other tensors", "give a file that vggx learn wrote with --moments")
    };
    MomentError::NotMoments { path: file.path().to_owned(), found, remedy }
}

/// What the metadata say.
struct Stated {
    preprocessing: Preprocessing,
    record: MomentRecord,
    checksum: u32,
}

fn state(file: &TensorFile) -> Result<Stated, MomentError> {
    let damaged = |key, problem: String| MomentError::Metadata { path: file.path().to_owned(), key, problem };
    let preprocessing = Preprocessing::from_metadata(file.metadata())
        .map_err(|error| damaged("mean", format!("and those beside it are damaged: {error}")))?
        .ok_or_else(|| damaged("mean", "is missing".to_owned()))?;
    let images = required(file, "images")?;
    let images = images.parse().map_err(|_| damaged("images", "is no number of images".to_owned()))?;
    let run = required(file, "run")?;
    let run =
        serde_json::from_str(run).map_err(|error| damaged("run", format!("is no JSON object ({error})")))?;
    let progress = file.metadata().get("progress").map(|text| serde_json::from_str(text)).transpose();
    let progress = progress.map_err(|error| damaged("progress", format!("is no JSON ({error})")))?;
    let checksum = required(file, "checksum")?;
    let checksum = u32::from_str_radix(checksum, 16)
        .map_err(|_| damaged("checksum", "is not of 8 hexadecimal digits".to_owned()))?;
    Ok(Stated { preprocessing, record: MomentRecord { images, run, progress }, checksum })
}

fn required<'a>(file: &'a TensorFile, key: &'static str) -> Result<&'a str, MomentError> {
    file.metadata().get(key).map(String::as_str).ok_or_else(|| MomentError::Metadata {
        path: file.path().to_owned(),
        key,
        problem: "is missing".to_owned(),
    })
}
