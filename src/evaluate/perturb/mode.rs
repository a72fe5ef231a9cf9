//! From which image to which the patches lead.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// From which image to which the patches lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the image on, as many patches as are asked for are replaced: the paper's figure 5.
    Flip,
    /// From the image to the replaced one.
    Deletion,
    /// From the replaced image to the image.
    Insertion,
}

/// A word that is no mode.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown mode '{0}'; known are flip, deletion and insertion")]
pub struct ParseModeError(String);

impl FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, ParseModeError> {
        match text {
            "flip" => Ok(Mode::Flip),
            "deletion" => Ok(Mode::Deletion),
            "insertion" => Ok(Mode::Insertion),
            _ => Err(ParseModeError(text.to_owned())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Mode::Flip => "flip",
            Mode::Deletion => "deletion",
            Mode::Insertion => "insertion",
        })
    }
}

impl Mode {
    /// Ranks of the patches that are replaced when `count` of `patches` have had their turn.
    pub(super) fn replaced(self, count: usize, patches: usize) -> Range<u32> {
        let (count, patches) = (count as u32, patches as u32);
        match self {
            Mode::Flip | Mode::Deletion => 0..count,
            Mode::Insertion => count..patches,
        }
    }
}
