//! Layers that multiply and add: batch normalisation, and what prepares pixels.

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::super::{Array, Operation};
use super::arguments::all;
use super::config::Layer;
use super::model::{Builder, Channels};
use super::store::{Store, Variable};
use super::{operators, refuse};

pub(super) fn batch_normalisation(
    builder: &mut Builder<'_>,
    layer: &Layer<'_>,
    store: &Store<'_>,
) -> Result<(), WeightProblem> {
    builder.refuse_padding()?;
    let config = layer.config;
    let axis = match &config["axis"] {
        Value::Null => -1,
        value => value[0].as_i64().or_else(|| value.as_i64()).unwrap_or_default(),
    };
    let over_channels = match (builder.is_flat(), builder.channels()) {
        (true, _) => [-1, 1].contains(&axis),
        (false, Channels::Last) => [-1, 3].contains(&axis),
        (false, Channels::First) => [-3, 1].contains(&axis),
    };
    if !over_channels || !all(&config["mode"], 0) {
        return Err(refuse(layer.name, format!("it normalises along axis {axis}, not over each channel")));
    }
    let mut number = 0;
    let mut values = |variable| -> Result<Vec<f64>, WeightProblem> {
        let array = store.array(layer, number, variable)?;
        number += 1;
        one_dimension(layer, array)
    };
    let gamma = (config["scale"] != false).then(|| values(Variable::Gamma)).transpose()?;
    let beta = (config["center"] != false).then(|| values(Variable::Beta)).transpose()?;
    let mean = values(Variable::MovingMean)?;
    let variance = values(Variable::MovingVariance)?;
    let epsilon = config["epsilon"].as_f64().unwrap_or(1e-3);
    let same = |other: &[f64]| other.len() == mean.len();
    if !same(&variance) || [&gamma, &beta].into_iter().flatten().any(|other| !same(other)) {
        return Err(refuse(layer.name, "its weights are of different lengths"));
    }
    let operation =
        Operation::batch_normalisation(gamma.as_deref(), beta.as_deref(), &mean, &variance, epsilon);
    builder.push(layer, operation);
    Ok(())
}

/// (x − μ) / σ over colours: `keras.layers.Normalization`.
pub(super) fn normalization<'a>(
    builder: &mut Builder<'a>,
    layer: &Layer<'a>,
    store: &Store<'_>,
) -> Result<(), WeightProblem> {
    let config = layer.config;
    let axis = config["axis"][0].as_i64().or_else(|| config["axis"].as_i64());
    if config["invert"] == true
        || !matches!(axis, None | Some(-1 | 3))
        || builder.channels() == Channels::First
    {
        return Err(refuse(layer.name, "it does not normalise each colour of channels-last images"));
    }
    let values = |key: &str, number, variable| match &config[key] {
        Value::Null => one_dimension(layer, store.array(layer, number, variable)?),
        value => operators::numbers(value).ok_or_else(|| refuse(layer.name, format!("its {key} is {value}"))),
    };
    let mean = values("mean", 0, Variable::Mean)?;
    let variance = values("variance", 1, Variable::Variance)?;
    // keras.config.epsilon() bounds the standard deviation from below.
    let scale: Vec<f64> = variance.iter().map(|variance| variance.sqrt().max(1e-7).recip()).collect();
    if mean.len() != scale.len() {
        return Err(refuse(layer.name, "its mean and variance are of different lengths"));
    }
    let shift = mean.iter().zip(&scale).map(|(mean, scale)| -mean * scale).collect();
    affine(builder, layer, scale, shift)
}

/// Values one a channel, or one in all.
pub(super) fn affine<'a>(
    builder: &mut Builder<'a>,
    layer: &Layer<'a>,
    mut scale: Vec<f64>,
    mut shift: Vec<f64>,
) -> Result<(), WeightProblem> {
    builder.refuse_padding()?;
    match (scale.len(), shift.len()) {
        (left, right) if left == right => {}
        (1, length) => scale = vec![scale.iter().sum(); length],
        (length, 1) => shift = vec![shift.iter().sum(); length],
        _ => return Err(refuse(layer.name, "its factors and summands are of different numbers")),
    }
    if scale.iter().chain(&shift).any(|value| !value.is_finite()) {
        return Err(refuse(layer.name, "its factors are not finite"));
    }
    builder.prepare(layer, Operation::Affine { scale, shift });
    Ok(())
}

fn one_dimension(layer: &Layer<'_>, array: Array) -> Result<Vec<f64>, WeightProblem> {
    /// More channels than any layer has.
    const MOST: usize = 1 << 20;
    // Keras's Normalization layer had extents of 1 around its one.
    if array.len() > MOST || array.shape().iter().filter(|&&extent| extent != 1).count() > 1 {
        return Err(refuse(layer.name, format!("its weight {} has shape {:?}", array.name(), array.shape())));
    }
    array.into_float64()
}
