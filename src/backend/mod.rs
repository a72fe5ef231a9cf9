//! Devices that run a network: the forward pass, and backward passes with any operators and gates.
//!
//! A backend knows tensors and operators; it knows neither images in files nor methods. All explanation methods are one
//! backward pass that differs in its operators, its gates and where it starts.

mod chain;
pub mod cpu;
pub mod cuda;
mod memory;
mod moments;
mod operator;
mod passes;
mod perturb;
pub mod profile;

pub(crate) use memory::available as available_memory;
pub use moments::{Field, LAGS, Lags, LayerMoments, Moments, SecondMoments};
pub use operator::{Factor, FactorType, Factors, OperatorSource};
pub use perturb::{AlteredCopy, Filling, First, PatchGrid, Perturber};

use crate::network::NetworkError;
use cuda::device::DeviceError;
use cuda::{CallersError, DeviceDestination, DevicePixels};
use std::sync::Arc;

/// What lets a signal pass a ReLU on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// The forward mask: where the pre-activation was positive.
    Mask,
    /// The backward ReLU: where the signal itself is positive.
    Sign,
    /// Both.
    MaskAndSign,
}

impl Gate {
    /// Whether the forward mask gates.
    pub fn by_mask(self) -> bool {
        self != Gate::Sign
    }

    /// Whether the signal's sign gates.
    pub fn by_sign(self) -> bool {
        self != Gate::Mask
    }
}

/// The value a backward pass starts with at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// One (headless: at every position of the channel).
    One,
    /// The response itself (headless: every position of the channel with its own activation).
    Response,
}

/// A backward pass through the whole network.
#[derive(Clone)]
pub struct Pass {
    /// What takes the place of the weights.
    pub operators: Arc<dyn OperatorSource>,
    /// What lets the signal pass a ReLU.
    pub gate: Gate,
    /// What the pass starts with at its target.
    pub start: Start,
}

/// A pass that a backend has prepared (read, laid out, uploaded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassId(pub(crate) usize);

/// The pixels of a batch, image after image.
#[derive(Clone, Copy)]
pub enum Pixels<'a> {
    /// \[images, height, width, 3\], channels red, green, blue, 0..=255.
    Rgb8(&'a [u8]),
    /// \[images, 3, height, width\], normalised, channels in the network's order.
    Normalised(&'a [f32]),
    /// Where they are on a CUDA device; the backend runs there.
    Device(DevicePixels<'a>),
}

/// Pixels that were brought to the host.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedPixels {
    /// As [`Pixels::Rgb8`].
    Rgb8(Vec<u8>),
    /// As [`Pixels::Normalised`].
    Normalised(Vec<f32>),
}

impl OwnedPixels {
    /// For a batch.
    pub fn as_pixels(&self) -> Pixels<'_> {
        match self {
            OwnedPixels::Rgb8(pixels) => Pixels::Rgb8(pixels),
            OwnedPixels::Normalised(values) => Pixels::Normalised(values),
        }
    }
}

/// A batch of images of one size.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// Number of images; none is fine.
    pub images: usize,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    /// The pixels, as many as the sizes say.
    pub pixels: Pixels<'a>,
}

/// What a pass brought back to the pixels of one image.
#[derive(Clone, Debug)]
pub struct Relevance {
    /// \[3, height, width\], channels in the network's order, or a heat map \[height, width\]; the value is `values` ·
    /// 2^`scale_log2`.
    pub values: Vec<f32>,
    /// Power of two that the values must be multiplied with.
    pub scale_log2: i32,
}

