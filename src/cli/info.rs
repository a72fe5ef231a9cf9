//! `vggx info`: this build and its devices, or the contents of a file.

use super::exit::{Failure, Outcome, print};
use super::report;
use crate::backend::cuda::device::{Device, DeviceDescription, DeviceError, devices};
use crate::backend::{cpu, cuda};
use crate::network::{Layer, Preprocessing, PreprocessingOverrides};
use crate::output::path_text;
use crate::patterns::{Component, LayerSource, MomentFile, Report};
use crate::setup::why_not;
use crate::weights::{TensorFile, Weights, bundled};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// A weight, pattern or moment file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Describes the build or a file.
pub fn run(options: &Options) -> Result<Outcome, Failure> {
    let (description, text) = match &options.file {
        None => build(),
        Some(path) => {
            let file = TensorFile::open(path)?;
            if MomentFile::is_one(&file) {
                moments(path)?
            } else if is_pattern_file(&file) {
                patterns(path, &file)
            } else {
                weights(path)?
            }
        }
    };
    print(if options.json { description.to_string() } else { text.join("\n") }.as_str())?;
    Ok(Outcome::Done)
}

fn build() -> (Value, Vec<String>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = |path: Option<PathBuf>| path.as_deref().map(path_text);
    let (weights, patterns) = (found(bundled::weights()), found(bundled::patterns()));
    let (cuda, cuda_lines) = cuda();
    let description = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cuda": cuda,
        "cpu": { "threads": threads, "instructions": cpu::instructions() },
        "weights": weights,
        "patterns": patterns,
    });
    let shown = |path: &Option<String>| {
        path.clone().unwrap_or_else(|| "not found (see --weights, VGGX_DATA)".to_owned())
    };
    let mut text = vec![format!("vggx {}", env!("CARGO_PKG_VERSION"))];
    text.extend(cuda_lines);
    text.extend([
        format!("CPU       {threads} threads, {}", cpu::instructions()),
        format!("weights   {}", shown(&weights)),
        format!("patterns  {}", shown(&patterns)),
    ]);
    (description, text)
}

/// What was compiled for CUDA, and the devices of this machine.
fn cuda() -> (Value, Vec<String>) {
    let architectures = cuda::architectures();
    let compiled = match architectures {
        [] => "no kernels in this build (built without nvcc)".to_owned(),
        architectures => format!("compiled for {}", architectures.join(", ")),
    };
    let mut lines = vec![format!("CUDA      {compiled}")];
    let (found, reason) = match devices() {
        Ok(found) => (found, None),
        Err(error) => (Vec::new(), Some(why_not(&error.into()))),
    };
    lines.extend(reason.iter().map(|reason| format!("          no devices: {reason}")));
    let found: Vec<Value> = found
        .iter()
        .map(|device| {
            let (value, line) = describe(device);
            lines.push(line);
            value
        })
        .collect();
    (json!({ "architectures": architectures, "devices": found, "reason": reason }), lines)
}

/// A device, and what it computes with or why it cannot. Only opening it shows whether the kernels run on it.
fn describe(device: &DeviceDescription) -> (Value, String) {
    let usable = match cuda::architectures() {
        [] => Err(DeviceError::NoKernels),
        _ => Device::open(device.index).map(|_| cuda::path(device)),
    };
    let reason = usable.as_ref().err().map(|error| why_not(&error.clone().into()));
    let path = usable.ok();
    let (major, minor) = device.capability;
    let description = json!({
        "device": format!("cuda:{}", device.index),
        "name": device.name,
        "compute_capability": format!("{major}.{minor}"),
        "memory": device.memory,
        "multiprocessors": device.multiprocessors,
        "driver": device.driver.to_string(),
        "path": path,
        "reason": reason,
    });
    let path = path.map_or_else(|| format!("cannot be used: {}", reason.unwrap_or_default()), str::to_owned);
    (
        description,
        format!(
            "  {:<8}{device}, driver for CUDA {}; {path}",
            format!("cuda:{}", device.index),
            device.driver
        ),
    )
}

/// A file that holds patterns rather than weights, by the names of its tensors.
fn is_pattern_file(file: &TensorFile) -> bool {
    file.names().any(|name| component_of(name).is_some())
}

fn component_of(name: &str) -> Option<Component> {
    let (_, last) = name.rsplit_once('.')?;
    Component::ALL.into_iter().find(|component| component.name() == last)
}

