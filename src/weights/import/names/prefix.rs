//! What other programs put before torchvision's names: `module.` (DataParallel), `timm_model.` (transformers), `backbone.`.

use std::collections::BTreeMap;

use super::super::super::error::{WeightProblem, printable};
use super::super::array::Array;
use super::unsupported;

const FIRST: &str = "features.0.weight";

/// Takes the prefix of the first convolution off all names that have it.
pub(super) fn strip(
    tensors: BTreeMap<String, Array>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Array>, WeightProblem> {
    if tensors.contains_key(FIRST) {
        return Ok(tensors);
    }
    // The features alone, saved as the module that they are.
    let is_numbered = |name: &String| name.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    if tensors.contains_key("0.weight") && tensors.keys().all(is_numbered) {
        return Ok(tensors.into_iter().map(|(name, array)| (format!("features.{name}"), array)).collect());
    }
    let mut prefixes = tensors
        .keys()
        .filter_map(|name| name.strip_suffix(FIRST))
        .filter(|prefix| prefix.ends_with('.'))
        .map(str::to_owned);
    let Some(prefix) = prefixes.next() else { return Ok(tensors) };
    if let Some(other) = prefixes.next() {
        let reason = format!("there is a network below {} too; save one of them alone", printable(&prefix));
        return Err(unsupported(&format!("{other}{FIRST}"), &reason));
    }
    let mut stripped = BTreeMap::new();
    for (name, array) in tensors {
        let short = name.strip_prefix(&prefix).unwrap_or(&name).to_owned();
        if stripped.insert(short, array).is_some() {
            let reason = format!("there is one without {} too", printable(&prefix));
            return Err(unsupported(&name, &reason));
        }
    }
    notes.push(format!("names are read without their prefix {}", printable(&prefix)));
    Ok(stripped)
}
