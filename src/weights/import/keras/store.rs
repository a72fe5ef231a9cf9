//! Where a file has the weights of a layer.

use std::fmt;

use super::super::super::error::WeightProblem;
use super::super::Array;
use super::super::hdf5::{Dataset, Group};
use super::config::Layer;
use super::refuse;

/// A weight of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Kernel,
    Bias,
    Gamma,
    Beta,
    MovingMean,
    MovingVariance,
    Mean,
    Variance,
}

/// The weights of a model.
pub(super) struct Store<'a> {
    group: &'a Group<'a>,
    named: bool,
}

impl<'a> Store<'a> {
    /// Of `.h5` files: a group for each layer of the outermost model, whose attribute `weight_names` lists paths from there.
    pub(super) fn named(group: &'a Group<'a>) -> Self {
        Self { group, named: true }
    }

    /// Of `.keras` and `.weights.h5` files: `layers/conv2d_1/vars/0`.
    pub(super) fn numbered(group: &'a Group<'a>) -> Self {
        Self { group, named: false }
    }

    /// A weight of a layer, which Keras numbers so within it.
    ///
    /// # Errors
    /// When the file does not have it.
    pub(super) fn array(
        &self,
        layer: &Layer<'_>,
        number: usize,
        variable: Variable,
    ) -> Result<Array, WeightProblem> {
        let paths = if self.named { self.listed(layer)? } else { self.numbered_paths(layer)? };
        // Names say it best; where they say nothing, the number does.
        let path = paths
            .iter()
            .find(|path| Variable::of(path) == Some(variable))
            .or_else(|| paths.get(number).filter(|path| Variable::of(path).is_none()))
            .ok_or_else(|| refuse(layer.name, format!("the file has no {variable} for it")))?;
        dataset(self.group, path)?.into_array(path)
    }

    /// Paths from the attribute of the outermost layer's group.
    fn listed(&self, layer: &Layer<'_>) -> Result<Vec<String>, WeightProblem> {
        let mut paths = weight_paths(self.group, layer.outermost)?;
        if layer.outermost != layer.name {
            paths.retain(|path| owner(path) == Some(layer.name));
        }
        Ok(paths)
    }

    fn numbered_paths(&self, layer: &Layer<'_>) -> Result<Vec<String>, WeightProblem> {
        let folder = |container: &str| {
            let parts: Vec<String> = layer.path.iter().map(|key| format!("{container}/{key}")).collect();
            format!("{}/vars", parts.join("/"))
        };
        // The second is that of TensorFlow 2.12 to 2.14.
        for container in ["layers", "_layer_checkpoint_dependencies"] {
            let folder = folder(container);
            if self.group.group(&folder)?.is_some() {
                return Ok((0..4).map(|number| format!("{folder}/{number}")).collect());
            }
        }
        Err(refuse(layer.name, "the file has no weights for it"))
    }
}

/// The weights that a layer's group lists, as paths from the group of all layers.
pub(super) fn weight_paths(group: &Group<'_>, layer: &str) -> Result<Vec<String>, WeightProblem> {
    let Some(own) = group.group(layer)? else {
        return Err(refuse(layer, "the file has no weights for it"));
    };
    let names = list(&own, "weight_names")?.unwrap_or_default();
    Ok(names.into_iter().map(|name| format!("{layer}/{name}")).collect())
}

/// A list of texts, which Keras splits where HDF5 could not hold it in one attribute: `name0`, `name1`, …
pub(super) fn list(group: &Group<'_>, attribute: &str) -> Result<Option<Vec<String>>, WeightProblem> {
    const MOST_PARTS: usize = 64;
    if let Some(texts) = group.texts(attribute)? {
        return Ok(Some(texts));
    }
    let mut all = None;
    for part in 0..MOST_PARTS {
        let Some(texts) = group.texts(&format!("{attribute}{part}"))? else { break };
        all.get_or_insert_with(Vec::new).extend(texts);
    }
    Ok(all)
}

/// The layer that a weight belongs to: `block1_conv1` of `vgg16/block1_conv1/kernel:0`.
pub(super) fn owner(path: &str) -> Option<&str> {
    path.rsplit('/').nth(1)
}

/// Looks a dataset up that a file lists.
///
/// # Errors
/// When it is not there.
pub(super) fn dataset<'a>(group: &Group<'a>, path: &str) -> Result<Dataset<'a>, WeightProblem> {
    group.dataset(path)?.ok_or_else(|| {
        WeightProblem::Damaged(format!("the Keras file lists weight {path} and does not have it"))
    })
}

impl fmt::Display for Variable {
    /// Keras's name.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kernel => "kernel",
            Self::Bias => "bias",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::MovingMean => "moving_mean",
            Self::MovingVariance => "moving_variance",
            Self::Mean => "mean",
            Self::Variance => "variance",
        })
    }
}

impl Variable {
    /// From the end of a path: `kernel:0`, or `conv_W_1:0` of Keras 1. `None` where it says nothing, as a number.
    pub(super) fn of(path: &str) -> Option<Self> {
        let last = path.rsplit('/').next().unwrap_or_default();
        let last = last.split(':').next().unwrap_or_default();
        // Keras 1 on TensorFlow added a number where a name was taken.
        let last = last.trim_end_matches(|character: char| character.is_ascii_digit());
        let last = last.strip_suffix('_').unwrap_or(last);
        let ends = |word: &str| {
            last.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with('_'))
        };
        [
            ("kernel", Self::Kernel),
            ("W", Self::Kernel),
            ("bias", Self::Bias),
            ("b", Self::Bias),
            ("gamma", Self::Gamma),
            ("beta", Self::Beta),
            ("moving_mean", Self::MovingMean),
            ("running_mean", Self::MovingMean),
            ("moving_variance", Self::MovingVariance),
            // Keras 1 called the variance so.
            ("running_std", Self::MovingVariance),
            ("mean", Self::Mean),
            ("variance", Self::Variance),
        ]
        .into_iter()
        .find_map(|(word, variable)| ends(word).then_some(variable))
    }
}
