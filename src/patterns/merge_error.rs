//! Why moment files cannot be added, and what to know of those that can.

use std::path::PathBuf;

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
    /// Files of the same run and shard, or copies of one.
    #[error("moments {} and {} are of the same run{}: merged, they would count images twice; leave one out",
        first.display(), other.display(), shard.as_ref().map(|shard| format!(", shard {shard:?}")).unwrap_or_default())]
    Repeated {
        /// A file.
        first: PathBuf,
        /// The other.
        other: PathBuf,
        /// The shard that both are of.
        shard: Option<String>,
    },
    /// Files of the same run, cut into shards differently.
    #[error("moments {} and {} are of the same run, one of {first_shard}, the other of {other_shard}: merged, they could \
         count images twice; merge shards of one division only", first.display(), other.display())]
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
        found: u64,
        /// Shards that the run has.
        expected: u64,
        /// Numbers of those that are missing; of none where it cannot be told whether they count from 0 or 1, and of 1000
        /// at most.
        missing: Vec<u64>,
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
