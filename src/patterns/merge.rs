//! Moments of several files, added.

use std::borrow::Cow;
use std::path::PathBuf;

use super::{LayerSource, MomentFile, MomentRecord};
use crate::backend::LayerMoments;

/// Moment files that cannot be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// No file at all.
    #[error("no moment files to merge; give at least one")]
    Empty,
    /// Files of different weights.
    #[error("moments {} and {} are of different weights ({difference}); merge moments of the same weights only",
        first.display(), other.display())]
    OtherWeights {
        /// A file.
        first: PathBuf,
        /// The other.
        other: PathBuf,
        /// The first layer that differs, and in what.
        difference: String,
    },
    /// Files whose images were prepared differently.
    #[error("moments {} and {} are of images with different preprocessing (mean, std, pixel scale or channel order); \
         merge moments with the same preprocessing only", first.display(), other.display())]
    OtherPreprocessing {
        /// A file.
        first: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Files of the same run and shard, or the same file.
    #[error("moments {} and {} are of the same run{}: merged, they would count images twice; leave one out",
        first.display(), other.display(), shard.as_ref().map(|shard| format!(", shard {shard}")).unwrap_or_default())]
    Repeated {
        /// A file.
        first: PathBuf,
        /// The other.
        other: PathBuf,
        /// The shard that both are of.
        shard: Option<String>,
    },
    /// Files of the same run, cut into shards differently.
    #[error("moments {} and {} are of the same run, one {first_shard}, the other {other_shard}: merged, they could count \
         images twice; use shards of one division", first.display(), other.display())]
    OtherDivision {
        /// A file.
        first: PathBuf,
        /// Its part of the run.
        first_shard: String,
        /// The other.
        other: PathBuf,
        /// Its part of the run.
        other_shard: String,
    },
}

/// Something that a user should know about merged moments, and that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Shards of a run are not among the files.
    MissingShards {
        /// A file of the run.
        path: PathBuf,
        /// Shards that are there.
        found: usize,
        /// Shards that the run has.
        expected: usize,
        /// Which are missing, where their numbers tell.
        missing: Vec<String>,
    },
    /// The run of this file has not finished.
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// Other files have Σxxᵀ and this one has not, so the sum has none.
    SecondMomentsDropped {
        /// The file.
        path: PathBuf,
    },
}

/// Moment files as one: their sums, added in float64 in the order given, a layer at a time.
#[derive(Debug)]
pub struct Merged<'a> {
    files: &'a [MomentFile],
    notices: Vec<Notice>,
}

impl<'a> Merged<'a> {
    /// Checks that the files can be added.
    ///
    /// # Errors
    /// When there are none, when they are of different weights or preprocessing, or when images would count twice.
    pub fn new(files: &'a [MomentFile]) -> Result<Self, MergeError> {
        todo!()
    }

    /// What the user should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Images of all files, and what their runs were: of a single file its run; otherwise the runs in a list under `runs`,
    /// shards of one run together.
    pub fn record(&self) -> MomentRecord {
        todo!()
    }
}

impl LayerSource for Merged<'_> {
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

impl std::fmt::Display for Notice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
