//! Weights, however they were read, written as a safetensors file that says all there is to say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::import::{EXTENT, LABELS, LAST_MAX_POOL};
use super::write::{NewTensor, write_tensors};
use super::{Tensor, Weights};
use crate::network::Layer;

/// The metadata key of the file that weights were read from: its name and format.
const SOURCE: &str = "source";

impl Weights {
    /// Writes a safetensors file with torchvision's names; the metadata are the file's own, and architecture, preprocessing,
    /// labels and source. Read again it makes the same network, bit by bit.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut tensors = Vec::new();
        for (index, (_, layer)) in self.network().parametric().enumerate() {
            tensors.push(named(format!("{}.weight", layer.name()), self.weight(index)));
            tensors.push(named(format!("{}.bias", layer.name()), self.bias(index)));
        }
        write_tensors(path, &self.complete_metadata(), &tensors)
    }

    fn complete_metadata(&self) -> BTreeMap<String, String> {
        let network = self.network();
        let mut metadata = self.metadata().clone();
        // What the file says of itself ("pt"), not of the network.
        metadata.remove("format");
        let preprocessing = network.preprocessing.to_json();
        metadata.extend(preprocessing.into_iter().map(|(key, value)| (key, value.to_string())));
        metadata.insert("architecture".to_owned(), json!(network.architecture).to_string());
        metadata.remove(LAST_MAX_POOL);
        if !ends_with_pool(&network.layers) {
            metadata.insert(LAST_MAX_POOL.to_owned(), "false".to_owned());
        }
        if let Some(labels) = self.labels() {
            metadata.insert(LABELS.to_owned(), json!(labels).to_string());
        }
        if let Some((height, width)) = self.extent() {
            metadata.insert(EXTENT.to_owned(), json!([height, width]).to_string());
        }
        // Of the file that somebody else wrote, not of ours that was written again.
        if !metadata.contains_key(SOURCE) {
            let file = self.path().file_name().unwrap_or_default().to_string_lossy();
            metadata.insert(SOURCE.to_owned(), format!("{file} ({})", self.format().name()));
            let layers = network.parametric().enumerate();
            let origins: Map<String, Value> = layers
                .map(|(index, (_, layer))| (layer.name().to_owned(), json!(self.origins(index))))
                .collect();
            metadata.insert("origins".to_owned(), Value::Object(origins).to_string());
            metadata
                .insert("preprocessing_origin".to_owned(), json!(self.preprocessing_origin()).to_string());
            if !self.notes().is_empty() {
                metadata.insert("notes".to_owned(), json!(self.notes()).to_string());
            }
        }
        metadata
    }
}

/// Whether a max-pool follows the last convolution.
fn ends_with_pool(layers: &[Layer]) -> bool {
    let is_feature = |layer: &&Layer| matches!(layer, Layer::Convolution(_) | Layer::MaxPool);
    layers.iter().rfind(is_feature) == Some(&Layer::MaxPool)
}

fn named(name: String, tensor: Tensor<'_>) -> NewTensor<'_> {
    NewTensor {
        name,
        element: tensor.element(),
        shape: tensor.shape().to_vec(),
        bytes: Cow::Borrowed(tensor.bytes()),
    }
}
