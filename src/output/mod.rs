//! What a run leaves behind: arrays, pictures, the manifest and the run record.
//!
//! Every file is written whole or not at all: into a temporary file of the same folder, then renamed over its final
//! name. A killed run therefore never leaves half a picture under a picture's name.
//!
//! - [`Writer`] writes the explanations of one image as PNG, npy, npz or safetensors.
//! - [`picture`] turns explanations into pictures.
//! - [`plot`] draws what was measured.
//! - [`figure`] puts pictures side by side, with captions.
//! - [`report`] shows measured curves and their images on a page.
//! - [`manifest`] keeps one line an image in `manifest.jsonl`.
//! - [`resume`] decides what an earlier run already did, and refuses to mix outputs of different options.
//! - [`shards`] packs the explanations of many images into few files, for sets of any size.
//! - [`run_record`] writes `run.json` at the end of a finished run.

mod arrays;
mod atomic;
mod colour_map;
mod error;
mod explanation;
pub mod figure;
mod format;
pub mod manifest;
mod markup;
mod names;
mod page;
pub mod picture;
pub mod plot;
pub mod report;
pub mod resume;
pub mod run_record;
pub mod shards;
mod store;
mod writer;

pub use error::OutputError;
pub use explanation::{Explanation, Rendering};
pub use format::{Format, parse_formats};
pub use names::path_text;
pub use store::{Element, Store};
pub use writer::{MethodFiles, Writer, prepare_folder};

/// Puts bytes at a path, over what may be there, whole or not at all, and on the disk.
///
/// # Errors
/// When the disk is full or the place cannot be written; then what was there is as before.
pub fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<(), OutputError> {
    atomic::write(path, bytes, atomic::Durability::Power)
}
