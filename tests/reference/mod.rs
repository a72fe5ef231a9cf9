//! An independent, slow and obvious VGG in float64, against which the crate is judged.
//!
//! It shares no code with the crate and does not depend on it: plain nested loops, one plane at a time, no
//! matrix products, no reduced precision, no scaling (float64 holds the 1e29 that PatternNet reaches on VGG16).
//! Integration tests use it through `mod reference;`.
//!
//! ```ignore
//! let network = reference::random_vgg(1, 3, &[&[8], &[16, 16]], Some((2, &[20, 5])));
//! let trace = network.forward(&image, 12, 13);
//! let operators = network.operators(|layer| layer.weight.to_vec());
//! let gradient = network.explain(&trace, &operators, ReferenceGate::Mask, ReferenceStart::One, 3);
//! ```
//!
//! Every array is row-major: images and maps channel, row, column; convolution weights output, input, row, column;
//! dense weights output, input, the input of the first dense layer flattened channel, row, column.

// Each test binary compiles this module for itself and uses a part of it.
#![allow(dead_code, unused_imports)]
// Loops over indices read like the formulas.
#![allow(clippy::needless_range_loop)]

mod compare;
mod explain;
mod features_file;
mod forward;
mod learn;
mod least_squares;
mod network;
mod operators;
mod quality;
mod random;

pub use compare::{Disagreement, argmax_disagreement, cosine, mask_disagreement, norm};
pub use explain::{ReferenceGate, ReferenceStart};
pub use features_file::{features_from_safetensors, shared_folder};
pub use forward::{LayerTrace, Trace};
pub use learn::{Positions, ReferenceCentering, ReferenceComponent, ReferenceMoments, RegimeMoments};
pub use least_squares::{Regression, correlation, regress};
pub use network::{ParametricLayer, ReferenceLayer, ReferenceNetwork};
pub use operators::{filter, filter_attribution, pattern_attribution, scaled_direction};
pub use quality::{ReferenceQuality, ReferenceSignal, quality};
pub use random::{Random, random_image, random_vgg};
