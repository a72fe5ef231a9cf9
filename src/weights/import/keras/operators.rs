//! Arithmetic on a model's input that is written as operators, as `preprocess_input` does within a model.

use std::collections::HashMap;

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::super::Operation;
use super::config::Layer;
use super::refuse;

/// The input of Keras 3's `stack([x[..., 2], x[..., 1], x[..., 0]], axis=-1)`, red and blue exchanged.
pub(super) fn reversed_channels<'a>(
    layers: &'a [Value],
    by_name: &HashMap<&str, usize>,
    stack: &Value,
    inputs: [&str; 3],
) -> Option<&'a str> {
    if stack["class_name"] != "Stack" || stack["config"]["axis"] != -1 {
        return None;
    }
    let mut source = None;
    for (input, channel) in inputs.into_iter().zip([2, 1, 0]) {
        let item = layers.get(*by_name.get(input)?)?;
        // One call of one tensor and an index: [..., channel].
        let [call] = item["inbound_nodes"].as_array()?.as_slice() else { return None };
        let [tensor, index] = call["args"].as_array()?.as_slice() else { return None };
        let [ellipsis, number] = index.as_array()?.as_slice() else { return None };
        let name = tensor["config"]["keras_history"][0].as_str()?;
        let same = *source.get_or_insert(name) == name;
        if item["class_name"] != "GetItem" || !is_ellipsis(ellipsis) || *number != channel || !same {
            return None;
        }
    }
    source
}

/// What an operator does; `None` for a layer that is none.
///
/// # Errors
/// When it is anything but arithmetic with a constant or an exchange of red and blue.
pub(super) fn operation(layer: &Layer<'_>) -> Result<Option<Operation>, WeightProblem> {
    let function = match layer.class {
        "TFOpLambda" | "SlicingOpLambda" => layer.config["function"].as_str().unwrap_or_default(),
        "Add" | "Subtract" | "Multiply" | "TrueDivide" | "Divide" | "GetItem" | "Stack" => layer.class,
        _ => return Ok(None),
    };
    let not_read = || refuse(layer.name, format!("the operator {function} is not read here"));
    // What it is called with: Keras 2 has a reference with keywords, Keras 3 positions and keywords.
    let call = &layer.call[0];
    let (second, keywords) = if call["args"].is_array() {
        (&call["args"][1], &call["kwargs"])
    } else if call[0].is_array() {
        (&Value::Null, &call[0][3])
    } else {
        (&Value::Null, &call[3])
    };
    let constant = || {
        let keyword =
            ["y", "bias", "x2"].into_iter().map(|key| &keywords[key]).find(|value| !value.is_null());
        // A constant on the left has the tensor on the right, where a reference would be.
        numbers(keyword.unwrap_or(second)).ok_or_else(not_read)
    };
    let zeros = |values: &[f64]| vec![0.0; values.len()];
    let affine = |scale: Vec<f64>, shift: Vec<f64>| Ok(Some(Operation::Affine { scale, shift }));
    match function {
        // Chains go through a stack only where it exchanges red and blue.
        "Stack" => Ok(Some(Operation::ReverseChannels)),
        "GetItem" if is_reversal(second) => Ok(Some(Operation::ReverseChannels)),
        "__operators__.getitem" if is_reversal(&keywords["slice_spec"]) => {
            Ok(Some(Operation::ReverseChannels))
        }
        "Add" | "math.add" | "__operators__.add" | "nn.bias_add" => {
            let shift = constant()?;
            affine(vec![1.0; shift.len()], shift)
        }
        "Subtract" | "math.subtract" => {
            let shift: Vec<f64> = constant()?.iter().map(|value| -value).collect();
            affine(vec![1.0; shift.len()], shift)
        }
        "Multiply" | "math.multiply" => {
            let scale = constant()?;
            let shift = zeros(&scale);
            affine(scale, shift)
        }
        "TrueDivide" | "Divide" | "math.truediv" | "math.divide" => {
            let scale: Vec<f64> = constant()?.iter().map(|value| value.recip()).collect();
            let shift = zeros(&scale);
            affine(scale, shift)
        }
        _ => Err(not_read()),
    }
}

/// The numbers of a constant: one, a list, or a tensor with extents of 1 around a list.
pub(super) fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Number(number) => Some(vec![number.as_f64()?]),
        Value::Array(items) => match items.as_slice() {
            [inner @ Value::Array(_)] => numbers(inner),
            items => {
                items.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>().filter(|list| !list.is_empty())
            }
        },
        Value::Object(_) if ["__tensor__", "__numpy__"].iter().any(|class| value["class_name"] == *class) => {
            numbers(&value["config"]["value"])
        }
        _ => None,
    }
}

fn is_ellipsis(value: &Value) -> bool {
    value["class_name"] == "__ellipsis__"
}

/// `[..., ::-1]`.
fn is_reversal(index: &Value) -> bool {
    let Some([ellipsis, slice]) = index.as_array().map(Vec::as_slice) else { return false };
    let slice = if slice["config"].is_object() { &slice["config"] } else { slice };
    let everything = slice["start"].is_null() && slice["stop"].is_null();
    is_ellipsis(ellipsis) && everything && slice["step"] == -1
}
