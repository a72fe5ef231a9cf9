//! The layers that a configuration lists, models within models flattened.

use std::collections::HashMap;

use serde_json::Value;

use super::super::super::error::WeightProblem;
use super::{chain, refuse};

/// Models within models; tutorials have two.
const DEEPEST: usize = 8;

/// More layers than any VGG has.
const MOST_LAYERS: usize = 1 << 10;

/// A layer of a model, in the order of the forward pass.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// Keras's name for what it does: `Conv2D`.
    pub(super) class: &'a str,
    /// Its own name: `block1_conv1`.
    pub(super) name: &'a str,
    /// Its arguments.
    pub(super) config: &'a Value,
    /// What it is applied to, for operators that are no layers; null in a Sequential model.
    pub(super) call: &'a Value,
    /// The outermost layer that it is in, itself where that is none.
    pub(super) outermost: &'a str,
    /// The names that `.keras` files give it: class by class, numbered in the order of each model.
    pub(super) path: Vec<String>,
}

/// The layers of a model.
///
/// # Errors
/// When the configuration is none, has too many layers, or they are no chain.
pub(super) fn layers(model: &Value) -> Result<Vec<Layer<'_>>, WeightProblem> {
    let mut layers = Vec::new();
    flatten(model, &[], None, &mut layers)?;
    Ok(layers)
}

fn flatten<'a>(
    model: &'a Value,
    path: &[String],
    outermost: Option<&'a str>,
    layers: &mut Vec<Layer<'a>>,
) -> Result<(), WeightProblem> {
    let (class, name) = (class(model), name(model));
    if path.len() == DEEPEST {
        return Err(refuse(name, format!("it is a model within {DEEPEST} others")));
    }
    let Some(members) = members(model) else {
        return Err(refuse(name, format!("{class} is no model that lists its layers")));
    };
    if members.len() > MOST_LAYERS {
        return Err(refuse(name, format!("it has {} layers", members.len())));
    }
    let keys = keys(members);
    let order = if class == "Sequential" {
        (0..members.len()).collect()
    } else {
        chain::order(name, members, &model["config"])?
    };
    for index in order {
        let (Some(member), Some(key)) = (members.get(index), keys.get(index)) else { continue };
        let own = self::name(member);
        let outermost = outermost.unwrap_or(own);
        let mut path = path.to_vec();
        path.push(key.clone());
        if self::members(member).is_some() {
            flatten(member, &path, Some(outermost), layers)?;
        } else {
            layers.push(Layer {
                class: self::class(member),
                name: own,
                config: &member["config"],
                call: &member["inbound_nodes"],
                outermost,
                path,
            });
        }
        if layers.len() > MOST_LAYERS {
            return Err(refuse(own, format!("it is the {MOST_LAYERS}th layer")));
        }
    }
    Ok(())
}

/// The layers of a model; `None` for a layer that is none. The oldest Sequential models are a list and nothing else.
fn members(layer: &Value) -> Option<&Vec<Value>> {
    let config = &layer["config"];
    config["layers"].as_array().or_else(|| config.as_array())
}

fn class(layer: &Value) -> &str {
    layer["class_name"].as_str().unwrap_or("a layer without a class")
}

/// The name of a layer.
pub(super) fn name(layer: &Value) -> &str {
    [&layer["config"]["name"], &layer["name"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or("a layer without a name")
}

/// Keras does not trust names that users may have left to it, and numbers the layers of each class.
fn keys(members: &[Value]) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    members
        .iter()
        .map(|member| {
            let class = snake_case(class(member));
            let count = seen.entry(class.clone()).or_default();
            let key = if *count == 0 { class } else { format!("{class}_{count}") };
            *count += 1;
            key
        })
        .collect()
}

/// `keras.src.utils.naming.to_snake_case`: an underscore before a capital that small letters follow, and before one that
/// follows a small letter.
fn snake_case(name: &str) -> String {
    let characters: Vec<char> =
        name.chars().filter(|character| character.is_alphanumeric() || *character == '_').collect();
    let mut out = String::new();
    for (index, character) in characters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| characters.get(index));
        let after = characters.get(index + 1);
        if let Some(before) = before
            && character.is_ascii_uppercase()
            && *before != '_'
            && (before.is_ascii_lowercase() || after.is_some_and(char::is_ascii_lowercase))
        {
            out.push('_');
        }
        out.extend(character.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn classes_are_named_as_keras_does() {
        let names = [
            ("Conv2D", "conv2d"),
            ("MaxPooling2D", "max_pooling2d"),
            ("ReLU", "re_lu"),
            ("BatchNormalization", "batch_normalization"),
            ("TFOpLambda", "tf_op_lambda"),
            ("Dense", "dense"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ];
        for (class, key) in names {
            assert_eq!(snake_case(class), key);
        }
    }
}
