//! What a pattern file holds.

use super::lines::{metadata_lines, run_lines};
use crate::cli::report;
use crate::output::path_text;
use crate::patterns::{Component, Report};
use crate::weights::TensorFile;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A file that holds patterns rather than weights, by the names of its tensors.
pub fn is_one(file: &TensorFile) -> bool {
    file.names().any(|name| component_of(name).is_some())
}

fn component_of(name: &str) -> Option<Component> {
    let (_, last) = name.rsplit_once('.')?;
    Component::ALL.into_iter().find(|component| component.name() == last)
}

/// Its estimators, tensors and report.
pub fn describe(path: &Path, file: &TensorFile) -> (Value, Vec<String>) {
    let mut lines = Vec::new();
    let mut tensors = Vec::new();
    for tensor in file.descriptions() {
        tensors.push(json!({ "name": tensor.name, "shape": tensor.shape, "type": tensor.element }));
        lines.push(format!("  {:<28}{:?} {}", tensor.name, tensor.shape, tensor.element));
    }
    let held: Vec<&str> = Component::ALL
        .into_iter()
        .filter(|&component| file.names().any(|name| component_of(name) == Some(component)))
        .map(Component::name)
        .collect();
    let report = file.metadata().get("report").and_then(|text| Report::parse(text));
    let description = json!({
        "file": path_text(path),
        "kind": "patterns",
        "estimators": held,
        "tensors": tensors,
        "report": report,
        "metadata": file.metadata(),
    });
    let mut text = vec![format!("{}: patterns ({})", path_text(path), held.join(", "))];
    // The table has the positions too.
    let run = file.metadata().get("run").and_then(|text| serde_json::from_str::<Map<_, _>>(text).ok());
    let shown: Vec<&str> = std::iter::once("fingerprint")
        .chain(report.iter().flat_map(|_| ["positions", "report"]))
        .chain(run.iter().map(|_| "run"))
        .collect();
    text.extend(metadata_lines(file.metadata(), &shown));
    text.extend(run.iter().flat_map(run_lines));
    text.extend(lines);
    text.extend(report.iter().flat_map(report::lines));
    (description, text)
}
