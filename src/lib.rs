//! vggx explains what a VGG network saw: which pixels made it respond (PatternAttribution), what signal in them it
//! responded to (PatternNet), and the older gradient, DeconvNet and Guided Backprop to compare with.
//!
//! The `vggx` command is a thin layer over this library. From a photo to its explanations:
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//! use vggx::explain::{Explainer, Input, Method, Target, on_cpu};
//! use vggx::images::{LoadOptions, load};
//! use vggx::network::PreprocessingOverrides;
//! use vggx::patterns::Patterns;
//! use vggx::weights::{Weights, bundled};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = bundled::weights().ok_or("no bundled weights: set VGGX_DATA")?;
//! let weights = Arc::new(Weights::open(&weights, &PreprocessingOverrides::default())?);
//! weights.check_finite()?;
//! let patterns = bundled::patterns().ok_or("no bundled patterns: set VGGX_DATA")?;
//! let patterns = Arc::new(Patterns::open(&patterns, &weights)?);
//!
//! let cpu = on_cpu(&weights, 0)?; // 0 threads: all cores; `on_cuda` takes a GPU
//! let explainer = Explainer::new(Box::new(cpu), &weights, Some(&patterns), &Method::DEFAULT, None, 0)?;
//!
//! let photo = load(Path::new("samples/cat.jpg"), &LoadOptions::default())?;
//! let inputs = [Input { pixels: &photo.pixels, key: None }];
//! for explained in explainer.explain((photo.height, photo.width), &inputs, &Target::Top(1))? {
//!     let explained = explained?;
//!     println!("output {} responded with {}", explained.target, explained.response);
//!     for explanation in &explained.explanations {
//!         // [3, height, width] as red, green, blue; times 2^scale_log2, which is nearly always 2^0.
//!         println!("{}: {} values", explanation.method, explanation.values.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`images`] | finds, decodes, resizes and crops images |
//! | [`weights`], [`patterns`] | map safetensors files and check them before use |
//! | [`network`] | describes the layers, their extents and the preprocessing |
//! | [`backend`] | runs the forward pass, and backward passes with any operators and gates |
//! | [`explain`] | turns methods into operators, gates and starts; resolves targets |
//! | [`evaluate`] | measures how good signal estimators and explanations are |
//! | [`mod@bench`] | times a network on a device |
//! | [`pipeline`] | runs images through a function, several batches at a time, results in order |
//! | [`output`] | writes pictures, arrays, the manifest and the run record |
//! | [`setup`] | opens what a program needs first: files, the bundled ones where none are named, and a device |
//! | [`cli`] | is the command line |
//! | [`capi`] | is the C API, `include/vggx.h` |

pub mod backend;
pub mod bench;
#[cfg(unix)]
pub mod capi;
pub mod cli;
pub mod evaluate;
pub mod explain;
mod hash;
pub mod images;
pub mod network;
pub mod output;
mod parallel;
pub mod patterns;
pub mod pipeline;
mod products;
mod quiet_panic;
mod random;
pub mod setup;
mod temporary;
mod threads;
pub mod weights;
