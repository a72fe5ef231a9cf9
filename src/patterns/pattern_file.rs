//! Reading pattern files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Component, PatternError, authors_file};
use crate::weights::import::{read_patterns, timm_name};
use crate::weights::{ElementType, Fingerprint, Stored, Tensor, TensorFile, Weights, refuse_non_finite};

/// The patterns of one network, in a mapped safetensors file: `LAYER.positive`, `LAYER.negative` and `LAYER.linear`,
/// each shaped like `LAYER.weight`; any of them may be missing until it is asked for. Or in the authors' NumPy archive, which
/// has the positive ones: `A_0`, `A_1`, …, one a layer.
#[derive(Debug)]
pub struct Patterns {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    layers: Vec<LayerPatterns>,
}

#[derive(Debug)]
pub(super) struct LayerPatterns {
    pub(super) name: String,
    /// In the order of [`Component::ALL`].
    pub(super) components: [Option<Stored>; 3],
}

impl LayerPatterns {
    fn stored(&self, component: Component) -> Option<&Stored> {
        let [positive, negative, linear] = &self.components;
        match component {
            Component::Positive => positive.as_ref(),
            Component::Negative => negative.as_ref(),
            Component::Linear => linear.as_ref(),
        }
    }
}

impl Patterns {
    /// Maps a pattern file and checks that it belongs to these weights: by the fingerprint where the file has one
    /// (the first use reads all of the weights), always by names, shapes and element types.
    ///
    /// The authors' archives have no fingerprint and no names; their arrays must be as many as layers, and have their shapes.
    ///
    /// # Errors
    /// When the file can be read neither as safetensors nor as a NumPy archive, or holds patterns of another network.
    pub fn open(path: &Path, weights: &Weights) -> Result<Self, PatternError> {
        if let Some(arrays) = read_patterns(path)? {
            let layers = authors_file::layers(path, arrays, weights)?;
            return Ok(Self { path: path.to_owned(), metadata: BTreeMap::new(), layers });
        }
        let file = TensorFile::open(path)?;
        if let Some(text) = file.metadata().get("fingerprint") {
            check_fingerprint(path, text, weights)?;
        }
        let layers = weights
            .network()
            .parametric()
            .map(|(_, layer)| {
                let find = |component| find(&file, weights, layer.name(), &layer.weight_shape(), component);
                let [positive, negative, linear] = Component::ALL.map(find);
                Ok(LayerPatterns {
                    name: layer.name().to_owned(),
                    components: [positive?, negative?, linear?],
                })
            })
            .collect::<Result<Vec<_>, PatternError>>()?;
        refuse_others(&file, &layers, weights)?;
        Ok(Self { path: path.to_owned(), metadata: file.metadata().clone(), layers })
    }