/// Why a backend could not run a batch or one image of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The images are too small for the network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The network is not one this device runs.
    #[error("this network cannot run on the {device}: {reason}")]
    Unsupported {
        /// The device.
        device: &'static str,
        /// What stands in the way.
        reason: String,
    },
    /// The device does not do this in the precision that was asked for.
    #[error("precision {precision} {reason}; ask for precision f16")]
    Precision {
        /// As it is asked for.
        precision: &'static str,
        /// What stands in the way.
        reason: String,
    },
    /// An environment variable says what cannot be understood.
    #[error("{variable} is '{value}'; expected {expected}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The system gives no more threads.
    #[error("cannot start {threads} threads: {reason}; use fewer with --threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// An activation of an image is not finite.
    #[error(
        "the activations of layer {layer} overflow float32 on this image; check that the preprocessing (--channel-order, \
         --pixel-scale, --mean, --std) is the one the network was trained with"
    )]
    ActivationOverflow {
        /// The first such layer.
        layer: String,
    },
    /// A signal on its way back is not finite.
    #[error("the signal is not a finite number below layer {layer}; check the weights and patterns")]
    SignalOverflow {
        /// The layer whose operator made it so.
        layer: String,
    },
    /// The pixels do not match the sizes.
    #[error("the batch holds {got} values, but {images} images of {height}×{width} need {expected}")]
    BatchSize {
        /// Values given.
        got: usize,
        /// Values needed.
        expected: usize,
        /// Images.
        images: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The batch would not fit into memory.
    #[error(
        "{images} images of {height}×{width} need about {needed} MiB of memory, and {available} MiB are available; use a \
         smaller --crop or --batch"
    )]
    Memory {
        /// Images.
        images: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// MiB needed.
        needed: u64,
        /// MiB available.
        available: u64,
    },
    /// The moments would not fit into memory.
    #[error(
        "the moments of this network need about {needed} MiB of memory, and {available} MiB are available{hint}"
    )]
    MomentMemory {
        /// MiB needed.
        needed: u64,
        /// MiB available.
        available: u64,
        /// What would need less; empty or beginning with a semicolon.
        hint: &'static str,
    },
    /// Memory or a stream that a caller gave cannot be used.
    #[error(transparent)]
    Callers(#[from] CallersError),
    /// The CUDA device cannot be used, or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No such output.
    #[error("target {target} does not exist: the network has {outputs} outputs")]
    Target {
        /// The output asked for.
        target: usize,
        /// Outputs of the network.
        outputs: usize,
    },
}

/// Memory that a batch takes while it runs, in bytes, besides pixels and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeeded {
    /// Of the machine.
    pub host: u64,
    /// Of a device that has its own; else 0.
    pub device: u64,
}

/// A device that holds a network and the operators of passes.
pub trait Backend: Send + Sync {
    /// The device in words, for `run.json` and `vggx info`.
    fn description(&self) -> String;

    /// Times the parts of the passes one by one; `None` where that is not possible.
    fn profiler(&self) -> Option<&dyn profile::Profiler> {
        None
    }

    /// Threads for parallel work beside the network's, which this backend has for its own anyway; `None`: those of the
    /// process.
    fn threads(&self) -> Option<&rayon::ThreadPool> {
        None
    }

    /// Reads the operators of a pass and lays them out for the device. Other passes may run meanwhile.
    ///
    /// # Errors
    /// When the device cannot hold them.
    fn prepare(&self, pass: &Pass) -> Result<PassId, BackendError>;

    /// Runs a batch forward and keeps what the backward passes need: masks and argmaxes as bits, not activations.
    ///
    /// # Errors
    /// When the images are too small for the network or the batch is not of the size it claims. An image whose
    /// activations overflow does not fail the batch: see [`Trace::failure`].
    fn forward<'a>(&'a self, batch: &Batch) -> Result<Box<dyn Trace + 'a>, BackendError>;

    /// Brings `images` images of `height` × `width` from the device to the host, as they are.
    ///
    /// # Errors
    /// When the backend has no such device, or the memory cannot be used.
    fn fetch(
        &self,
        _pixels: &DevicePixels,
        _images: usize,
        _size: (usize, usize),
    ) -> Result<OwnedPixels, BackendError> {
        Err(CallersError::NoDevice.into())
    }

    /// Writes explanations of `height` × `width` that the host has made, one an image, each [`DeviceDestination::bytes`] long; none
    /// leaves an image's memory as it is.
    ///
    /// # Panics
    /// When one is longer or shorter.
    ///
    /// # Errors
    /// As [`Backend::fetch`]; nothing is written then.
    fn store(
        &self,
        _destination: &DeviceDestination,
        _size: (usize, usize),
        _explanations: &[Option<&[u8]>],
    ) -> Result<(), BackendError> {
        Err(CallersError::NoDevice.into())
    }

    /// Holds `count` images, \[count, 3, height, width\], normalised, channels in the network's order, to run copies of them forward
    /// in which patches are replaced.
    ///
    /// # Errors
    /// When the images are too small for the network or not of the size they should be, or the device cannot hold them.
    fn perturb<'a>(
        &'a self,
        images: &[f32],
        count: usize,
        grid: PatchGrid,
        filling: Filling,
    ) -> Result<Box<dyn Perturber + 'a>, BackendError>;

    /// Images a batch should hold when the user does not say.
    fn preferred_batch(&self) -> usize;

    /// About how much memory so many images of this size take at a time.
    ///
    /// # Errors
    /// When the images are too small for the network.
    fn memory_needed(&self, images: usize, height: usize, width: usize)
    -> Result<MemoryNeeded, BackendError>;

    /// Begins to add up moments, from those of images that were seen before ([`Moments::zeros`] when there are none);
    /// they say whether Σxxᵀ is wanted.
    ///
    /// # Panics
    /// When the moments are another network's.
    ///
    /// # Errors
    /// When the device cannot hold them.
    fn learn<'a>(&'a self, moments: Moments) -> Result<Box<dyn Learner + 'a>, BackendError>;

    /// Images of 224×224 a batch should hold when moments are added up and the user does not say.
    fn preferred_learning_batch(&self) -> usize {
        self.preferred_batch()
    }

    /// Batches worth running at a time, each on a thread of its own. While as many traces are kept, the next
    /// [`Backend::forward`] may wait for one to be dropped.
    fn concurrent_batches(&self) -> usize {
        1
    }

    /// What the user should be told since the last call, such as that batches were made smaller.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Adds up the moments of batches, on the device.
