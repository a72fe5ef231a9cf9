//! Which device computes, and in which arithmetic.

use crate::backend::cuda::device::DeviceError;
use crate::backend::cuda::{CallersContext, Cuda, CudaOptions, Precision, architectures};
use crate::backend::{Backend, BackendError};
use crate::explain::{on_cpu_threads, on_cuda_threads};
use crate::threads::Threads;
use crate::weights::Weights;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Which device computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device that the kernels run on, else the CPU.
    Auto,
    /// The CPU; the driver is not even loaded.
    Cpu,
    /// A CUDA device, counted from 0.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<DeviceList>()?.0.as_slice() {
            [device] => Ok(*device),
            _ => Err(DeviceList::ONE_ONLY.to_owned()),
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

/// Devices that compute side by side: one of any kind, or several CUDA devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList(Vec<DeviceChoice>);

impl DeviceList {
    /// What to tell where one device is needed.
    pub const ONE_ONLY: &str = "this computes on one device; name one, as in cuda:0, and give each of several devices a run \
                                with a --shard of its own";

    /// The devices, at least one.
    pub fn devices(&self) -> &[DeviceChoice] {
        &self.0
    }
}

impl FromStr for DeviceList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u16>().ok().map(|number| DeviceChoice::Cuda(number.into()));
        match (text, text.strip_prefix("cuda:")) {
            ("auto", _) => Ok(Self(vec![DeviceChoice::Auto])),
            ("cpu", _) => Ok(Self(vec![DeviceChoice::Cpu])),
            ("cuda", _) => Ok(Self(vec![DeviceChoice::Cuda(0)])),
            (_, Some(list)) => {
                let expected = || "expected cuda:N, or several as in cuda:0,1".to_owned();
                let devices: Vec<_> =
                    list.split(',').map(number).collect::<Option<_>>().ok_or_else(expected)?;
                match (1..devices.len()).find(|&index| devices[..index].contains(&devices[index])) {
                    Some(index) => Err(format!("{} is named twice", devices[index])),
                    None => Ok(Self(devices)),
                }
            }
            _ => Err("expected auto, cpu, cuda, cuda:N or several as in cuda:0,1".to_owned()),
        }
    }
}

/// How numbers are stored on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// f32 on the CPU, f16 on CUDA.
    Auto,
    /// float32.
    F32,
    /// float16; CUDA only.
    F16,
    /// bfloat16; CUDA only.
    Bf16,
    /// float16, and float8 on the way back; CUDA devices of compute capability 9.0 only.
    F8,
}

impl PrecisionChoice {
    /// Every choice by its name.
    pub const NAMES: [&str; 5] = ["auto", "f32", "f16", "bf16", "f8"];

    /// The arithmetic on a CUDA device.
    fn on_cuda(self) -> Precision {
        match self {
            PrecisionChoice::Auto | PrecisionChoice::F16 => Precision::F16,
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::Bf16 => Precision::Bf16,
            PrecisionChoice::F8 => Precision::F8,
        }
    }
}

impl FromStr for PrecisionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(PrecisionChoice::Auto),
            "f32" => Ok(PrecisionChoice::F32),
            "f16" => Ok(PrecisionChoice::F16),
            "bf16" => Ok(PrecisionChoice::Bf16),
            "f8" => Ok(PrecisionChoice::F8),
            _ => Err("expected auto, f32, f16, bf16 or f8".to_owned()),
        }
    }
}

/// A device with a network.
pub struct OpenedDevice {
    /// The network on the device.
    pub backend: Box<dyn Backend>,
    /// As [`DeviceChoice`] is written, never `auto`.
    pub device: String,
    /// As [`PrecisionChoice`] is written, never `auto`.
    pub precision: &'static str,
    /// What the user did not ask for and should know.
    pub notice: Option<String>,
}

/// What is asked of a device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRequest {
    /// Which one.
    pub device: DeviceChoice,
    /// In which arithmetic.
    pub precision: PrecisionChoice,
    /// Images a batch, where the user says.
    pub batch: Option<usize>,
    /// The CUDA context to work in, of the device that is asked for; without it the device's primary one.
    pub context: Option<CallersContext>,
}

/// Why no device was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeviceError {
    /// The CUDA device that was asked for cannot be used.
    #[error("device cuda:{number}: {source}")]
    Cuda {
        /// Its number.
        number: usize,
        /// Why.
        source: BackendError,
    },
    /// An environment variable says what cannot be understood.
    #[error(transparent)]
    Variable(BackendError),
    /// The CUDA context is of another device, or the CPU was asked for.
    #[error(
        "the CUDA context is of device cuda:{number}, and {asked} was asked for; ask for that device, or for none"
    )]
    OtherContext {
        /// The context's device.
        number: usize,
        /// What was asked for.
        asked: DeviceChoice,
    },
    /// The CPU was asked for, and a CUDA context was given.
    #[error("a CUDA context was given, and the CPU was asked for; ask for a CUDA device, or give no context")]
    ContextWithoutDevice,
    /// The CPU does not have the arithmetic that was asked for.
    #[error("precision {precision}: the CPU computes in f32{}; leave it out or ask for precision f32", self.reason())]
    Precision {
        /// As [`PrecisionChoice`] is written.
        precision: &'static str,
        /// Why it is the CPU that computes, where the user left that open.
        no_cuda: Option<String>,
    },
    /// The CPU cannot be used.
    #[error(transparent)]
    Cpu(#[from] BackendError),
}

