//! Patterns: the directions of the signal, one a neuron, learnt for the weights of one network.
//!
//! They are solved from [`Moments`](crate::backend::Moments), sums over images that a backend makes. Sums are kept in
//! moment files, which can be merged; patterns are kept in pattern files:
//!
//! ```no_run
//! use std::path::Path;
//! use vggx::network::PreprocessingOverrides;
//! use vggx::patterns::{Centering, Merged, MomentFile, Patterns, SolveOptions, solve};
//! use vggx::weights::Weights;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = Weights::open(Path::new("vgg16.safetensors"), &PreprocessingOverrides::default())?;
//! let files = ["shard-1.moments.safetensors", "shard-2.moments.safetensors"]
//!     .iter()
//!     .map(|path| MomentFile::open(Path::new(path), &weights))
//!     .collect::<Result<Vec<_>, _>>()?;
//! let merged = Merged::new(&files)?;
//! for notice in merged.notices() {
//!     eprintln!("{notice}");
//! }
//! let options = SolveOptions { centering: Centering::Global, ..SolveOptions::default() };
//! let report = solve(&merged, &merged.record(), &weights, &options, Path::new("patterns.safetensors"))?;
//! println!("{} layers from {} images", report.layers.len(), report.images);
//! let patterns = Patterns::open(Path::new("patterns.safetensors"), &weights)?;
//! # Ok(())
//! # }
//! ```

mod authors_file;
mod component;
mod error;
mod layer_source;
mod merge;
mod merge_error;
mod moment_error;
mod moment_fields;
mod moment_file;
mod pattern_file;
mod report;
mod rounding;
mod shard;
mod solve;
mod solve_error;
mod solve_neuron;

pub use component::Component;
pub use error::PatternError;
pub use layer_source::LayerSource;
pub use merge::Merged;
pub use merge_error::{MergeError, Notice};
pub use moment_error::MomentError;
pub use moment_file::{MomentFile, MomentRecord};
pub use pattern_file::Patterns;
pub use report::{ComponentReport, LayerReport, Report, Spread};
pub use solve::{SolveOptions, solve};
pub use solve_error::SolveError;
pub use solve_neuron::{Centering, CenteringError, Outcome, Solved, solve_neuron};