    /// One tensor for each layer with weights, in the order of
    /// [`Network::parametric`](crate::network::Network::parametric), shaped like that layer's weight. Reads them all,
    /// on all cores, to check that they are finite.
    ///
    /// # Errors
    /// When a layer has no such pattern, or one that is not finite.
    pub fn tensors(&self, component: Component) -> Result<Vec<Tensor<'_>>, PatternError> {
        self.layers
            .iter()
            .map(|layer| {
                let tensor =
                    layer.stored(component).ok_or_else(|| self.missing(&layer.name, component))?.tensor();
                refuse_non_finite(&self.path, tensor)?;
                Ok(tensor)
            })
            .collect()
    }

    /// The pattern of the n-th layer with weights, unchecked for finiteness; `None` where the file has none. Cheap: for
    /// reading rows after [`Patterns::tensors`] has checked the component.
    pub fn tensor(&self, component: Component, layer: usize) -> Option<Tensor<'_>> {
        let layer = self.layers.get(layer)?;
        Some(layer.stored(component)?.tensor())
    }

    /// The type of the elements, that of the first pattern.
    pub fn element(&self) -> Option<ElementType> {
        let stored = self.layers.iter().flat_map(|layer| layer.components.iter().flatten()).next()?;
        Some(stored.tensor().element())
    }

    /// A short name for the patterns of this file, for records of runs: a hash of their shapes, norms and projections as
    /// in a [`Fingerprint`]. Reads them all, on all cores.
    pub fn digest(&self) -> String {
        let tensors = self.layers.iter().flat_map(|layer| {
            let held = layer.components.iter().flatten();
            held.map(|stored| stored.tensor())
        });
        Fingerprint::of(tensors).digest(&[])
    }

    /// Which ȳ the two-component patterns were solved with, `global` or `regime`, where the file says so.
    pub fn centering(&self) -> Option<&str> {
        self.metadata("centering")
    }

    /// Checksums of the moment files that they were solved from, sorted, as [`MomentFile::checksum`] has them; `None`
    /// where the file has none that can be read, as of patterns that were solved from sums in memory.
    ///
    /// [`MomentFile::checksum`]: super::MomentFile::checksum
    pub fn moments(&self) -> Option<Vec<u32>> {
        let texts: Vec<String> = serde_json::from_str(self.metadata.get("moments")?).ok()?;
        texts.iter().map(|text| u32::from_str_radix(text, 16).ok()).collect()
    }

    /// Whether a run that they were solved from had not finished.
    pub fn unfinished(&self) -> bool {
        self.metadata.contains_key("unfinished")
    }

    /// The text under this key of the file's metadata; JSON values are left as they are, except that a string loses
    /// its quotes.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let text = self.metadata.get(key)?;
        Some(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text))
    }

    /// The fingerprint of the weights they were learnt for, as the file has it.
    pub fn fingerprint_text(&self) -> Option<&str> {
        self.metadata("fingerprint")
    }

    /// The file they are in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn missing(&self, layer: &str, component: Component) -> PatternError {
        let held = Component::ALL
            .into_iter()
            .enumerate()
            .map(|(index, component)| {
                let count = self
                    .layers
                    .iter()
                    .filter(|layer| layer.components.get(index).is_some_and(Option::is_some))
                    .count();
                format!("{component} for {count}")
            })
            .collect::<Vec<_>>()
            .join(", ");
        PatternError::MissingComponent {
            path: self.path.clone(),
            layer: layer.to_owned(),
            component,
            held: format!("of {} layers the file has {held}", self.layers.len()),
        }
    }
}

/// Every tensor of the file must have been found: nothing is ignored.
fn refuse_others(file: &TensorFile, layers: &[LayerPatterns], weights: &Weights) -> Result<(), PatternError> {
    if file.names().next().is_none() {
        return Err(PatternError::Empty { path: file.path().to_owned() });
    }
    let found: std::collections::BTreeSet<&str> =
        layers.iter().flat_map(|layer| layer.components.iter().flatten()).map(Stored::name).collect();
    match file.names().find(|name| !found.contains(name)) {
        None => Ok(()),
        Some(tensor) => Err(PatternError::UnknownTensor {
            path: file.path().to_owned(),
            tensor: tensor.to_owned(),
            weights: weights.path().to_owned(),
            example: layers.first().map_or_else(|| "features.0".to_owned(), |layer| layer.name.clone()),
        }),
    }
}

fn find(
    file: &TensorFile,
    weights: &Weights,
    layer: &str,
    expected: &[usize],
    component: Component,
) -> Result<Option<Stored>, PatternError> {
    for layer in [Some(layer), timm_name(layer)].into_iter().flatten() {
        let name = format!("{layer}.{component}");
        let Some(stored) = Stored::find(file, &name, expected.to_vec()) else {
            continue;
        };
        let stored = stored?;
        let found = stored.file_shape();
        // timm has dense layers as convolutions: [outputs, channels, side, side] for [outputs, inputs].
        let flattened = found.len() == 4
            && expected.len() == 2
            && found.first() == expected.first()
            && found.get(1..).is_some_and(|rest| {
                rest.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent))
                    == expected.get(1).copied()
            });
        if found != expected && !flattened {
            return Err(PatternError::Shape {
                path: file.path().to_owned(),
                tensor: name,
                found: found.to_vec(),
                weights: weights.path().to_owned(),
                expected: expected.to_vec(),
            });
        }
        return Ok(Some(stored));
    }
    Ok(None)
}

fn check_fingerprint(path: &Path, text: &str, weights: &Weights) -> Result<(), PatternError> {
    let stated = Fingerprint::parse(text)
        .map_err(|problem| PatternError::Fingerprint { path: path.to_owned(), problem })?;
    match stated.difference(weights.fingerprint()) {
        None => Ok(()),
        Some(difference) => Err(PatternError::OtherWeights {
            path: path.to_owned(),
            weights: weights.path().to_owned(),
            difference,
        }),
    }
}
