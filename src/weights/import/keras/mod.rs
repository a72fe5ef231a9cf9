//! Keras's files: `.h5` of weights or of whole models, `.weights.h5`, and `.keras`.
//!
//! A whole model has a configuration, JSON that lists its layers, and is read after it. A file of weights alone has names, and
//! is read as a VGG of `keras.applications` where they allow it.

mod activation;
mod arguments;
mod arrange;
mod chain;
mod config;
mod layer;
mod maps;
mod model;
mod names;
mod normalisation;
mod operators;
mod store;
#[cfg(test)]
mod tests;
mod weighted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use serde_json::Value;

use super::super::error::WeightProblem;
use super::archive::Archive;
use super::hdf5::{File, Group};
use super::{Imported, InputConvention};
use crate::network::Preprocessing;
use store::Store;

/// Bytes of a configuration; that of a VGG has about 2^15.
const LONGEST_CONFIG: usize = 1 << 21;

/// Reads a file of Keras.
///
/// # Errors
/// When it is damaged, holds no model, or one with operations that are none of a VGG's.
pub(crate) fn read(_path: &Path, map: Arc<Mmap>) -> Result<Imported, WeightProblem> {
    if map.starts_with(b"PK") {
        return read_archive(map);
    }
    let range = 0..map.len();
    let file = File::mapped(map, range)?;
    let root = file.root()?;
    let version = text(&root, "keras_version")?;
    let Some(config) = text(&root, "model_config")? else {
        let group = root.group("model_weights")?.unwrap_or(file.root()?);
        return names::read(&group).map(|imported| with_version(imported, version));
    };
    let group = root
        .group("model_weights")?
        .ok_or_else(|| WeightProblem::Harmful("the Keras model was saved without its weights".to_owned()))?;
    let imported = model::read(&parse(config.as_bytes())?, &Store::named(&group))?;
    Ok(with_version(imported, version))
}

/// `.keras`: a zip archive with the configuration and an HDF5 file of the weights.
fn read_archive(map: Arc<Mmap>) -> Result<Imported, WeightProblem> {
    let archive = Archive::open(map)?;
    let entry = |name: &str| {
        archive.entry(name).ok_or_else(|| {
            WeightProblem::Harmful(format!("the zip archive is no Keras model: it has no {name}"))
        })
    };
    let (config, weights) = (entry("config.json")?, entry("model.weights.h5")?);
    let config = parse(&archive.start(config, LONGEST_CONFIG + 1)?)?;
    let version = match archive.entry("metadata.json") {
        Some(entry) => parse(&archive.start(entry, LONGEST_CONFIG + 1)?)?
            .get("keras_version")
            .and_then(Value::as_str)
            .map(str::to_owned),
        None => None,
    };
    let file = match &weights.stored {
        Some(range) => File::mapped(Arc::clone(archive.map()), range.clone())?,
        None => File::owned(archive.read(weights)?)?,
    };
    let imported = model::read(&config, &Store::numbered(&file.root()?))?;
    Ok(with_version(imported, version))
}

fn parse(text: &[u8]) -> Result<Value, WeightProblem> {
    if text.len() > LONGEST_CONFIG {
        return Err(WeightProblem::Harmful(format!(
            "the Keras configuration is longer than {LONGEST_CONFIG} bytes"
        )));
    }
    // Nesting is bounded by the parser.
    serde_json::from_slice(text)
        .map_err(|error| WeightProblem::Damaged(format!("the Keras configuration is no JSON: {error}")))
}

/// An attribute that is one text.
fn text(group: &Group<'_>, attribute: &str) -> Result<Option<String>, WeightProblem> {
    Ok(group.texts(attribute)?.and_then(|texts| texts.into_iter().next()))
}

fn with_version(mut imported: Imported, version: Option<String>) -> Imported {
    if let Some(version) = version {
        imported.metadata.insert("keras_version".to_owned(), version);
    }
    imported
}

/// What is known of the input of a network whose file says nothing about it.
///
/// `keras.applications` has VGG16 and VGG19 with Caffe's weights, and names their layers so.
fn convention<'a>(mut layers: impl Iterator<Item = &'a str>) -> InputConvention {
    if layers.any(|name| name.starts_with("block1_conv1")) {
        InputConvention::Assumed {
            preprocessing: Preprocessing::CAFFE,
            reason: "the layers have the names of keras.applications' VGG, which takes Caffe's input; a model that was trained \
                     on other input needs --preprocessing"
                .to_owned(),
        }
    } else {
        InputConvention::Unknown {
            reason: "the Keras model has no layer that prepares pixels (Rescaling, Normalization)".to_owned(),
        }
    }
}

/// A network without labels.
fn imported(
    steps: Vec<super::Step>,
    input: InputConvention,
    extent: Option<(usize, usize)>,
    notes: Vec<String>,
) -> Imported {
    Imported { steps, input, metadata: BTreeMap::new(), labels: None, extent, beside: 0, notes }
}

/// A layer that is in the way.
fn refuse(name: &str, reason: impl Into<String>) -> WeightProblem {
    WeightProblem::Operation { name: name.to_owned(), reason: reason.into() }
}
