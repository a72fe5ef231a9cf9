//! Which device computes, and in which arithmetic.

use super::exit::Failure;
use crate::backend::cuda::device::DeviceError;
use crate::backend::cuda::{Cuda, CudaOptions, Precision, architectures};
use crate::backend::{Backend, BackendError};
use crate::explain::{on_cpu, on_cuda};
use crate::weights::Weights;
use clap::ValueEnum;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device that the kernels run on, else the CPU.
    Auto,
    Cpu,
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u16>().ok().map(usize::from);
        match (text, text.strip_prefix("cuda:")) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda(0)),
            (_, Some(list)) if list.contains(',') && list.split(',').all(|part| number(part).is_some()) => Err(
                "a run computes on one device; name one, as in cuda:0, and start a run with an output folder of its \
                 own for each part of the inputs to use several"
                    .to_owned(),
            ),
            (_, Some(text)) if number(text).is_some() => Ok(DeviceChoice::Cuda(number(text).unwrap_or(0))),
            _ => Err("expected auto, cpu, cuda or cuda:N, as in cuda:0".to_owned()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => formatter.write_str("auto"),
            DeviceChoice::Cpu => formatter.write_str("cpu"),
            DeviceChoice::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

/// `--precision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    Auto,
    F32,
    F16,
    Bf16,
}

impl PrecisionChoice {
    /// The arithmetic on a CUDA device.
    fn on_cuda(self) -> Precision {
        match self {
            PrecisionChoice::Auto | PrecisionChoice::F16 => Precision::F16,
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::Bf16 => Precision::Bf16,
        }
    }
}

/// The name of an arithmetic, as in `--precision`.
fn name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
        Precision::Bf16 => "bf16",
    }
}

/// A device with a network.
pub struct Opened {
    pub backend: Box<dyn Backend>,
    /// As `--device` names it.
    pub device: String,
    /// As `--precision` names it.
    pub precision: &'static str,
    /// What the user did not ask for and should know.
    pub notice: Option<String>,
}

/// What is asked of a device.
#[derive(Clone, Copy)]
pub struct Request {
    pub device: DeviceChoice,
    pub precision: PrecisionChoice,
    /// Of the CPU; 0: all cores.
    pub threads: usize,
    /// Images a batch, where the user says.
    pub batch: Option<usize>,
}

impl Request {
    /// Prepares the forward pass of `weights` on the device.
    pub fn open(self, weights: &Arc<Weights>) -> Result<Opened, Failure> {
        match self.device {
            DeviceChoice::Cpu => self.open_cpu(weights, None),
            DeviceChoice::Cuda(number) => match self.open_cuda(weights, number) {
                Ok(cuda) => Ok(self.opened(cuda, number)),
                Err(error) => Err(Failure::Run(format!("--device cuda:{number}: {error}"))),
            },
            DeviceChoice::Auto => match self.open_first(weights) {
                Ok((cuda, number)) => Ok(self.opened(cuda, number)),
                Err(error) => self.open_cpu(weights, Some(error)),
            },
        }
    }

    fn open_cuda(self, weights: &Arc<Weights>, device: usize) -> Result<Cuda, BackendError> {
        // Before the driver is asked: loading it takes long.
        if architectures().is_empty() {
            return Err(DeviceError::NoKernels.into());
        }
        let precision = self.precision.on_cuda();
        let options = CudaOptions { device, precision, batch: self.batch, ..CudaOptions::default() };
        on_cuda(weights, &options)
    }

    /// The first device that the kernels run on, or why not even the first one does.
    fn open_first(self, weights: &Arc<Weights>) -> Result<(Cuda, usize), BackendError> {
        let mut first = None;
        let mut number = 0;
        loop {
            match self.open_cuda(weights, number) {
                Ok(cuda) => return Ok((cuda, number)),
                Err(error @ BackendError::Device(DeviceError::NoCode { .. })) => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(first.unwrap_or(error)),
            }
            number += 1;
        }
    }

    fn opened(self, cuda: Cuda, number: usize) -> Opened {
        Opened {
            backend: Box::new(cuda),
            device: DeviceChoice::Cuda(number).to_string(),
            precision: name(self.precision.on_cuda()),
            notice: None,
        }
    }

    fn open_cpu(self, weights: &Arc<Weights>, no_cuda: Option<BackendError>) -> Result<Opened, Failure> {
        let reason = no_cuda.map(|error| why_not(&error));
        if let PrecisionChoice::F16 | PrecisionChoice::Bf16 = self.precision {
            let precision = name(self.precision.on_cuda());
            let reason =
                reason.map_or_else(String::new, |reason| format!(", and CUDA cannot be used: {reason}"));
            return Err(Failure::Run(format!(
                "--precision {precision}: the CPU computes in f32{reason}; leave the option out or use --precision f32"
            )));
        }
        Ok(Opened {
            backend: Box::new(on_cpu(weights, self.threads)?),
            device: DeviceChoice::Cpu.to_string(),
            precision: name(Precision::F32),
            notice: reason.map(|reason| format!("computing on the CPU: {reason}")),
        })
    }
}

/// Why CUDA is not used, short enough for a line, without what one could do about it: nothing is wrong.
pub fn why_not(error: &BackendError) -> String {
    match error {
        BackendError::Device(error) => match error {
            DeviceError::NoDriver => "no NVIDIA driver".to_owned(),
            DeviceError::NoKernels => "this build has no CUDA kernels (built without nvcc)".to_owned(),
            DeviceError::NoDevice => "the NVIDIA driver finds no device".to_owned(),
            DeviceError::DriverTooOld { driver, needed, .. } => {
                format!("driver too old: it supports CUDA {driver}, this build needs {needed}")
            }
            DeviceError::NoCode { major, minor, compiled, .. } => {
                format!("no code for compute capability {major}.{minor}, compiled: {compiled}")
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "cuda:65535"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in
            ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:65536", "cuda:0,", "cuda:,1", "cuda:0,x"]
        {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("cuda:N"), "{text}: {error}");
        }
        let error = "cuda:0,1".parse::<DeviceChoice>().unwrap_err();
        assert!(error.contains("one device"), "{error}");
    }
}
