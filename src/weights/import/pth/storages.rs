//! Where the numbers of storages are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::super::archive::{Archive, Entry};

/// The storages of a file.
pub(super) enum Storages {
    /// Entries `FOLDERdata/KEY`.
    Archive { archive: Archive, folder: String },
    /// Ranges of the file by key.
    Listed { map: Arc<Mmap>, ranges: BTreeMap<String, Range<usize>> },
}

/// One storage.
pub(super) enum Place {
    /// As it is in the file.
    Mapped(Arc<Mmap>, Range<usize>),
    /// Compressed.
    Packed(Archive, Entry),
}

impl Place {
    /// Number of bytes, unpacked.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Mapped(_, range) => range.len(),
            Self::Packed(_, entry) => entry.size,
        }
    }
}

impl Storages {
    /// Finds a storage.
    ///
    /// # Errors
    /// When there is none of this name.
    pub(super) fn find(&self, key: &str) -> Result<Place, WeightProblem> {
        match self {
            Self::Archive { archive, folder } => {
                archive.entry(&format!("{folder}data/{key}")).map(|entry| match &entry.stored {
                    Some(range) => Place::Mapped(Arc::clone(archive.map()), range.clone()),
                    None => Place::Packed(archive.clone(), entry.clone()),
                })
            }
            Self::Listed { map, ranges } => {
                ranges.get(key).map(|range| Place::Mapped(Arc::clone(map), range.clone()))
            }
        }
        .ok_or_else(|| WeightProblem::Damaged(format!("storage {key} of a tensor is not in the file")))
    }

    /// Bytes of the file.
    pub(super) fn file_bytes(&self) -> usize {
        match self {
            Self::Archive { archive, .. } => archive.map().len(),
            Self::Listed { map, .. } => map.len(),
        }
    }
}
