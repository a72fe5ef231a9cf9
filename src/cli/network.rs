//! Options that every command on a network shares: weights, patterns, preprocessing, device.

use super::exit::Failure;
use super::progress::say;
use crate::network::{ChannelOrder, Preprocessing, PreprocessingOverrides};
use crate::output::path_text;
use crate::patterns::Patterns;
use crate::setup::{
    DeviceChoice, DeviceList, DeviceRequest, NotBundled, OpenDeviceError, OpenedDevice, PrecisionChoice,
    find_patterns, find_weights, open_weights,
};
use crate::weights::Weights;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;
use std::sync::Arc;

/// A network and what makes its input.
#[derive(Args)]
pub struct WeightOptions {
    /// The network's weights (safetensors, .pth, .h5, .keras, .onnx, .npz) [default: the bundled VGG16 features]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    #[command(flatten)]
    pub preprocessing: PreprocessingOptions,
}

/// How pixels become the input, over what the file says.
#[derive(Args)]
pub struct PreprocessingOptions {
    /// A preprocessing by name: torchvision, caffe (Keras's VGG), unit (0 to 1), symmetric (-1 to 1), pixels (0 to 255); the
    /// options below go over it
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Preprocessing::NAMES), help_heading = "Preprocessing")]
    pub preprocessing: Option<String>,
    /// Order of the network's input channels, over the weight file's metadata
    #[arg(long, value_name = "ORDER", value_parser = ["rgb", "bgr"], help_heading = "Preprocessing")]
    pub channel_order: Option<String>,
    /// Value of a white pixel before the mean is subtracted: 1 or 255
    #[arg(long, value_name = "SCALE", value_parser = positive, allow_hyphen_values = true, help_heading = "Preprocessing")]
    pub pixel_scale: Option<f32>,
    /// Mean of each channel, in the network's order: A,B,C
    #[arg(long, value_name = "MEAN", value_parser = three, allow_hyphen_values = true, help_heading = "Preprocessing")]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of each channel, in the network's order: A,B,C
    #[arg(long, value_name = "STD", value_parser = three_not_zero, allow_hyphen_values = true, help_heading = "Preprocessing")]
    pub std: Option<[f32; 3]>,
}

/// Where to compute, and how.
#[derive(Args)]
pub struct DeviceOptions {
    /// Where to compute: auto (the first CUDA device that can, else the CPU), cpu, cuda, cuda:N, or for explain several, as in
    /// cuda:0,1
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = "Device")]
    pub device: DeviceList,
    /// Arithmetic: auto is f32 on the CPU, f16 on CUDA
    #[arg(long, value_name = "P", value_parser = precisions(), default_value = "auto", help_heading = "Device")]
    pub precision: PrecisionChoice,
    /// Threads of the CPU [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Device")]
    pub threads: Option<u16>,
}

/// A network with patterns, on a device.
#[derive(Args)]
pub struct NetworkOptions {
    #[command(flatten)]
    pub weights: WeightOptions,
    /// Patterns of these weights (safetensors) [default: the bundled ones, with the bundled weights only]
    #[arg(long, value_name = "FILE")]
    pub patterns: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceOptions,
}

/// The names of precisions, which `--help` lists.
fn precisions() -> impl TypedValueParser<Value = PrecisionChoice> {
    PossibleValuesParser::new(PrecisionChoice::NAMES).try_map(|name| name.parse::<PrecisionChoice>())
}

/// Three numbers parted by commas or spaces.
fn three(text: &str) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> =
        text.split([',', ' ']).filter(|part| !part.is_empty()).map(str::parse).collect();
    match numbers.ok().and_then(|numbers| <[f32; 3]>::try_from(numbers).ok()) {
        Some(numbers) if numbers.iter().all(|number| number.is_finite()) => Ok(numbers),
        _ => Err("expected three numbers, as in 0.485,0.456,0.406".to_owned()),
    }
}

/// Three numbers to divide by.
fn three_not_zero(text: &str) -> Result<[f32; 3], String> {
    match three(text)? {
        numbers if numbers.contains(&0.0) => Err("a standard deviation cannot be zero".to_owned()),
        numbers => Ok(numbers),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a positive number".to_owned()),
    }
}

