//! Networks recognised from the names and shapes of their tensors: torchvision's and timm's, with and without batch
//! normalisation, also below a prefix that other programs put before them.

mod classifier;
mod features;
mod prefix;
mod steps;
mod timm;
mod undefined;

use std::collections::BTreeMap;

use super::super::error::{WeightProblem, printable};
use super::array::Array;
use super::imported::{Imported, InputConvention};
use super::state_dict::StateDict;
use super::step::Step;

pub(crate) use timm::timm_name;

/// The metadata key that says `false` where no max-pool follows the last convolution; names do not tell.
pub(crate) const LAST_MAX_POOL: &str = "last_max_pool";

/// The metadata key of the outputs' names, a JSON array.
pub(crate) const LABELS: &str = "labels";

/// The metadata key of rows and columns of the images that the network was made for, a JSON array.
pub(crate) const EXTENT: &str = "extent";

/// What a tensor's name says.
enum Role {
    /// `features.N.…`
    Feature(u32),
    /// `classifier.N.…`
    Classifier(u32),
    /// timm's dense layers, counted from 0.
    Timm(usize),
}

/// The tensors while they are given to steps.
struct Tensors {
    arrays: BTreeMap<String, Array>,
    /// Of all tensors, for messages.
    names: Vec<String>,
}

/// Makes steps of the tensors. Every tensor must belong to a layer: nothing is ignored.
///
/// # Errors
/// When a tensor is missing or belongs to no VGG; names it.
pub(crate) fn recognise(dict: StateDict) -> Result<Imported, WeightProblem> {
    let StateDict { tensors, metadata, mut notes } = dict;
    let tensors = classifier::numbered(prefix::strip(tensors, &mut notes)?);
    let mut tensors = Tensors { names: tensors.keys().cloned().collect(), arrays: tensors };

    // Keyed by number, so that both tensors of a layer meet and features.10 follows features.2.
    let (mut features, mut classifier, mut timm) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for name in &tensors.names {
        match role(name) {
            Some(Role::Feature(number)) => drop(features.insert(number, name.clone())),
            Some(Role::Classifier(number)) => drop(classifier.insert(number, name.clone())),
            Some(Role::Timm(number)) => drop(timm.insert(number, name.clone())),
            None => return Err(unsupported(name, "it belongs to no layer of such a network")),
        }
    }
    let mut input = InputConvention::Metadata;
    let no_pool = metadata.get(LAST_MAX_POOL).is_some_and(|text| text.trim_matches('"') == "false");
    let mut steps: Vec<Step> = Vec::new();
    features::add(&mut steps, &mut tensors, &features.into_keys().collect::<Vec<_>>(), !no_pool)?;
    match (classifier.first_key_value(), timm.first_key_value()) {
        (None, None) => {}
        (Some(_), None) => {
            if undefined::classifier(&mut tensors, &mut notes)? {
                if !metadata.contains_key("mean") {
                    input = undefined::caffe_input();
                }
            } else {
                classifier::add(&mut steps, &mut tensors, &classifier.into_keys().collect::<Vec<_>>())?;
            }
        }
        (None, Some(_)) => timm::add(&mut steps, &mut tensors)?,
        (Some(_), Some((_, name))) => {
            return Err(unsupported(name, "the file has a classifier with torchvision's names too"));
        }
    }
    if let Some(name) = tensors.arrays.keys().next() {
        return Err(unsupported(name, "it belongs to no layer of such a network"));
    }
    let labels = metadata.get(LABELS).and_then(|text| serde_json::from_str(text).ok());
    let extent = metadata.get(EXTENT).and_then(|text| serde_json::from_str(text).ok());
    Ok(Imported { steps, input, metadata, labels, extent, beside: 0, notes })
}

impl Tensors {
    /// Takes a tensor that must be there.
    fn take(&mut self, name: &str) -> Result<Array, WeightProblem> {
        self.arrays.remove(name).ok_or_else(|| self.missing(name))
    }

    fn shape(&self, name: &str) -> Result<&[usize], WeightProblem> {
        self.arrays.get(name).map(Array::shape).ok_or_else(|| self.missing(name))
    }

    fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    fn missing(&self, tensor: &str) -> WeightProblem {
        let names: Vec<_> = self.names.iter().take(3).map(|name| printable(name)).collect();
        WeightProblem::MissingTensor {
            tensor: tensor.to_owned(),
            hint: if names.is_empty() {
                "the file has no tensors at all".to_owned()
            } else {
                format!(
                    "the file has {} tensors: {}, …; every layer of a VGG needs its weight and bias",
                    self.names.len(),
                    names.join(", ")
                )
            },
        }
    }
}

/// The suffixes of a layer's tensors; the last two are batch normalisation's.
const SUFFIXES: [&str; 4] = [".weight", ".bias", ".running_mean", ".running_var"];

fn role(name: &str) -> Option<Role> {
    let layer = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    if let Some(number) = timm::number(layer) {
        return Some(Role::Timm(number));
    }
    let (group, digits) = layer.split_once('.')?;
    let number: u32 = digits.parse().ok()?;
    // One spelling a number, so that no name is looked up under another.
    if number.to_string() != digits {
        return None;
    }
    match group {
        "features" => Some(Role::Feature(number)),
        "classifier" => Some(Role::Classifier(number)),
        _ => None,
    }
}

fn unsupported(tensor: &str, reason: &str) -> WeightProblem {
    WeightProblem::Unsupported { tensor: tensor.to_owned(), reason: reason.to_owned() }
}
