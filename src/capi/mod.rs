//! The C API: what `include/vggx.h` declares. C and C++ programs link `libvggx.a` and need nothing else.
//!
//! cbindgen writes the header from these files (`scripts/regenerate`); their comments are its documentation, so they speak
//! to callers in C, and names are spelt as C has them. The rules that hold for all calls stand at the top of the header
//! (`build/header.rs`).
//!
//! | file | does |
//! |---|---|
//! | `status`, `error`, `failure` | status codes; turns every outcome, panics included, into one and a message |
//! | `arguments`, `handle` | read pointers, sizes, strings, structs and handles that a caller may have got wrong |
//! | `version` | says what was built |
//! | `log` | tells the caller's function what is worth knowing |
//! | `engine`, `options`, `core`, `description` | a network on a device: open, prepare, ask, close |
//! | `image` | image files |
//! | `batch`, `gather` | pixels of the caller |
//! | `classify`, `outcome` | responses and classes; what became of each image |
//! | `explain`, `task` | explanations into the caller's buffers |
//! | `job`, `queue` | the same, while the caller does something else |
//! | `learner`, `learning`, `solve` | patterns for other networks |
//!
//! This layer uses the library's public modules as any Rust program would. It knows no network and no file format.

// The names are C's.
#![allow(non_camel_case_types)]
// What callers must keep to stands once, at the top of the header, and with each pointer.
#![allow(clippy::missing_safety_doc)]

mod arguments;
pub mod batch;
pub mod classify;
mod core;
pub mod description;
pub mod engine;
pub mod error;
pub mod explain;
mod failure;
mod gather;
mod handle;
pub mod image;
pub mod job;
pub mod learner;
mod learning;
pub mod log;
mod options;
mod outcome;
mod queue;
pub mod solve;
pub mod status;
mod task;
pub mod version;
