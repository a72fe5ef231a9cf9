//! What layers have in common among their arguments.

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::config::Layer;
use super::model::{Builder, Channels};
use super::refuse;

/// Whether a number, or each of a list of lists, is this one; what is not said is.
pub(super) fn all(value: &Value, number: i64) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(|item| all(item, number)),
        value => value.as_f64() == Some(number as f64),
    }
}

/// A number of rows or columns.
pub(super) fn extent(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|extent| usize::try_from(extent).ok()).filter(|&extent| extent > 0)
}
pub(super) fn channels(layer: &Layer<'_>) -> Result<Option<Channels>, WeightProblem> {
    let stated = layer.config["data_format"].as_str().or_else(|| layer.config["dim_ordering"].as_str());
    match stated {
        None => Ok(None),
        Some("channels_last" | "tf") => Ok(Some(Channels::Last)),
        Some("channels_first" | "th") => Ok(Some(Channels::First)),
        Some(other) => Err(refuse(layer.name, format!("its data_format is {other}"))),
    }
}

/// Layers that say how their maps lie, and must agree.
pub(super) fn read_channels(builder: &mut Builder<'_>, layer: &Layer<'_>) -> Result<(), WeightProblem> {
    if let Some(channels) = channels(layer)? {
        builder.set_channels(channels);
    }
    Ok(())
}
