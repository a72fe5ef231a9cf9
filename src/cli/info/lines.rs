//! Lines that several kinds of files share.

use crate::network::Preprocessing;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a run was, a line for each of its options.
pub fn run_lines(run: &Map<String, Value>) -> Vec<String> {
    let head = if run.is_empty() { "  run: not described" } else { "  run:" };
    // JSON escapes most control characters, but not all of them.
    let shown =
        |text: &str| text.chars().filter(|character| !character.is_control()).take(160).collect::<String>();
    let lines = run.iter().map(|(key, value)| format!("    {}: {}", shown(key), shown(&value.to_string())));
    std::iter::once(head.to_owned()).chain(lines).collect()
}

/// How an image becomes the input.
pub fn input_line(preprocessing: &Preprocessing) -> String {
    format!(
        "  input ({}): (u8 · {}/255 − {:?}) / {:?}",
        preprocessing.channel_order, preprocessing.pixel_scale, preprocessing.mean, preprocessing.std
    )
}

/// The metadata that were not shown otherwise, shortened.
pub fn metadata_lines(metadata: &BTreeMap<String, String>, shown: &[&str]) -> Vec<String> {
    let unshown = metadata.iter().filter(|(key, _)| !shown.contains(&key.as_str()));
    unshown
        .map(|(key, value)| {
            // Debug formatting keeps control characters of a hostile file off the terminal.
            let value: String = value.chars().take(160).collect();
            format!("  {key:?}: {value:?}")
        })
        .collect()
}
