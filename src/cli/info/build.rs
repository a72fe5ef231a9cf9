//! This build and the devices of this machine.

use crate::backend::cuda::device::{Device, DeviceDescription, DeviceError, devices};
use crate::backend::{cpu, cuda};
use crate::output::path_text;
use crate::setup::why_not;
use crate::weights::bundled;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What was compiled, what can be used, and where the bundled files are.
pub fn describe() -> (Value, Vec<String>) {
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
            let (value, line) = describe_device(device);
            lines.push(line);
            value
        })
        .collect();
    (json!({ "architectures": architectures, "devices": found, "reason": reason }), lines)
}

/// A device, and what it computes with or why it cannot. Only opening it shows whether the kernels run on it.
fn describe_device(device: &DeviceDescription) -> (Value, String) {
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
