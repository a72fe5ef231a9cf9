//! The lists of arrays that `numpy.savez` makes: `PREFIX_0`, `PREFIX_1`, …

use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::super::archive::Archive;
use super::super::array::Array;
use super::npy;

/// More arrays than any list has: a VGG19's has 38.
const MOST: usize = 1024;

/// The arrays of an archive.
pub(super) struct Numbered {
    archive: Archive,
    names: Vec<String>,
}

impl Numbered {
    /// Opens an archive; nothing but its directory is read.
    pub(super) fn open(map: Arc<Mmap>) -> Result<Self, WeightProblem> {
        let archive = Archive::open(map)?;
        let names =
            archive.names().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect();
        Ok(Self { archive, names })
    }

    /// Names of all arrays, sorted as text.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The arrays `PREFIX_0`, `PREFIX_1`, … in this order.
    ///
    /// # Errors
    /// When one is missing before the last, or cannot be read.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<Array>, WeightProblem> {
        let count = self.names.iter().filter(|name| number(name, prefix).is_some()).count().min(MOST);
        (0..count)
            .map(|index| {
                let name = format!("{prefix}_{index}");
                let entry = self.archive.entry(&format!("{name}.npy")).ok_or_else(|| {
                    WeightProblem::MissingTensor {
                        tensor: name.clone(),
                        hint: format!("the file has {count} arrays {prefix}_N, which are numbered from 0"),
                    }
                })?;
                npy::array(&self.archive, &name, entry)
            })
            .collect()
    }

    /// The first few names, for messages.
    pub(super) fn excerpt(&self) -> String {
        const SHOWN: usize = 6;
        let mut text = self.names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if self.names.len() > SHOWN {
            text.push_str(", …");
        }
        text
    }
}

/// N of `PREFIX_N`.
pub(super) fn number(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.strip_prefix('_')?.parse().ok()
}
