//! From images to explanations: methods as backward passes, targets, and what comes back to the pixels.
//!
//! This room knows no device: it gives a [`Backend`](crate::backend::Backend) operators and gates, and turns what the
//! backend returns into arrays with red, green and blue in this order.

mod assemble;
mod deliver;
mod device;
mod direction;
mod error;
mod explained;
mod explainer;
mod fold;
mod half;
mod method;
mod operators;
mod plan;
mod prepared;
mod target;

pub use device::{on_cpu, on_cuda};
pub(crate) use device::{on_cpu_threads, on_cuda_threads};
pub use direction::random_direction;
pub use error::{ExplainError, PrepareError};
pub use explained::{Detail, Explained, Explanation, Exponent, Input, Request};
pub use explainer::Explainer;
pub use half::to_half;
pub use method::{Estimator, Kind, Method, Operator, Recipe, UnknownMethod};
pub use operators::{OperatorError, Operators};
pub use target::{Target, TargetError, largest};