impl WeightOptions {
    /// Opens the weights and checks them whole; what is worth knowing about them is told unless `quiet`.
    pub fn open(&self, quiet: bool) -> Result<Arc<Weights>, Failure> {
        let path =
            find_weights(self.weights.as_deref(), None).map_err(|error| not_bundled(&error, "--weights"))?;
        let weights = open_weights(&path, &self.preprocessing.overrides()?)?;
        for note in weights.notes() {
            say(quiet, &format!("note: {}: {note}", path_text(&path)));
        }
        Ok(weights)
    }
}

impl PreprocessingOptions {
    /// What was stated.
    pub fn overrides(&self) -> Result<PreprocessingOverrides, Failure> {
        let channel_order = self.channel_order.as_deref().map(str::parse::<ChannelOrder>).transpose()?;
        let named = self.preprocessing.as_deref().and_then(Preprocessing::named);
        Ok(PreprocessingOverrides {
            channel_order: channel_order.or(named.map(|named| named.channel_order)),
            pixel_scale: self.pixel_scale.or(named.map(|named| named.pixel_scale)),
            mean: self.mean.or(named.map(|named| named.mean)),
            std: self.std.or(named.map(|named| named.std)),
        })
    }
}

impl DeviceOptions {
    /// Prepares a network's forward pass on the device, for batches of so many images where the user says.
    pub fn open(&self, weights: &Arc<Weights>, batch: Option<usize>) -> Result<OpenedDevice, Failure> {
        match self.device.devices() {
            [device] => self.open_one(*device, weights, batch),
            _ => Err(Failure::usage(format!("--device: {}", DeviceList::ONE_ONLY))),
        }
    }

    /// As [`DeviceOptions::open`], on each of several devices.
    pub fn open_all(
        &self,
        weights: &Arc<Weights>,
        batch: Option<usize>,
    ) -> Result<Vec<OpenedDevice>, Failure> {
        self.device.devices().iter().map(|&device| self.open_one(device, weights, batch)).collect()
    }

    fn open_one(
        &self,
        device: DeviceChoice,
        weights: &Arc<Weights>,
        batch: Option<usize>,
    ) -> Result<OpenedDevice, Failure> {
        let request = DeviceRequest { device, precision: self.precision, batch, context: None };
        request.open(weights, self.threads()).map_err(|error| match &error {
            OpenDeviceError::Cuda { .. } => Failure::Run(format!("--{error}")),
            OpenDeviceError::Precision { precision, .. } => Failure::Run(format!(
                "--precision {precision}: the CPU computes in f32{}; leave the option out or use --precision f32",
                error.reason()
            )),
            error => error.into(),
        })
    }

    /// Threads that were asked for; 0 stands for all cores.
    pub fn threads(&self) -> usize {
        self.threads.map_or(0, usize::from)
    }

    /// Threads that were asked for, or one a core.
    pub fn thread_count(&self) -> usize {
        match self.threads() {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Work outside the network runs on the global pool; the network has one of its own.
    pub fn limit_threads(&self) -> Result<(), Failure> {
        let threads = self.threads();
        if threads == 0 {
            return Ok(());
        }
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| {
            Failure::Run(format!("--threads {threads}: cannot start them ({error}); ask for fewer"))
        })
    }
}

impl NetworkOptions {
    /// Maps the patterns that belong to the weights: those that were named, or the bundled ones of the bundled weights.
    pub fn open_patterns(&self, weights: &Weights) -> Result<Option<Arc<Patterns>>, Failure> {
        let path = find_patterns(self.patterns.as_deref(), weights.path(), None)
            .map_err(|error| not_bundled(&error, "--patterns"))?;
        Ok(path.map(|path| Patterns::open(&path, weights).map(Arc::new)).transpose()?)
    }
}

/// Names the option that would help.
fn not_bundled(error: &NotBundled, option: &str) -> Failure {
    Failure::Run(format!(
        "the bundled {} are in none of these folders:\n  {}\nset VGGX_DATA to the folder that holds them, or name a file with {option}",
        error.what,
        error.list("\n  ")
    ))
}
