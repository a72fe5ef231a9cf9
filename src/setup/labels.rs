//! The names of a network's outputs.

use crate::weights::Weights;
use std::io;
use std::path::{Path, PathBuf};

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file cannot be read.
    #[error(
        "cannot read the labels {}: {source}; name a text file in UTF-8 with one name a line, and check its permissions",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There are more or fewer than outputs.
    #[error(
        "the labels {} have {lines} lines, but the network has {outputs} outputs; give one name a line, in the order of \
         the outputs",
        path.display()
    )]
    Count {
        /// The file.
        path: PathBuf,
        /// Its lines.
        lines: usize,
        /// The network's outputs.
        outputs: usize,
    },
}

/// The names of a network's outputs: those of the file that was named, else those in the file of weights, else the classes
/// that their number tells ([`Network::class_names`](crate::network::Network::class_names)), else none.
///
/// # Errors
/// When the file cannot be read, or does not have a name for each output.
pub fn find_labels(named: Option<&Path>, weights: &Weights) -> Result<Option<Vec<String>>, LabelError> {
    let network = weights.network();
    match named {
        Some(path) => read_labels(path, network.outputs()).map(Some),
        None => Ok(weights.labels().map(<[String]>::to_vec).or_else(|| network.class_names())),
    }
}

/// One name a line, in UTF-8; empty lines at the end do not count.
fn read_labels(path: &Path, outputs: usize) -> Result<Vec<String>, LabelError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| LabelError::Unreadable { path: path.to_owned(), source })?;
    let mut labels: Vec<String> =
        text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().to_owned()).collect();
    while labels.last().is_some_and(String::is_empty) {
        labels.pop();
    }
    if labels.len() != outputs {
        return Err(LabelError::Count { path: path.to_owned(), lines: labels.len(), outputs });
    }
    Ok(labels)
}
