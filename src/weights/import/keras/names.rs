//! Files of weights alone: what the names of layers and the shapes of weights tell.

use super::super::super::error::WeightProblem;
use super::super::hdf5::Group;
use super::super::{Array, Imported};
use super::arrange::arrange;
use super::refuse;
use super::store::{Variable, dataset, list, owner, weight_paths};

/// Models within models.
const DEEPEST: usize = 8;

/// More layers than any VGG has.
const MOST_LAYERS: usize = 1 << 10;

/// What a user can do instead.
pub(super) const SAVE_ALL: &str =
    "a file of weights alone does not say how; save the whole model with model.save";

/// A layer that a file names.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether it is of a model within this one.
    pub(super) nested: bool,
}

/// What a layer does.
pub(super) enum Role {
    /// \[rows, columns, inputs, outputs\].
    Convolution {
        weight: Array,
        bias: Option<Array>,
    },
    /// \[inputs, outputs\].
    Dense {
        weight: Array,
        bias: Option<Array>,
    },
    MaxPool,
    GlobalAverage,
    /// Nothing when the network is used, or said by others.
    Nothing,
}

/// Reads a file of weights.
///
/// # Errors
/// When its names and shapes do not make a VGG.
pub(super) fn read(group: &Group<'_>) -> Result<Imported, WeightProblem> {
    let mut found = Vec::new();
    if let Some(layers) = list(group, "layer_names")? {
        if layers.len() > MOST_LAYERS {
            return Err(WeightProblem::Harmful(format!(
                "the Keras file lists {} layers, more than {MOST_LAYERS}",
                layers.len()
            )));
        }
        for layer in &layers {
            listed(group, layer, &mut found)?;
        }
    } else if !numbered(group, 0, &mut found)? {
        return Err(WeightProblem::Harmful(
            "the HDF5 file is none of Keras's: it has no model_config, no layer_names and no layers"
                .to_owned(),
        ));
    }
    arrange(found)
}

/// The layers of an entry of `layer_names`: one, or those of a model.
fn listed(group: &Group<'_>, layer: &str, found: &mut Vec<Found>) -> Result<(), WeightProblem> {
    let paths = weight_paths(group, layer)?;
    if paths.is_empty() {
        found.push(Found { name: layer.to_owned(), role: without_weights(layer)?, nested: false });
        return Ok(());
    }
    let mut owners: Vec<&str> = Vec::new();
    for path in &paths {
        let owner = owner(path).unwrap_or(layer);
        if !owners.contains(&owner) {
            owners.push(owner);
        }
        if found.len() + owners.len() > MOST_LAYERS {
            return Err(refuse(owner, format!("it is the {MOST_LAYERS}th layer")));
        }
    }
    let nested = owners.len() > 1;
    for owner_name in owners {
        let own = |variable| {
            paths.iter().find(|path| owner(path) == Some(owner_name) && Variable::of(path) == Some(variable))
        };
        let Some(kernel) = own(Variable::Kernel) else {
            return Err(refuse(
                owner_name,
                format!("it has weights that are no kernel, as batch normalisation has; {SAVE_ALL}"),
            ));
        };
        found.push(Found { nested, ..with_weights(group, owner_name, kernel, own(Variable::Bias))? });
    }
    Ok(())
}

/// The layers of a group of Keras 3, `layers/conv2d_1/vars/0`; false when it has none.
///
/// They are in the order of their names, and numbered within their class only.
fn numbered(group: &Group<'_>, depth: usize, found: &mut Vec<Found>) -> Result<bool, WeightProblem> {
    let Some(container) = ["layers", "_layer_checkpoint_dependencies"]
        .into_iter()
        .find_map(|name| group.group(name).transpose())
        .transpose()?
    else {
        return Ok(false);
    };
    if depth == DEEPEST {
        return Err(refuse(group.name(), format!("it is a model within {DEEPEST} others")));
    }
    let mut keys: Vec<(String, usize, String)> = container
        .groups()?
        .into_iter()
        .map(|key| {
            let (class, number) = match key.rsplit_once('_') {
                Some((class, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    (class, digits.parse().unwrap_or(usize::MAX))
                }
                _ => (key.as_str(), 0),
            };
            (class.to_owned(), number, key)
        })
        .collect();
    if keys.len() > MOST_LAYERS {
        return Err(refuse(group.name(), format!("it has {} layers", keys.len())));
    }
    // Convolutions before dense layers, and a model within this one before what was put on top of it.
    keys.sort_by_key(|(class, number, _)| (rank(class), class.clone(), *number));
    for (class, _, key) in keys {
        let Some(layer) = container.group(&key)? else { continue };
        if numbered(&layer, depth + 1, found)? {
            continue;
        }
        let variables = layer.group("vars")?;
        let name = match &variables {
            Some(variables) => variables.texts("name")?.and_then(|texts| texts.into_iter().next()),
            None => None,
        }
        .unwrap_or_else(|| key.clone());
        let path = |number: usize| format!("{key}/vars/{number}");
        let has = |number: usize| container.dataset(&path(number)).map(|dataset| dataset.is_some());
        let role = match class.as_str() {
            "conv2d" | "dense" => {
                let bias = has(1)?.then(|| path(1));
                found.push(with_weights(&container, &name, &path(0), bias.as_ref())?);
                continue;
            }
            "global_average_pooling2d" => Role::GlobalAverage,
            _ if has(0)? => {
                return Err(refuse(&name, format!("it has weights and is of class {class}; {SAVE_ALL}")));
            }
            // Where the pools are is told by the convolutions' names.
            "max_pooling2d" => Role::Nothing,
            class => without_weights(class)?,
        };
        found.push(Found { name, role, nested: false });
        if found.len() > MOST_LAYERS {
            return Err(refuse(group.name(), format!("it has more than {MOST_LAYERS} layers")));
        }
    }
    Ok(true)
}

/// Models, then convolutions, then what reduces their map, then dense layers.
fn rank(class: &str) -> usize {
    match class {
        "functional" | "sequential" => 0,
        "conv2d" => 1,
        "dense" => 3,
        _ => 2,
    }
}

fn with_weights(
    group: &Group<'_>,
    name: &str,
    kernel: &str,
    bias: Option<&String>,
) -> Result<Found, WeightProblem> {
    let weight = dataset(group, kernel)?.into_array(kernel)?;
    let bias = bias.map(|path| dataset(group, path)?.into_array(path)).transpose()?;
    let role = match *weight.shape() {
        [3, 3, _, _] | [1, 1, _, _] => Role::Convolution { weight, bias },
        [_, _] => Role::Dense { weight, bias },
        [_, _, 3, 3] => {
            return Err(refuse(
                name,
                "its kernels are in Theano's order, outputs first; take the file for TensorFlow",
            ));
        }
        _ => return Err(refuse(name, format!("its weight has shape {:?}", weight.shape()))),
    };
    Ok(Found { name: name.to_owned(), role, nested: false })
}

/// What a layer without weights is, from its name.
fn without_weights(name: &str) -> Result<Role, WeightProblem> {
    let lower = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let starts = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    if has(&["global_average", "global_avg"]) {
        Ok(Role::GlobalAverage)
    } else if has(&["pool"]) && !has(&["average", "avg", "global"]) {
        Ok(Role::MaxPool)
    } else if has(&["flatten"])
        || starts(&[
            "input",
            "dropout",
            "activation",
            "re_lu",
            "softmax",
            "zero_padding",
            "zeropadding",
            "random",
        ])
    {
        Ok(Role::Nothing)
    } else {
        Err(refuse(name, format!("it does something without weights; {SAVE_ALL}")))
    }
}
