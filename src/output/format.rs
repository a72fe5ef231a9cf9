use std::fmt;
use std::str::FromStr;

use super::OutputError;

/// A file format for explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `<stem>.<method>.png`, a picture.
    Png,
    /// `<stem>.<method>.npy`, float32, little-endian, C order, shape (3, H, W).
    Npy,
    /// `<stem>.npz`, all methods of an image: arrays `<method>` (as in npy) and `<method>.scale_log2` (int32, shape ()).
    /// `:` of a method's name is written `-`, as in file names.
    Npz,
    /// `<stem>.safetensors`, with the same names, shapes and types as in npz.
    Safetensors,
}

impl Format {
    /// The format's name, which is also its file extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
        }
    }

    /// Whether one file holds every method of an image.
    pub fn holds_all_methods(self) -> bool {
        matches!(self, Self::Npz | Self::Safetensors)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.extension())
    }
}

impl FromStr for Format {
    type Err = OutputError;

    fn from_str(name: &str) -> Result<Self, OutputError> {
        [Self::Png, Self::Npy, Self::Npz, Self::Safetensors]
            .into_iter()
            .find(|format| format.extension() == name)
            .ok_or_else(|| OutputError::UnknownFormat { name: name.to_owned() })
    }
}

/// Reads a comma-separated list of formats; `none` alone is the empty list. A repeated format counts once.
///
/// # Errors
/// [`OutputError::UnknownFormat`] and [`OutputError::NoneAmongFormats`].
///
/// ```
/// use vggx::output::{Format, parse_formats};
///
/// assert_eq!(parse_formats("png,npy")?, [Format::Png, Format::Npy]);
/// assert_eq!(parse_formats("none")?, []);
/// # Ok::<(), vggx::output::OutputError>(())
/// ```
pub fn parse_formats(list: &str) -> Result<Vec<Format>, OutputError> {
    if list.trim() == "none" {
        return Ok(Vec::new());
    }
    let mut formats = Vec::new();
    for name in list.split(',').map(str::trim) {
        if name == "none" {
            return Err(OutputError::NoneAmongFormats);
        }
        let format = name.parse()?;
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    Ok(formats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_formats() {
        assert_eq!(parse_formats("npz, safetensors,npz").unwrap(), [Format::Npz, Format::Safetensors]);
        assert!(parse_formats("none").unwrap().is_empty());
        assert!(matches!(parse_formats("png,none"), Err(OutputError::NoneAmongFormats)));
        for unknown in ["", "jpeg", "PNG", "png,,npy"] {
            assert!(matches!(parse_formats(unknown), Err(OutputError::UnknownFormat { .. })), "{unknown:?}");
        }
    }
}
