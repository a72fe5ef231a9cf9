//! Explanations of many images in few files: one shard of outputs for each unit of inputs.
//!
//! Of the unit `00042` there are, in the output folder,
//!
//! | file | holds |
//! |---|---|
//! | `00042.tar` | `<key>.<method>.png` and `.npy` of every image, where these formats are asked for |
//! | `00042.npz`, `00042.safetensors` | arrays `<key>.<method>` and `<key>.<method>.scale_log2` of every image |
//! | `00042.jsonl` or `00042.parquet` | a row an image, in order, as in the manifest |
//! | `00042.json` | the [`Marker`]: that the shard is finished, of what it was made and how |
//!
//! Every file is written under a temporary name and renamed when it is whole, the marker last. So what has a marker is
//! done, what has none is done again, and a killed process loses the shard it was in. Several processes may work on
//! shards of one folder.

mod encoded;
mod files_below;
mod foreign;
mod marker;
mod npz;
mod parquet;
mod rows;
mod safetensors;
mod set;
mod tar;
mod writer;

pub use encoded::Encoded;
pub use marker::{Made, Marker, ShardCounts};
pub use rows::RowFormat;
pub use set::{Layout, ShardSet, Sharing};
pub use writer::ShardWriter;
