//! Devices that run a network: the forward pass, and backward passes with any operators and gates.
//!
//! A backend knows tensors and operators; it knows neither images in files nor methods. All explanation methods are one
//! backward pass that differs in its operators, its gates and where it starts.

pub mod cpu;
mod operator;

pub use operator::OperatorSource;

use crate::network::NetworkError;
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
    pub operators: Arc<dyn OperatorSource>,
    pub gate: Gate,
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
}

/// A batch of images of one size.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub pixels: Pixels<'a>,
}

/// What a pass brought back to the pixels of one image.
#[derive(Clone, Debug)]
pub struct Relevance {
    /// \[3, height, width\], channels in the network's order; the value is `values` · 2^`scale_log2`.
    pub values: Vec<f32>,
    pub scale_log2: i32,
}

/// Why a backend could not run a batch or one image of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("this network cannot run on the {device}: {reason}")]
    Unsupported { device: &'static str, reason: String },
    #[error("cannot start {threads} threads: {reason}; use fewer with --threads")]
    Threads { threads: usize, reason: String },
    #[error(
        "the activations of layer {layer} overflow float32 on this image; check that the preprocessing (--channel-order, \
         --pixel-scale, --mean, --std) is the one the network was trained with"
    )]
    ActivationOverflow { layer: String },
    #[error("the signal is not a finite number below layer {layer}; check the weights and patterns")]
    SignalOverflow { layer: String },
    #[error("the batch holds {got} values, but {images} images of {height}×{width} need {expected}")]
    BatchSize { got: usize, expected: usize, images: usize, height: usize, width: usize },
    #[error(
        "{images} images of {height}×{width} need about {needed} MiB of memory, and {available} MiB are available; use a \
         smaller --crop or --batch"
    )]
    Memory { images: usize, height: usize, width: usize, needed: u64, available: u64 },
    #[error("target {target} does not exist: the network has {outputs} outputs")]
    Target { target: usize, outputs: usize },
}

/// A device that holds a network and the operators of passes.
pub trait Backend: Send + Sync {
    /// The device in words, for `run.json` and `vggx info`.
    fn description(&self) -> String;

    /// Reads the operators of a pass and lays them out for the device.
    ///
    /// # Errors
    /// When the device cannot hold them.
    fn prepare(&mut self, pass: &Pass) -> Result<PassId, BackendError>;

    /// Runs a batch forward and keeps what the backward passes need: masks and argmaxes as bits, not activations.
    ///
    /// # Errors
    /// When the images are too small for the network or the batch is not of the size it claims. An image whose
    /// activations overflow does not fail the batch: see [`Trace::failure`].
    fn forward<'a>(&'a self, batch: &Batch) -> Result<Box<dyn Trace + 'a>, BackendError>;

    /// Images a batch should hold when the user does not say.
    fn preferred_batch(&self) -> usize;
}

/// A forward pass that has run.
pub trait Trace {
    /// Responses of one image: logits, or in a headless network the sum of each channel's final map.
    fn responses(&self, image: usize) -> &[f32];

    /// Why an image has no valid responses, if so.
    fn failure(&self, image: usize) -> Option<BackendError>;

    /// Runs a pass back to the pixels, from one target an image.
    ///
    /// # Errors
    /// An entry fails when its target does not exist or its signal is not finite; the other images' are valid.
    fn backward(&self, pass: PassId, targets: &[usize]) -> Vec<Result<Relevance, BackendError>>;
}
