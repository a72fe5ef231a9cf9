//! What is done with images, and what comes of each.

use super::{Curve, Mode, Replacement};
use crate::backend::PatchGrid;
use crate::network::Preprocessing;

/// What is done with every image.
#[derive(Clone, Debug)]
pub struct PerturbSettings {
    /// The curves, of methods that the explainer was made with.
    pub curves: Vec<Curve>,
    /// From which image to which.
    pub mode: Mode,
    /// Numbers of patches after which f is measured, rising ([`Steps::counts`](super::Steps::counts)).
    pub counts: Vec<usize>,
    /// The images and their patches.
    pub grid: PatchGrid,
    /// What patches are replaced with.
    pub replacement: Replacement,
    /// Of random orders and noise.
    pub seed: u64,
    /// Copies that are run at a time.
    pub batch: usize,
    /// The network's.
    pub preprocessing: Preprocessing,
}

/// An image to perturb.
#[derive(Clone, Copy)]
pub struct PerturbInput<'a> {
    /// \[height, width, 3\], red, green, blue.
    pub pixels: &'a [u8],
    /// Chooses its random numbers.
    pub name: &'a str,
    /// The target that comes with it, for [`Target::Key`](crate::explain::Target::Key).
    pub key: Option<&'a str>,
}

/// The curves of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageCurves {
    /// The output that was chosen on the image as it is.
    pub target: usize,
    /// Its name, where labels were given.
    pub label: Option<String>,
    /// Its response to the image as it is.
    pub response: f32,
    /// Its softmax probability; none in a headless network.
    pub probability: Option<f64>,
    /// f for every curve and step: the probability, in a headless network the response over that of the image as it is.
    pub values: Vec<Vec<f64>>,
}
