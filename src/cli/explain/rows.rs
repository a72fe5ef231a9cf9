//! What is noted of an image, and told.

use super::Options;
use crate::cli::images::input_name;
use crate::explain::{Explained, Kind, Target};
use crate::images::{InputImage, Rgb8};
use crate::output::manifest::Row;
use crate::output::{Explanation, MethodFiles, Rendering};

/// What is written of an image.
pub fn explanations(image: &Rgb8, explained: &mut Explained) -> Vec<Explanation> {
    std::mem::take(&mut explained.explanations)
        .into_iter()
        .map(|explanation| Explanation {
            method: explanation.method.to_string(),
            rendering: match explanation.method.kind() {
                Kind::Signal => Rendering::Signal,
                Kind::Attribution => Rendering::HeatMap,
            },
            height: image.height,
            width: image.width,
            values: explanation.values,
            scale_log2: explanation.scale_log2,
        })
        .collect()
}

/// The row of an image that was explained.
pub fn row(options: &Options, input: &InputImage, explained: Explained, files: Vec<MethodFiles>) -> Row {
    let mut row = Row::explained(input_name(input), files);
    row.target = Some(explained.target as u64);
    row.label = explained.label;
    if options.target == Target::Key {
        row.key = input.target.clone();
    }
    row.response = Some(f64::from(explained.response));
    row.probability = explained.probability;
    row
}

/// A row for people.
pub fn describe(row: &Row) -> String {
    let target = row.target.map_or_else(String::new, |target| target.to_string());
    let label = row.label.as_deref().map_or_else(String::new, |label| format!(" ({label})"));
    let response = match (row.probability, row.response) {
        (Some(probability), _) => format!(", probability {probability:.4}"),
        (None, Some(response)) => format!(", response {response:.4}"),
        (None, None) => String::new(),
    };
    format!("{}: target {target}{label}{response}", row.input)
}
