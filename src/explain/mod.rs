//! From images to explanations: methods as backward passes, targets, and what comes back to the pixels.
//!
//! This room knows no device: it gives a [`Backend`](crate::backend::Backend) operators and gates, and turns what the
//! backend returns into arrays with red, green and blue in this order.

mod device;
mod direction;
mod explainer;
mod fold;
mod method;
mod operators;
mod target;

pub use device::{on_cpu, on_cuda};
pub use direction::random_direction;
pub use explainer::{ExplainError, Explained, Explainer, Explanation, Input, PrepareError};
pub use method::{Estimator, Kind, Method, Operator, Recipe, UnknownMethod};
pub use operators::{OperatorError, Operators};
pub use target::{Target, TargetError};
