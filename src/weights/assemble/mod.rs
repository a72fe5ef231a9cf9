//! From the steps of an importer to the layers of a network: one place that checks shapes and order, folds batch normalisation
//! and other constants into the layers beside them (in float64), and brings weights into the order that backends take.
//!
//! Shapes are checked for the whole network before any weight is read.

mod affine;
mod builder;
mod draft;
mod fold;
mod input;
mod names;
mod reorder;
#[cfg(test)]
mod tests;

use super::error::WeightProblem;
use super::import::Step;
use super::stored::Stored;
use crate::network::Layer;

pub(super) use input::InputOperations;

/// A network made of steps.
#[derive(Debug)]
pub(super) struct Assembled {
    /// In the order of the forward pass.
    pub(super) layers: Vec<Layer>,
    /// Of each layer that has any.
    pub(super) parameters: Vec<Parameters>,
    /// What the file does to its input before the first layer.
    pub(super) input: InputOperations,
    /// What was left out, for the user.
    pub(super) notes: Vec<String>,
}

/// The tensors of one layer.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Shape of the layer's weight.
    pub(super) weight: Stored,
    /// \[outputs\]
    pub(super) bias: Stored,
    /// What of the file they were made of: names of tensors, then of the steps folded into them.
    pub(super) origins: Vec<String>,
}

/// Checks the steps and makes layers of them. `most` is how many bytes of weights the file's length explains.
///
/// # Errors
/// When a shape does not fit the layer before it, or an operation cannot be a VGG's; names the step or tensor.
pub(super) fn assemble(steps: Vec<Step>, most: usize) -> Result<Assembled, WeightProblem> {
    let mut builder = builder::Builder::default();
    for step in steps {
        builder.add(step)?;
    }
    builder.finish(most)
}
