//! What an explanation is worth, by perturbing the image: the response when the patches that it calls relevant are replaced.
//!
//! An image is cut into square patches ([`PatchGrid`](crate::backend::PatchGrid)), in the paper 9×9, those at the right and bottom
//! edges smaller. A patch's relevance is the sum of its attribution over pixels and channels; of magnitudes where a method gives a signal or
//! a sensitivity ([`Kind::Signal`](crate::explain::Kind)), whose sign says nothing about relevance. Equal ones are taken in scan
//! order. The measure f is the softmax probability of the output that was chosen on the image as it is; in a headless
//! network the response of the chosen channel over that of the image as it is.
//!
//! | mode | step k | number | from |
//! |---|---|---|---|
//! | [`Mode::Flip`] | the k first patches are replaced | [`aopc`]: mean over k of f(x₀) − f(xₖ) | Samek et al. 2017; paper, figure 5 |
//! | [`Mode::Deletion`] | the same, until all are | [`auc`] over the fraction that is replaced, lower is better | Petsiuk et al. 2018 (RISE) |
//! | [`Mode::Insertion`] | the k first patches are put into the replaced image | [`auc`], higher is better | the same |
//!
//! Patches are replaced in the network's normalised input in float32, not in bytes, so that a mean is exact and a replacement
//! may lie between two values of a pixel. Nothing depends on how images are batched, nor on the number of threads.

mod copies;
mod curve;
mod error;
mod mode;
mod replacement;
mod run;
mod score;
mod settings;
mod steps;
mod summary;

pub use curve::{Curve, Order, ParseOrderError};
pub use error::{ImageFailure, PerturbError};
pub use mode::{Mode, ParseModeError};
pub use replacement::{ParseReplacementError, Replacement};
pub use run::Perturbing;
pub use score::{aopc, auc};
pub use settings::{ImageCurves, PerturbInput, PerturbSettings};
pub use steps::{Steps, StepsError};
pub use summary::{CurveSummary, summarise};
