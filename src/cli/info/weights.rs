//! What a weight file holds, and how it was read.

use super::lines::{input_line, metadata_lines};
use crate::cli::exit::Failure;
use crate::network::{Layer, PreprocessingOverrides};
use crate::output::path_text;
use crate::weights::Weights;
use serde_json::{Value, json};
use std::path::Path;

/// Layers, shapes, parameters and preprocessing, and where each comes from.
pub fn describe(path: &Path) -> Result<(Value, Vec<String>), Failure> {
    let weights = Weights::describe(path, &PreprocessingOverrides::default())?;
    let network = weights.network();
    let mut parametric = 0;
    let (mut layers, mut lines, mut parameters) = (Vec::new(), Vec::new(), 0);
    for layer in &network.layers {
        let (name, kind) = match layer {
            Layer::Convolution(convolution) => (convolution.name.as_str(), "convolution 3×3, ReLU"),
            Layer::MaxPool => ("", "max-pool 2×2"),
            Layer::AdaptiveAveragePool { .. } => ("", "adaptive average pool"),
            Layer::Dense(dense) if dense.relu => (dense.name.as_str(), "dense, ReLU"),
            Layer::Dense(dense) => (dense.name.as_str(), "dense"),
        };
        if name.is_empty() {
            layers.push(json!({ "kind": kind }));
            lines.push(format!("  {:<22}{kind}", ""));
            continue;
        }
        let (weight, bias, origins) =
            (weights.weight(parametric), weights.bias(parametric), weights.origins(parametric));
        parametric += 1;
        parameters += weight.len() + bias.len();
        let element = weight.element().to_string();
        layers.push(json!({
            "name": name,
            "kind": kind,
            "shape": weight.shape(),
            "type": element,
            "origins": origins,
        }));
        let shape = format!("{:?} {element}", weight.shape());
        lines.push(match of_other_names(name, origins) {
            Some(origins) => format!("  {name:<22}{kind:<23}{shape:<27} ← {origins}"),
            None => format!("  {name:<22}{kind:<23}{shape}"),
        });
    }
    let preprocessing = network.preprocessing;
    let description = json!({
        "file": path_text(path),
        "kind": "weights",
        "format": weights.format().name(),
        "architecture": network.architecture,
        "outputs": network.outputs(),
        "classifier": network.has_classifier(),
        "labels": weights.labels(),
        "extent": weights.extent().map(|(height, width)| [height, width]),
        "parameters": parameters,
        "preprocessing": weights.has_preprocessing().then(|| preprocessing.to_json()),
        "preprocessing_origin": weights.preprocessing_origin(),
        "notes": weights.notes(),
        "layers": layers,
        "metadata": weights.metadata(),
    });
    let head = if network.has_classifier() { "classes" } else { "channels, headless (no classifier)" };
    let mut text = vec![
        format!("{}: weights of {}, {}", path_text(path), network.architecture, weights.format().title()),
        format!("  {} {head}, {parameters} parameters", network.outputs()),
        if weights.has_preprocessing() {
            input_line(&preprocessing)
        } else {
            "  input: say it with --preprocessing when the network is used".to_owned()
        },
        format!("  input: {}", weights.preprocessing_origin()),
    ];
    if let Some((height, width)) = weights.extent() {
        text.push(format!("  made for images of {height}×{width}"));
    }
    if let Some(labels) = weights.labels() {
        let first: Vec<String> = labels.iter().take(3).map(|label| shown(label)).collect();
        text.push(format!("  labels: {}{}", first.join(", "), if labels.len() > 3 { ", …" } else { "" }));
    }
    text.extend(weights.notes().iter().map(|note| format!("  note: {note}")));
    text.extend(lines);
    text.extend(metadata_lines(
        weights.metadata(),
        &["channel_order", "pixel_scale", "mean", "std", "architecture", "labels"],
    ));
    Ok((description, text))
}

/// What a layer was made of, where that is not said by its name.
fn of_other_names(name: &str, origins: &[String]) -> Option<String> {
    let plain = |(index, origin): (usize, &String)| {
        origin.strip_prefix(name).is_some_and(|suffix| suffix == [".weight", ".bias"][index.min(1)])
    };
    let all_plain = origins.len() == 2 && origins.iter().enumerate().all(plain);
    (!all_plain).then(|| origins.iter().map(|origin| shown(origin)).collect::<Vec<_>>().join(", "))
}

/// Texts of a hostile file stay on their line and off the terminal's controls.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}
