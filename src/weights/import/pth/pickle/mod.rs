//! A pickle machine that runs nothing: it knows the instructions that `torch.save` and `pickle` write (protocols 2 to 5), a
//! short list of Python's objects by name, and builds values of this program for them. Any other name is refused.
//!
//! Values stand in one table and refer to each other by index, so that a value that is used a thousand times is there once,
//! and nothing is copied or followed while the machine runs. Instructions and values are counted and limited; no number
//! of the file decides how much memory is taken.

mod globals;
mod instructions;
mod machine;
mod objects;
mod source;
mod value;

pub(super) use machine::{Unpickled, unpickle};
pub(super) use value::{Id, Tensor, Value};