impl OpenDeviceError {
    /// Why it is the CPU that computes, to follow a sentence.
    pub fn reason(&self) -> String {
        match self {
            OpenDeviceError::Precision { no_cuda: Some(reason), .. } => {
                format!(", and CUDA cannot be used: {reason}")
            }
            _ => String::new(),
        }
    }
}

impl DeviceRequest {
    /// Prepares the forward pass of `weights` on the device, and on `threads` threads (0: one a core) for what the CPU does.
    /// The weights are finite ([`Weights::check_finite`] was called).
    ///
    /// # Errors
    /// When the device cannot be used, or threads cannot be started.
    pub fn open(self, weights: &Arc<Weights>, threads: usize) -> Result<OpenedDevice, OpenDeviceError> {
        let threads = Threads::new(threads, "vggx")
            .map_err(|error| BackendError::Threads { threads, reason: error.to_string() })?;
        self.open_on(weights, &Arc::new(threads))
    }

    /// As [`DeviceRequest::open`], on threads that are there.
    pub(crate) fn open_on(
        self,
        weights: &Arc<Weights>,
        threads: &Arc<Threads>,
    ) -> Result<OpenedDevice, OpenDeviceError> {
        if self.context.is_some() {
            return self.open_context(weights, threads);
        }
        match self.device {
            DeviceChoice::Cpu => self.open_cpu(weights, None, threads),
            DeviceChoice::Cuda(number) => match self.open_cuda(weights, number, threads) {
                Ok(cuda) => Ok(self.opened(cuda)),
                Err(source @ BackendError::Variable { .. }) => Err(OpenDeviceError::Variable(source)),
                Err(source) => Err(OpenDeviceError::Cuda { number, source }),
            },
            DeviceChoice::Auto => match self.open_first(weights, threads) {
                Ok(cuda) => Ok(self.opened(cuda)),
                // What the user wrote is wrong, not the device.
                Err(source @ BackendError::Variable { .. }) => Err(OpenDeviceError::Variable(source)),
                Err(error) => self.open_cpu(weights, Some(error), threads),
            },
        }
    }

    /// Whoever has a context means its device: there is no way back to the CPU.
    fn open_context(
        self,
        weights: &Arc<Weights>,
        threads: &Arc<Threads>,
    ) -> Result<OpenedDevice, OpenDeviceError> {
        let asked = match self.device {
            DeviceChoice::Cpu => return Err(OpenDeviceError::ContextWithoutDevice),
            DeviceChoice::Cuda(number) => Some(number),
            DeviceChoice::Auto => None,
        };
        let number = asked.unwrap_or(0);
        let cuda = self
            .open_cuda(weights, number, threads)
            .map_err(|source| OpenDeviceError::Cuda { number, source })?;
        match cuda.device_number() {
            number if asked.is_some_and(|asked| asked != number) => {
                Err(OpenDeviceError::OtherContext { number, asked: self.device })
            }
            _ => Ok(self.opened(cuda)),
        }
    }

    fn open_cuda(
        self,
        weights: &Arc<Weights>,
        device: usize,
        threads: &Arc<Threads>,
    ) -> Result<Cuda, BackendError> {
        // Before the driver is asked: loading it takes long.
        if architectures().is_empty() {
            return Err(DeviceError::NoKernels.into());
        }
        let options = CudaOptions {
            device,
            context: self.context,
            precision: self.precision.on_cuda(),
            batch: self.batch,
        };
        on_cuda_threads(weights, &options, threads.clone())
    }

    /// The first device that the kernels run on, or why not even the first one does.
    fn open_first(self, weights: &Arc<Weights>, threads: &Arc<Threads>) -> Result<Cuda, BackendError> {
        let mut first = None;
        let mut number = 0;
        loop {
            match self.open_cuda(weights, number, threads) {
                Ok(cuda) => return Ok(cuda),
                Err(
                    error @ (BackendError::Device(DeviceError::NoCode { .. })
                    | BackendError::Precision { .. }),
                ) => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(first.unwrap_or(error)),
            }
            number += 1;
        }
    }

    fn opened(self, cuda: Cuda) -> OpenedDevice {
        OpenedDevice {
            device: DeviceChoice::Cuda(cuda.device_number()).to_string(),
            backend: Box::new(cuda),
            precision: self.precision.on_cuda().name(),
            notice: None,
        }
    }

    fn open_cpu(
        self,
        weights: &Arc<Weights>,
        no_cuda: Option<BackendError>,
        threads: &Arc<Threads>,
    ) -> Result<OpenedDevice, OpenDeviceError> {
        let no_cuda = no_cuda.map(|error| why_not(&error));
        if let PrecisionChoice::F16 | PrecisionChoice::Bf16 | PrecisionChoice::F8 = self.precision {
            let precision = self.precision.on_cuda().name();
            return Err(OpenDeviceError::Precision { precision, no_cuda });
        }
        Ok(OpenedDevice {
            backend: Box::new(on_cpu_threads(weights, threads.clone())?),
            device: DeviceChoice::Cpu.to_string(),
            precision: Precision::F32.name(),
            notice: no_cuda.map(|reason| format!("computing on the CPU: {reason}")),
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
        let several = "cuda:2,0,1".parse::<DeviceList>().unwrap();
        assert_eq!(several.devices(), [2, 0, 1].map(DeviceChoice::Cuda));
        let error = "cuda:0,1,0".parse::<DeviceList>().unwrap_err();
        assert!(error.contains("cuda:0 is named twice"), "{error}");
    }
}