fn weights(path: &Path) -> Result<(Value, Vec<String>), Failure> {
    let weights = Weights::open(path, &PreprocessingOverrides::default())?;
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
        let (weight, bias) = (weights.weight(parametric), weights.bias(parametric));
        parametric += 1;
        parameters += weight.len() + bias.len();
        let element = weight.element().to_string();
        layers.push(json!({ "name": name, "kind": kind, "shape": weight.shape(), "type": element }));
        lines.push(format!("  {name:<22}{kind:<23}{:?} {element}", weight.shape()));
    }
    let preprocessing = network.preprocessing;
    let description = json!({
        "file": path_text(path),
        "kind": "weights",
        "architecture": network.architecture,
        "outputs": network.outputs(),
        "classifier": network.has_classifier(),
        "parameters": parameters,
        "preprocessing": preprocessing.to_json(),
        "layers": layers,
        "metadata": weights.file().metadata(),
    });
    let head = if network.has_classifier() { "classes" } else { "channels, headless (no classifier)" };
    let mut text = vec![
        format!("{}: weights of {}", path_text(path), network.architecture),
        format!("  {} {head}, {parameters} parameters", network.outputs()),
        input_line(&preprocessing),
    ];
    text.extend(lines);
    text.extend(metadata_lines(
        weights.file(),
        &["channel_order", "pixel_scale", "mean", "std", "architecture"],
    ));
    Ok((description, text))
}

fn patterns(path: &Path, file: &TensorFile) -> (Value, Vec<String>) {
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
    text.extend(metadata_lines(file, &shown));
    text.extend(run.iter().flat_map(run_lines));
    text.extend(lines);
    text.extend(report.iter().flat_map(report::lines));
    (description, text)
}

/// Reads all of the file, to check it.
fn moments(path: &Path) -> Result<(Value, Vec<String>), Failure> {
    let moments = MomentFile::inspect(path)?;
    let (record, metadata) = (moments.record(), moments.file().metadata());
    let architecture = moments.architecture().unwrap_or("an unnamed architecture");
    let preprocessing = moments.preprocessing();
    let layers: Vec<Value> = moments
        .layers()
        .map(|(name, shape, positions)| json!({ "name": name, "shape": shape, "positions": positions }))
        .collect();
    let description = json!({
        "file": path_text(path),
        "kind": "moments",
        "version": metadata.get("moments"),
        "architecture": architecture,
        "images": record.images,
        "second_moments": moments.has_second_moments(),
        "checksum": "verified",
        "run": record.run,
        "progress": record.progress,
        "preprocessing": preprocessing.to_json(),
        "layers": layers,
        "metadata": metadata,
    });
    let second = if moments.has_second_moments() { "with" } else { "without" };
    let mut text = vec![
        format!("{}: moments of {}", path_text(path), architecture.escape_debug()),
        format!("  {} images, {} layers, {second} second moments", record.images, moments.layer_count()),
        format!(
            "  version {}, checksum verified; {}",
            metadata.get("moments").map_or("", String::as_str).escape_debug(),
            if record.progress.is_some() { "the run has not finished" } else { "the run has finished" }
        ),
        input_line(preprocessing),
    ];
    text.extend(moments.layers().map(|(name, shape, positions)| {
        format!("  {:<22}{:<23}{positions} positions", name.escape_debug().to_string(), format!("{shape:?}"))
    }));
    text.extend(metadata_lines(
        moments.file(),
        &[
            "moments",
            "architecture",
            "images",
            "second_moments",
            "checksum",
            "fingerprint",
            "channel_order",
            "pixel_scale",
            "mean",
            "std",
            "run",
        ],
    ));
    text.extend(run_lines(&record.run));
    Ok((description, text))
}

/// What a run was, a line for each of its options.
fn run_lines(run: &Map<String, Value>) -> Vec<String> {
    let head = if run.is_empty() { "  run: not described" } else { "  run:" };
    // JSON escapes most control characters, but not all of them.
    let shown =
        |text: &str| text.chars().filter(|character| !character.is_control()).take(160).collect::<String>();
    let lines = run.iter().map(|(key, value)| format!("    {}: {}", shown(key), shown(&value.to_string())));
    std::iter::once(head.to_owned()).chain(lines).collect()
}

/// How an image becomes the input.
fn input_line(preprocessing: &Preprocessing) -> String {
    format!(
        "  input ({}): (u8 · {}/255 − {:?}) / {:?}",
        preprocessing.channel_order, preprocessing.pixel_scale, preprocessing.mean, preprocessing.std
    )
}

/// The metadata that were not shown otherwise, shortened.
fn metadata_lines(file: &TensorFile, shown: &[&str]) -> Vec<String> {
    let unshown = file.metadata().iter().filter(|(key, _)| !shown.contains(&key.as_str()));
    unshown
        .map(|(key, value)| {
            // Debug formatting keeps control characters of a hostile file off the terminal.
            let value: String = value.chars().take(160).collect();
            format!("  {key:?}: {value:?}")
        })
        .collect()
}
