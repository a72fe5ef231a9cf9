//! Activations, layers of their own or arguments of others.

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::super::Operation;
use super::arguments::all;
use super::config::Layer;
use super::model::Builder;
use super::refuse;

/// By name, or as an object of Keras's that has one.
pub(super) fn activation(
    builder: &mut Builder<'_>,
    layer: &Layer<'_>,
    value: &Value,
) -> Result<(), WeightProblem> {
    let own = value["config"].as_str().or_else(|| value.as_str());
    match own {
        None if value.is_null() => Ok(()),
        None if value["class_name"] == "ReLU" => relu(builder, layer, &value["config"]),
        Some("linear") => Ok(()),
        Some("relu") => {
            builder.refuse_padding()?;
            builder.push(layer, Operation::Relu);
            Ok(())
        }
        Some(function @ ("softmax" | "log_softmax" | "sigmoid")) => {
            if function == "sigmoid" {
                builder.note(format!(
                    "{} is a sigmoid: probabilities here are those of a softmax instead",
                    layer.name
                ));
            }
            builder.push(layer, Operation::Softmax);
            Ok(())
        }
        _ => Err(refuse(
            layer.name,
            format!("its activation is {}", own.unwrap_or("none of those that are read")),
        )),
    }
}

pub(super) fn relu(
    builder: &mut Builder<'_>,
    layer: &Layer<'_>,
    config: &Value,
) -> Result<(), WeightProblem> {
    if !config["max_value"].is_null() || !all(&config["negative_slope"], 0) || !all(&config["threshold"], 0) {
        return Err(refuse(
            layer.name,
            "it is no plain ReLU: it has a slope, a threshold or a largest value",
        ));
    }
    activation(builder, layer, &Value::from("relu"))
}
