//! What a layer of Keras is here.

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::super::{FlattenOrder, Operation};
use super::activation::{activation, relu};
use super::arguments::extent;
use super::config::Layer;
use super::maps::{flatten, in_memory, max_pool, zero_padding};
use super::model::{Builder, Channels};
use super::normalisation::{affine, batch_normalisation, normalization};
use super::store::Store;
use super::weighted::{convolution, dense};
use super::{operators, refuse};

/// Adds a layer to the network.
///
/// # Errors
/// When it is none of a VGG's, or the file does not have its weights.
pub(super) fn add<'a>(
    builder: &mut Builder<'a>,
    layer: &Layer<'a>,
    store: &Store<'_>,
) -> Result<(), WeightProblem> {
    let config = layer.config;
    read_input(builder, layer)?;
    match layer.class {
        "Conv2D" | "Convolution2D" => convolution(builder, layer, store),
        "Dense" => dense(builder, layer, store),
        "BatchNormalization" => batch_normalisation(builder, layer, store),
        "Activation" => activation(builder, layer, &config["activation"]),
        "ReLU" => relu(builder, layer, config),
        "Softmax" => activation(builder, layer, &Value::from("softmax")),
        "MaxPooling2D" | "MaxPool2D" => max_pool(builder, layer),
        "GlobalAveragePooling2D" | "GlobalAvgPool2D" => {
            builder.refuse_padding()?;
            builder.average(layer);
            if config["keepdims"] != true {
                builder.flatten(layer, FlattenOrder::ChannelsFirst)?;
            }
            Ok(())
        }
        "Flatten" => flatten(builder, layer),
        "Reshape" if config["target_shape"].as_array().is_some_and(|shape| shape.len() == 1) => {
            builder.refuse_padding()?;
            builder.flatten(layer, in_memory(builder.channels()))
        }
        "ZeroPadding2D" => zero_padding(builder, layer),
        "Rescaling" => {
            let number = |key: &str, otherwise| match &config[key] {
                Value::Null => Ok(vec![otherwise]),
                value => operators::numbers(value)
                    .ok_or_else(|| refuse(layer.name, format!("its {key} is {value}"))),
            };
            affine(builder, layer, number("scale", 1.0)?, number("offset", 0.0)?)
        }
        "Normalization" => normalization(builder, layer, store),
        "Resizing" => match (extent(&config["height"]), extent(&config["width"])) {
            (Some(rows), Some(columns)) => builder.resize(layer, (rows, columns)),
            _ => Err(refuse(layer.name, "it does not say what it resizes to")),
        },
        "InputLayer"
        | "Dropout"
        | "SpatialDropout2D"
        | "GaussianDropout"
        | "GaussianNoise"
        | "AlphaDropout"
        | "ActivityRegularization"
        | "Identity" => Ok(()),
        // Layers that enlarge the training set; when a network is used they return what they get.
        class if class.starts_with("Random") && class != "RandomCrop" => Ok(()),
        class => match operators::operation(layer)? {
            Some(Operation::Affine { scale, shift }) => affine(builder, layer, scale, shift),
            // An index of the last axis, which are columns where channels come first.
            Some(Operation::ReverseChannels) if builder.channels() == Channels::First => {
                Err(refuse(layer.name, "it mirrors the image"))
            }
            Some(operation) => {
                builder.prepare(layer, operation);
                Ok(())
            }
            None => Err(refuse(layer.name, format!("layers of class {class} are not read"))),
        },
    }
}

/// The size of the images, which Keras notes at whatever layer comes first.
fn read_input(builder: &mut Builder<'_>, layer: &Layer<'_>) -> Result<(), WeightProblem> {
    let config = layer.config;
    let shape = [&config["batch_shape"], &config["batch_input_shape"]].into_iter().find_map(Value::as_array);
    let Some([_, first, second, third]) = shape.map(Vec::as_slice) else { return Ok(()) };
    let colours = |value: &Value| value.is_null() || *value == 3;
    let (rows, columns) = if colours(third) {
        (first, second)
    } else if colours(first) {
        builder.set_channels(Channels::First);
        (second, third)
    } else {
        return Err(refuse(layer.name, format!("images have {third} channels, and 3 are read")));
    };
    if let (Some(rows), Some(columns)) = (extent(rows), extent(columns)) {
        builder.set_extent((rows, columns));
    }
    Ok(())
}
