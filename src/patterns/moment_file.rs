//! Moment files: sums in safetensors, checked whole when they are opened.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};

use super::{LayerSource, MomentError};
use crate::backend::LayerMoments;
use crate::network::Preprocessing;
use crate::weights::{Fingerprint, TensorFile, Weights};

/// What is known of moments besides the sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MomentRecord {
    /// Images (crops, where there are several of an image) that were summed.
    pub images: u64,
    /// What tells this run from others: inputs, resize, crop, crops, seed; `shard` as a text `"I/N"` where the run is a
    /// part of one; `device`, `precision` and `version`, which do not tell runs apart. Moments of the same run and shard
    /// are not merged.
    pub run: Map<String, Value>,
    /// How far the run has come, in the caller's own words; `None` when it has finished.
    pub progress: Option<Value>,
}

/// A moment file: mapped, and checked whole.
#[derive(Debug)]
pub struct MomentFile {
    file: TensorFile,
    fingerprint: Fingerprint,
    record: MomentRecord,
}

impl MomentFile {
    /// Writes moments: the file appears, or replaces one, when it is complete and on the disk.
    ///
    /// # Errors
    /// When the moments are not of these weights, hold values that no sums can have, or cannot be written. Then what was
    /// at `path` is still there.
    pub fn write(
        path: &Path,
        moments: &dyn LayerSource,
        record: &MomentRecord,
        weights: &Weights,
    ) -> Result<(), MomentError> {
        todo!()
    }

    /// Maps a moment file and checks that it is of these weights (the first use reads all of them), complete, and as it
    /// was written: reads all of it, on all cores.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(path: &Path, weights: &Weights) -> Result<Self, MomentError> {
        todo!()
    }

    /// As [`MomentFile::open`], of whatever weights.
    ///
    /// # Errors
    /// When the file is damaged, or of another version or kind.
    pub fn inspect(path: &Path) -> Result<Self, MomentError> {
        todo!()
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Images, run and progress.
    pub fn record(&self) -> &MomentRecord {
        &self.record
    }

    /// The architecture of the network, as the file has it.
    pub fn architecture(&self) -> &str {
        todo!()
    }

    /// The preprocessing of the images that were summed.
    pub fn preprocessing(&self) -> &Preprocessing {
        todo!()
    }

    /// Identifies the weights they were summed with.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The file.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }
}

impl LayerSource for MomentFile {
    fn layer_count(&self) -> usize {
        todo!()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        todo!()
    }

    fn has_second_moments(&self) -> bool {
        todo!()
    }
}
