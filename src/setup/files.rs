//! The files of a network: those that are named, else the bundled ones.

use crate::network::PreprocessingOverrides;
use crate::weights::{WeightError, Weights, bundled};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bundled files are nowhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "the bundled {what} are in none of these folders: {}; set VGGX_DATA to the folder that holds them, or name a file",
    self.list(", ")
)]
pub struct NotBundled {
    /// `weights` or `patterns`.
    pub what: &'static str,
    /// The folders that were searched, in order.
    pub folders: Vec<PathBuf>,
}

impl NotBundled {
    fn new(what: &'static str, data: Option<&Path>) -> Self {
        let folders = data.map(Path::to_path_buf).into_iter().chain(bundled::searched()).collect();
        NotBundled { what, folders }
    }

    /// The folders with something between them.
    pub fn list(&self, between: &str) -> String {
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        folders.join(between)
    }
}

/// The weights that were named, else the bundled ones; these are looked for in the folder `data` first.
///
/// # Errors
/// When none were named and the bundled ones are nowhere.
pub fn find_weights(named: Option<&Path>, data: Option<&Path>) -> Result<PathBuf, NotBundled> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => bundled_weights(data).ok_or_else(|| NotBundled::new("weights", data)),
    }
}

/// The patterns of weights: those that were named, else the bundled ones if the weights are bundled, also when these were
/// named; else none.
///
/// # Errors
/// When the bundled ones are wanted and nowhere.
pub fn find_patterns(
    named: Option<&Path>,
    weights: &Path,
    data: Option<&Path>,
) -> Result<Option<PathBuf>, NotBundled> {
    if let Some(path) = named {
        return Ok(Some(path.to_owned()));
    }
    let place = |path: &Path| path.canonicalize().ok();
    let bundled = bundled_weights(data).as_deref().and_then(place);
    if bundled.is_none() || bundled != place(weights) {
        return Ok(None);
    }
    let patterns = inside(data, bundled::PATTERNS).or_else(bundled::patterns);
    patterns.map(Some).ok_or_else(|| NotBundled::new("patterns", data))
}

fn bundled_weights(data: Option<&Path>) -> Option<PathBuf> {
    inside(data, bundled::WEIGHTS).or_else(bundled::weights)
}

fn inside(folder: Option<&Path>, name: &str) -> Option<PathBuf> {
    folder.map(|folder| folder.join(name)).filter(|path| path.is_file())
}

/// Maps weights and checks them whole.
///
/// # Errors
/// When the file is refused.
pub fn open_weights(path: &Path, overrides: &PreprocessingOverrides) -> Result<Arc<Weights>, WeightError> {
    let weights = Weights::open(path, overrides)?;
    weights.check_finite()?;
    Ok(Arc::new(weights))
}
