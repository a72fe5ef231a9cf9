//! How good explanations are: the quality ρ of signal estimators, what happens to the response when the patches that a method
//! calls relevant are replaced, and whether explanations depend on what the network has learnt.

mod bootstrap;
mod gaussian;
pub mod perturb;
pub mod quality;
pub mod randomise;

pub use bootstrap::{LEVEL, RESAMPLES, intervals};
