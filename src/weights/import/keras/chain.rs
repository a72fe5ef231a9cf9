//! The order of a Functional model's layers: from its output back to its input.

use std::collections::HashMap;

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::config::name;
use super::{operators, refuse};

/// Indices of the layers in the order of the forward pass.
///
/// # Errors
/// When the model has several inputs or outputs, or a layer has, or their connections are damaged.
pub(super) fn order(model: &str, layers: &[Value], config: &Value) -> Result<Vec<usize>, WeightProblem> {
    let mut by_name = HashMap::new();
    for (index, layer) in layers.iter().enumerate() {
        if by_name.insert(name(layer), index).is_some() {
            return Err(WeightProblem::Damaged(format!(
                "two layers of the Keras model are named {}",
                name(layer)
            )));
        }
    }
    let [output] = references(&config["output_layers"])[..] else {
        return Err(refuse(model, "the model has several outputs, or none"));
    };
    let mut order = Vec::new();
    let mut current = output;
    loop {
        let (index, layer) =
            by_name.get(current).and_then(|&index| Some((index, layers.get(index)?))).ok_or_else(|| {
                WeightProblem::Damaged(format!("layer {current} of the Keras model is not listed"))
            })?;
        order.push(index);
        if order.len() > layers.len() {
            return Err(WeightProblem::Damaged(format!(
                "the layers of the Keras model go round in circles at {current}"
            )));
        }
        let calls = layer["inbound_nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let call = match calls {
            [] if layer["class_name"] == "InputLayer" => break,
            [call] => call,
            // The oldest format: one call is a list of references.
            _ => return Err(refuse(current, format!("it is used {} times", calls.len()))),
        };
        current = match references(call)[..] {
            [input] => input,
            [first, second, third] => {
                operators::reversed_channels(layers, &by_name, layer, [first, second, third])
                    .ok_or_else(|| refuse(current, "it has 3 inputs, and only chains of layers are read"))?
            }
            ref inputs => {
                return Err(refuse(
                    current,
                    format!("it has {} inputs, and only chains of layers are read", inputs.len()),
                ));
            }
        };
    }
    order.reverse();
    Ok(order)
}

/// The names of the layers whose outputs are referred to: `["name", 0, 0, {…}]` or Keras 3's `keras_history`.
fn references(value: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found
}

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => match &items[..] {
            [Value::String(name), Value::Number(_), Value::Number(_), ..] => found.push(name),
            // Nesting was bounded when the text was parsed.
            items => items.iter().for_each(|item| collect(item, found)),
        },
        Value::Object(fields) => {
            if let Some(name) = value["config"]["keras_history"][0].as_str() {
                found.push(name);
            } else {
                fields.values().for_each(|field| collect(field, found));
            }
        }
        _ => {}
    }
}
