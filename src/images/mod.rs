//! Finding, decoding, resizing and prefetching of images.
//!
//! From what a user names to pixels the network can take, one step a file:
//!
//! 1. [`mod@search`] turns command-line inputs (files, directories, lists, tar shards) into [`InputImage`]s and
//!    [`Archive`]s as they are wanted; [`find`] into a list of images.
//! 2. [`decode`] reads one file, whatever its format, into upright 8-bit RGB.
//! 3. [`resize`] brings the shorter side to a length and cuts out the centre.
//! 4. [`mod@load`] is decode and resize in one call; [`random_crop`] makes random crops instead.
//! 5. [`mod@prefetch`] loads many images ahead of a consumer, in order, on worker threads.
//!
//! For sets of any size, [`units`] groups what was found, [`samples`] opens archives, and a [`Sample`] is
//! what comes out; an [`ImageSet`] is one that is read more than once.
//! [`shard`] is a share of all that, for runs on several machines.
//!
//! This room knows files and pixels; it knows nothing of networks, devices or outputs.

mod archive;
mod braces;
pub mod collisions;
pub mod decode;
pub mod error;
pub mod find;
mod flatten;
mod input;
mod jpeg;
mod list;
pub mod load;
pub mod prefetch;
pub mod random_crop;
pub mod resize;
pub mod sample;
pub mod samples;
pub mod search;
pub mod set;
pub mod shard;
mod spool;
pub mod units;
mod walk;

pub use archive::ArchiveError;
pub use collisions::output_collisions;
pub use error::{ImageError, ImageProblem};
pub use find::{FindError, Inputs};
pub use input::{Archive, Found, InputImage};
pub use load::{LoadOptions, load};
pub use prefetch::{Prefetch, prefetch};
pub use random_crop::random_crops;
pub use sample::{Content, Sample};
pub use search::search;
pub use set::{ImageSet, Numbered, Survey};
pub use shard::{Shard, ShardError};
pub use spool::Spool;
pub use units::{Unit, Units};

/// An image of 8-bit red, green and blue samples, upright, without alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    /// Columns, in pixels.
    pub width: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// `height * width * 3` samples, row by row (HWC), each pixel as R, G, B, from 0 to 255.
    pub pixels: Vec<u8>,
}
