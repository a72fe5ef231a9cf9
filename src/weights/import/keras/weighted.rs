//! Convolutions and dense layers.

use super::super::super::error::WeightProblem;
use super::super::{Array, DenseAxes, KernelAxes, Operation};
use super::activation::activation;
use super::arguments::{all, read_channels};
use super::config::Layer;
use super::model::Builder;
use super::refuse;
use super::store::{Store, Variable};

pub(super) fn convolution(
    builder: &mut Builder<'_>,
    layer: &Layer<'_>,
    store: &Store<'_>,
) -> Result<(), WeightProblem> {
    let config = layer.config;
    for key in ["strides", "subsample", "dilation_rate", "groups"] {
        if !all(&config[key], 1) {
            return Err(refuse(layer.name, format!("its {key} is {}", config[key])));
        }
    }
    read_channels(builder, layer)?;
    let weight = store.array(layer, 0, Variable::Kernel)?;
    let side = match *weight.shape() {
        [rows, columns, ..] if rows == columns => rows,
        _ => 0,
    };
    let padding = config["padding"].as_str().or_else(|| config["border_mode"].as_str()).unwrap_or("valid");
    let padded = side == 3 && builder.take_padding();
    match (side, padding, padded) {
        (3, "same", false) | (3, "valid", true) | (1, _, _) => {}
        (3, ..) => {
            return Err(refuse(
                layer.name,
                "its map gets smaller or larger: it is not padded by one on each side",
            ));
        }
        _ => return Err(refuse(layer.name, format!("its kernels are not 3×3: {:?}", weight.shape()))),
    }
    let bias = bias(layer, store)?;
    let axes = KernelAxes::RowsColumnsInputsOutputs;
    builder.push_weighted(layer, Operation::Convolution { weight, axes, bias })?;
    activation(builder, layer, &config["activation"])
}

pub(super) fn dense(
    builder: &mut Builder<'_>,
    layer: &Layer<'_>,
    store: &Store<'_>,
) -> Result<(), WeightProblem> {
    if !builder.is_flat() {
        return Err(refuse(
            layer.name,
            "it is applied at each position of a map, which is not flattened before",
        ));
    }
    let weight = store.array(layer, 0, Variable::Kernel)?;
    let bias = bias(layer, store)?;
    builder.push_weighted(layer, Operation::Dense { weight, axes: DenseAxes::InputsOutputs, bias })?;
    activation(builder, layer, &layer.config["activation"])
}

/// Keras 1 says `bias` where later versions say `use_bias`.
fn bias(layer: &Layer<'_>, store: &Store<'_>) -> Result<Option<Array>, WeightProblem> {
    if layer.config["use_bias"] == false || layer.config["bias"] == false {
        return Ok(None);
    }
    store.array(layer, 1, Variable::Bias).map(Some)
}
