//! HDF5 files, read with the crate `hdf5-reader`: no system library, nothing written.
//!
//! The crate checks offsets, counts and cycles. A file can still have many things share the same bytes, so that little of it
//! becomes much in memory; what is read, unpacked and named is therefore metered here, by the length of the file.

mod attribute;
mod dataset;
mod dense;
mod file;
mod filters;
mod link_names;
mod meter;

pub(super) use dataset::Dataset;
pub(super) use file::{File, Group};

use hdf5_reader::error::Error;

use super::super::error::WeightProblem;

/// What the crate refuses, in the words of this one.
fn problem(error: Error) -> WeightProblem {
    let text = error.to_string();
    match innermost(&error) {
        Error::ResourceLimit(_) => {
            WeightProblem::Harmful(format!("the HDF5 file asks for more than it can need: {text}"))
        }
        Error::UnsupportedFilter(_) | Error::UnsupportedEncoding(_) | Error::UnsupportedChunkIndexType(_) => {
            WeightProblem::Harmful(format!(
                "the HDF5 file is written in a way that is not read ({text}); rewrite it with h5repack --filter=NONE"
            ))
        }
        _ => WeightProblem::Damaged(format!("HDF5: {text}")),
    }
}

/// The error under the paths that the crate puts in front of it.
fn innermost(error: &Error) -> &Error {
    match error {
        Error::Context { source, .. } => innermost(source),
        other => other,
    }
}