///
/// The sums depend on the batches and their order alone: not on threads, and not on when [`Learner::moments`] was called
/// or whether a new learner went on from what it returned.
pub trait Learner {
    /// Runs a batch forward and adds its moments. An entry says why an image was left out: its activations are not finite
    /// in some layer; nothing of it is added from that layer on.
    ///
    /// # Errors
    /// As [`Backend::forward`]. The sums may then hold a part of the batch and are of no more use.
    fn add(&mut self, batch: &Batch) -> Result<Vec<Option<BackendError>>, BackendError>;

    /// All sums so far, those that it began with included.
    ///
    /// # Errors
    /// When the device fails.
    fn moments(&mut self) -> Result<&Moments, BackendError>;

    /// All sums, without a copy of them.
    ///
    /// # Errors
    /// As [`Learner::moments`].
    fn into_moments(self: Box<Self>) -> Result<Moments, BackendError>;
}

/// A forward pass that has run.
pub trait Trace {
    /// Responses of one image: logits, or in a headless network the sum of each channel's final map.
    ///
    /// # Panics
    /// When the batch has no such image.
    fn responses(&self, image: usize) -> &[f32];

    /// Why an image has no valid responses, if so.
    fn failure(&self, image: usize) -> Option<BackendError>;

    /// Runs a pass back to the pixels, from one target an image, and leaves what it brings back in memory of the device, red, green,
    /// blue. Gives each image's power of two, that the numbers must be multiplied with. As float32 both are what an
    /// [`Explanation`](crate::explain::Explanation) of this pass holds, bit by bit.
    ///
    /// # Panics
    /// As [`Trace::backward`].
    ///
    /// # Errors
    /// When the backend has no such device, or the memory cannot be used, nothing is written. An entry fails as of
    /// [`Trace::backward`].
    fn backward_into(
        &self,
        _pass: PassId,
        _targets: &[usize],
        _destination: &DeviceDestination,
    ) -> Result<Vec<Result<i32, BackendError>>, BackendError> {
        Err(CallersError::NoDevice.into())
    }

    /// Runs a pass back to the pixels, from one target an image.
    ///
    /// # Panics
    /// When there are more or fewer targets than images, or the pass is another backend's.
    ///
    /// # Errors
    /// An entry fails when its target does not exist or its signal is not finite; the other images' are valid.
    fn backward(&self, pass: PassId, targets: &[usize]) -> Vec<Result<Relevance, BackendError>>;

    /// As [`Trace::backward`], each image's three channels summed to a heat map: in float64, rounded once. A device sums
    /// before it sends.
    ///
    /// # Panics
    /// As [`Trace::backward`].
    ///
    /// # Errors
    /// As [`Trace::backward`].
    fn heat_maps(&self, pass: PassId, targets: &[usize]) -> Vec<Result<Relevance, BackendError>> {
        let summed = |relevance: Relevance| {
            let (first, rest) = relevance.values.split_at(relevance.values.len() / 3);
            let (second, third) = rest.split_at(rest.len() / 2);
            let sum =
                |((&a, &b), &c): ((&f32, &f32), &f32)| (f64::from(a) + f64::from(b) + f64::from(c)) as f32;
            Relevance { values: first.iter().zip(second).zip(third).map(sum).collect(), ..relevance }
        };
        self.backward(pass, targets).into_iter().map(|result| result.map(summed)).collect()
    }
}
