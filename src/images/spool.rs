//! Lists that can be read only once, kept for a second reading.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::find::FindError;
use super::search::list_path;

/// What came on standard input and through pipes that were named as lists.
#[derive(Debug, Clone, Default)]
pub struct Spool {
    lists: Arc<HashMap<OsString, Arc<[u8]>>>,
}

impl Spool {
    /// Whether any of these inputs is a list that can be read only once: such sets cannot be looked through beforehand.
    pub fn is_needed(inputs: &[OsString]) -> bool {
        inputs.iter().any(|input| reads_once(input))
    }

    /// Reads those of the inputs that can be read only once.
    ///
    /// # Errors
    /// [`FindError::UnreadableList`].
    pub fn read(inputs: &[OsString]) -> Result<Self, FindError> {
        let mut lists = HashMap::new();
        for input in inputs.iter().filter(|input| reads_once(input)) {
            let mut bytes = Vec::new();
            let read = match list_path(input) {
                None => io::stdin().read_to_end(&mut bytes).map(|_| ()),
                Some(path) => fs::read(path).map(|read| bytes = read),
            };
            read.map_err(|source| FindError::UnreadableList {
                path: list_path(input).map_or_else(|| PathBuf::from(input), PathBuf::from),
                source,
            })?;
            lists.insert(input.clone(), bytes.into());
        }
        Ok(Self { lists: Arc::new(lists) })
    }

    /// The list behind an input, where it was read.
    pub(super) fn get(&self, input: &OsStr) -> Option<Arc<[u8]>> {
        self.lists.get(input).cloned()
    }
}

fn reads_once(input: &OsStr) -> bool {
    input == "-"
        || list_path(input).is_some_and(|path| {
            // What is missing is an error when its turn comes.
            fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir())
        })
}
