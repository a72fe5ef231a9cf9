//! The file that says that a shard is finished.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::OutputError;
use super::super::atomic::{self, Durability};
use super::super::resume::Identity;
use super::super::run_record::Times;

/// What a finished shard is, and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// The shard's path below the output folder, without extension.
    pub shard: String,
    /// What it was made from.
    pub input: String,
    /// What that was made of, see [`Unit::content`](crate::images::Unit::content).
    pub content: String,
    /// Why the input could not be read to its end; its shard is made again by the next run.
    pub error: Option<String>,
    /// What became of its images.
    pub counts: ShardCounts,
    /// Its files with their lengths in bytes.
    pub files: BTreeMap<String, u64>,
    /// What decided the outputs.
    pub identity: Identity,
    /// Who made it.
    #[serde(flatten)]
    pub made: Made,
}

/// Who made a shard, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Version of vggx.
    pub version: String,
    /// The device that computed.
    pub device: String,
    /// From when the first image was looked for to when the last one was written; those of shards overlap.
    pub times: Times,
}

/// Numbers of images of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCounts {
    /// All: `done` + `failed`.
    pub images: u64,
    /// Explained.
    pub done: u64,
    /// Not explained: the rows say why.
    pub failed: u64,
}

impl Marker {
    /// Reads a marker; none where there is no file, or an empty one.
    ///
    /// # Errors
    /// [`OutputError::Read`]; [`OutputError::Damaged`] where it is no marker.
    pub fn read(path: &Path) -> Result<Option<Self>, OutputError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(OutputError::reading(path, error)),
        };
        if bytes.is_empty() {
            // What a power failure leaves of a file that the disk had not got yet.
            return Ok(None);
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| OutputError::Damaged { path: path.to_path_buf(), reason: error.to_string() })
    }

    /// Removes it, and then the files of its shard, from an output folder.
    ///
    /// # Errors
    /// [`OutputError::Write`].
    pub(super) fn remove(&self, folder: &Path) -> Result<(), OutputError> {
        // A marker is a file that anybody may have written: nothing but files of the shard's name is touched.
        let prefix = format!("{}.", self.shard);
        let own = self.files.keys().filter(|file| {
            file.strip_prefix(&prefix).is_some_and(|extension| !extension.contains(['/', '.']))
        });
        for file in std::iter::once(&format!("{prefix}json")).chain(own) {
            atomic::remove(&folder.join(file))?;
        }
        Ok(())
    }

    /// Writes it, and waits until the disk has it.
    ///
    /// # Errors
    /// [`OutputError::NoSpace`], [`OutputError::Write`].
    pub(super) fn write(&self, path: &Path) -> Result<(), OutputError> {
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|error| OutputError::writing(path, error.into()))?;
        text.push(b'\n');
        atomic::write(path, &text, Durability::Power)
    }
}
