//! Many images through a function: loaded ahead, a batch at a time, several batches at once, results in order.
//!
//! [`batches`] loads images and groups them; [`in_order`] calls a function on several batches at a time and hands on the
//! results in the order of the batches. [`learning_batches`] groups single crops of images, so that a run can stop after
//! any batch and go on from there. [`Stages`] keeps the time that goes into each stage. This room knows images; what the function does with them, and where, is its
//! caller's affair.

mod batches;
mod in_order;
mod learning;
mod stages;

pub use batches::{Batches, Entry, ImageBatch, Loading, Step, Taken, batches};
pub use in_order::in_order;
pub use learning::{Crops, LearningBatch, LearningBatches, Position, learning_batches};
pub use stages::{Lanes, Part, Stage, Stages};
