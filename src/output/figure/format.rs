//! Formats of figures.

use super::FigureError;
use crate::output::path_text;
use std::path::Path;
use std::str::FromStr;

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureFormat {
    /// One picture, captions in the embedded font.
    Png,
    /// Pictures inside as PNG; captions are text, in the reader's font.
    Svg,
    /// A page that is one file.
    Html,
}

impl FigureFormat {
    /// The format that a file's extension means.
    ///
    /// # Errors
    /// When it means none.
    pub fn of(path: &Path) -> Result<Self, FigureError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        extension.parse().map_err(|_| FigureError::UnknownExtension { name: path_text(path) })
    }
}

impl FromStr for FigureFormat {
    type Err = FigureError;

    fn from_str(name: &str) -> Result<Self, FigureError> {
        match name.to_ascii_lowercase().as_str() {
            "png" => Ok(FigureFormat::Png),
            "svg" => Ok(FigureFormat::Svg),
            "html" | "htm" => Ok(FigureFormat::Html),
            _ => Err(FigureError::UnknownFormat { name: name.to_owned() }),
        }
    }
}
