//! The tensors of a network in what was saved: a state_dict, or a training's state that has one in it.

use std::collections::BTreeMap;

use super::super::super::error::WeightProblem;
use super::super::array::Array;
use super::super::state_dict::StateDict;
use super::number::Number;
use super::pickle::{Id, Unpickled, Value};
use super::storages::Storages;
use super::tensors::Arrays;

/// Keys under which training programs put the network's state_dict, those that are tried first in front.
const WRAPPERS: [&str; 8] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights"];

/// Keys and values of a dictionary.
type Items = [(Id, Id)];

/// More tensors than any state_dict of a VGG has: 102 with batch normalisation.
const MOST_TENSORS: usize = 1 << 14;

/// Names in a message.
const NAMED: usize = 8;

/// Counters of batch normalisation, which only training uses.
const COUNTER: &str = "num_batches_tracked";

/// Finds the state_dict and makes arrays of its tensors.
///
/// # Errors
/// When there is none, or a tensor of it cannot be read.
pub(super) fn state_dict(unpickled: &Unpickled<'_>, storages: &Storages) -> Result<StateDict, WeightProblem> {
    let Value::Dictionary(top) = unpickled.value(unpickled.root) else {
        return Err(WeightProblem::Harmful(format!(
            "the file holds {} and no dictionary of tensors; save model.state_dict()",
            unpickled.value(unpickled.root).kind()
        )));
    };
    let mut notes = Vec::new();
    // Beside a network's state_dict a training's state may hold other tensors, such as the best accuracy so far.
    let wrapped = wrapped(unpickled, top).filter(|_| !has_weights(unpickled, top));
    let dictionary = if wrapped.is_none() && has_tensors(unpickled, top) {
        top
    } else {
        let (key, dictionary) = wrapped.ok_or_else(|| without_tensors(unpickled, top))?;
        let others = names(unpickled, top.iter().map(|&(other, _)| other).filter(|&other| other != key));
        if !others.is_empty() {
            notes.push(format!(
                "the tensors are those under {}; not used beside them: {others}",
                name(unpickled, key).unwrap_or_default()
            ));
        }
        dictionary
    };
    let tensors = tensors(unpickled, dictionary, storages, &mut notes)?;
    Ok(StateDict { tensors, notes, ..StateDict::default() })
}

fn has_tensors(unpickled: &Unpickled<'_>, items: &Items) -> bool {
    items.iter().any(|&(_, value)| matches!(unpickled.value(value), Value::Tensor(_)))
}

/// Whether a dictionary has tensors with the names of layers itself.
fn has_weights(unpickled: &Unpickled<'_>, items: &Items) -> bool {
    items.iter().any(|&(key, value)| {
        matches!(unpickled.value(value), Value::Tensor(_))
            && name(unpickled, key).is_some_and(|name| name.ends_with(".weight"))
    })
}

/// The state_dict in a training's state. Of several values under one key the last counts, as in Python: so no dictionary is looked
/// through more than once a key.
fn wrapped<'a>(unpickled: &'a Unpickled<'_>, top: &Items) -> Option<(Id, &'a Items)> {
    WRAPPERS.iter().find_map(|wrapper| {
        let named =
            |key| matches!(unpickled.value(key), Value::Text(span) if unpickled.is_text(span, wrapper));
        let &(key, value) = top.iter().rfind(|&&(key, _)| named(key))?;
        match unpickled.value(value) {
            Value::Dictionary(items) if has_tensors(unpickled, items) => Some((key, items.as_slice())),
            _ => None,
        }
    })
}

fn without_tensors(unpickled: &Unpickled<'_>, top: &Items) -> WeightProblem {
    WeightProblem::Harmful(format!(
        "it holds a dictionary without tensors, at the top as well as under {}; its keys are: {}; save \
         model.state_dict()",
        WRAPPERS.join(", "),
        names(unpickled, top.iter().map(|&(key, _)| key))
    ))
}

fn tensors(
    unpickled: &Unpickled<'_>,
    items: &Items,
    storages: &Storages,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Array>, WeightProblem> {
    let mut arrays = Arrays::new(storages);
    let mut found = BTreeMap::new();
    let (mut ignored, mut rounded) = (Vec::new(), false);
    for &(key, value) in items {
        let Value::Tensor(tensor) = unpickled.value(value) else {
            ignored.push(key);
            continue;
        };
        let Some(name) = name(unpickled, key) else {
            return Err(WeightProblem::Damaged(format!(
                "a tensor of the state_dict is under {}, and names are texts",
                unpickled.value(key).kind()
            )));
        };
        if found.len() >= MOST_TENSORS {
            return Err(WeightProblem::Harmful(format!(
                "the state_dict has more than {MOST_TENSORS} tensors"
            )));
        }
        if name.ends_with(COUNTER) && tensor.number.element().is_none() {
            continue;
        }
        rounded |= tensor.number == Number::Float64;
        let array = arrays.array(&name, tensor, &unpickled.text(&tensor.storage.key))?;
        if let Some(other) = found.insert(name, array) {
            return Err(WeightProblem::Harmful(format!("there are two tensors {}", other.name())));
        }
    }
    if !ignored.is_empty() {
        notes.push(format!("not used, since it is no tensor: {}", names(unpickled, ignored.into_iter())));
    }
    if rounded {
        notes.push("float64 is rounded to float32".to_owned());
    }
    Ok(found)
}

fn name(unpickled: &Unpickled<'_>, key: Id) -> Option<String> {
    match unpickled.value(key) {
        Value::Text(span) => Some(unpickled.text(span)),
        _ => None,
    }
}

/// The first few names, for a message.
fn names(unpickled: &Unpickled<'_>, keys: impl Iterator<Item = Id>) -> String {
    /// Letters of each.
    const SHORT: usize = 60;
    let mut keys = keys.peekable();
    let mut named: Vec<String> = keys
        .by_ref()
        .take(NAMED)
        .map(|key| name(unpickled, key).map_or("…".to_owned(), |name| name.chars().take(SHORT).collect()))
        .collect();
    if keys.peek().is_some() {
        named.push("…".to_owned());
    }
    named.join(", ")
}
