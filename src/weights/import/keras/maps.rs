//! Layers that change the shape of a map.

use super::super::super::error::WeightProblem;
use super::super::{FlattenOrder, Operation};
use super::arguments::{all, channels, read_channels};
use super::config::Layer;
use super::model::{Builder, Channels};
use super::refuse;

/// 2×2 with stride 2, a last odd row or column dropped.
pub(super) fn max_pool(builder: &mut Builder<'_>, layer: &Layer<'_>) -> Result<(), WeightProblem> {
    builder.refuse_padding()?;
    let config = layer.config;
    if !all(&config["pool_size"], 2) || !all(&config["strides"], 2) {
        return Err(refuse(
            layer.name,
            format!(
                "its windows are {} with stride {}, not 2×2 with stride 2",
                config["pool_size"], config["strides"]
            ),
        ));
    }
    if config["padding"] == "same" {
        match builder.grid() {
            Some((rows, columns)) if rows % 2 == 0 && columns % 2 == 0 => builder.note(format!(
                "pool {} pads maps with an odd number of rows or columns, which images of the model's size never have there; \
                 here the last one is dropped",
                layer.name
            )),
            _ => return Err(refuse(layer.name, "it pads maps with an odd number of rows or columns")),
        }
    }
    read_channels(builder, layer)?;
    builder.halve_grid();
    builder.push(layer, Operation::MaxPool);
    Ok(())
}

/// A map becomes a vector.
pub(super) fn flatten(builder: &mut Builder<'_>, layer: &Layer<'_>) -> Result<(), WeightProblem> {
    builder.refuse_padding()?;
    // With channels_first the layer moves the channels to the end before it flattens.
    let order = match (builder.channels(), channels(layer)?) {
        (Channels::Last, Some(Channels::First)) => {
            return Err(refuse(layer.name, "it takes maps for channels_first that are channels_last"));
        }
        (Channels::First, Some(Channels::First)) => FlattenOrder::ChannelsLast,
        (own, _) => in_memory(own),
    };
    builder.flatten(layer, order)
}

/// The order in which the elements of a map lie.
pub(super) fn in_memory(channels: Channels) -> FlattenOrder {
    match channels {
        Channels::First => FlattenOrder::ChannelsFirst,
        Channels::Last => FlattenOrder::ChannelsLast,
    }
}

/// Zeros around a map, for the convolution behind it.
pub(super) fn zero_padding<'a>(builder: &mut Builder<'a>, layer: &Layer<'a>) -> Result<(), WeightProblem> {
    if !all(&layer.config["padding"], 1) {
        return Err(refuse(
            layer.name,
            format!("it pads by {}, not by one on each side", layer.config["padding"]),
        ));
    }
    builder.pad(layer)
}
