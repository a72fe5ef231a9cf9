//! Why quality cannot be measured.

use crate::patterns::{Component, PatternError};

/// Why the quality of estimators could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// Sums without Σxxᵀ.
    #[error("the {which} moments have no second moments; make them again with --second-moments")]
    NoSecondMoments {
        /// `evaluated` or `fitted`.
        which: &'static str,
    },
    /// Sums of another network.
    #[error(
        "the {which} moments are of another network: {found}, where the weights have {expected}; give the weights that they \
         were learnt with"
    )]
    OtherNetwork {
        /// `evaluated` or `fitted`.
        which: &'static str,
        /// A layer, or the number of layers.
        found: String,
        /// The same of the weights.
        expected: String,
    },
    /// Nothing was summed.
    #[error("the {which} moments are of no image; learn them from some")]
    NoPositions {
        /// `evaluated` or `fitted`.
        which: &'static str,
    },
    /// Patterns that are not finite, or not there.
    #[error(transparent)]
    Patterns(#[from] PatternError),
    /// A layer without the patterns of an estimator that is to be measured.
    #[error(
        "layer {layer} has no '{component}' patterns; leave the estimator out, or learn patterns of all layers"
    )]
    NoPattern {
        /// The layer.
        layer: String,
        /// The kind.
        component: Component,
    },
    /// More memory than there is.
    #[error(
        "measuring layer {layer} takes about {needed} MiB of memory, and {available} MiB are available; use a machine \
         with more"
    )]
    Memory {
        /// The layer that needs the most.
        layer: String,
        /// MiB needed.
        needed: u64,
        /// MiB available.
        available: u64,
    },
}
