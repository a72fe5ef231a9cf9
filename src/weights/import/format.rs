//! Which format a file has, by its bytes; the extension only decides where these leave a choice.

use std::path::Path;

use super::super::error::WeightError;
use super::super::mapped::map;

/// A format of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// safetensors; also what is none of the others.
    Safetensors,
    /// PyTorch's zip archive.
    Torch,
    /// PyTorch's format before version 1.6, a pickle.
    TorchLegacy,
    /// Keras's HDF5 file.
    Hdf5,
    /// Keras 3's zip archive.
    Keras,
    /// ONNX.
    Onnx,
    /// NumPy's zip archive.
    Npz,
}

const ZIP: &[u8] = b"PK\x03\x04";
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// How much of a zip archive is looked at for names of members: its start and its end, where the directory is.
const LOOKED_AT: usize = 1 << 16;

impl Format {
    /// The format of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self, WeightError> {
        let map = map(path).map_err(|problem| WeightError::new(path, problem))?;
        Ok(Self::recognise(&map, path))
    }

    /// Recognises the format of a file by its bytes, and by its path where these do not tell.
    pub(crate) fn recognise(file: &[u8], path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let extension = extension.to_ascii_lowercase();
        if file.starts_with(ZIP) || file.starts_with(b"PK\x05\x06") {
            return Self::of_archive(file, &extension);
        }
        if file.starts_with(HDF5) || extension != "safetensors" && has_user_block(file) {
            return Self::Hdf5;
        }
        // Protocol 2 and later begin with their number; safetensors with a length, whose JSON text follows.
        if let [0x80, 2..=5, ..] = file
            && file.get(8) != Some(&b'{')
        {
            return Self::TorchLegacy;
        }
        // PyTorch's before 2017 were tar archives.
        if matches!(extension.as_str(), "pth" | "pt") && file.get(257..262) == Some(b"ustar") {
            return Self::TorchLegacy;
        }
        // A model's first field is its version: tag 8, then a small number.
        let like_onnx = matches!(file, [8, 1..=127, ..]) && file.get(8) != Some(&b'{');
        match extension.as_str() {
            "onnx" if file.get(8) != Some(&b'{') => Self::Onnx,
            "safetensors" => Self::Safetensors,
            _ if like_onnx => Self::Onnx,
            _ => Self::Safetensors,
        }
    }

    fn of_archive(file: &[u8], extension: &str) -> Self {
        let start = &file[..file.len().min(LOOKED_AT)];
        let end = &file[file.len().saturating_sub(LOOKED_AT)..];
        let holds =
            |name: &[u8]| [start, end].iter().any(|part| part.windows(name.len()).any(|at| at == name));
        if holds(b"data.pkl") {
            Self::Torch
        } else if holds(b"model.weights.h5") {
            Self::Keras
        } else if holds(b".npy") {
            Self::Npz
        } else {
            match extension {
                "npz" => Self::Npz,
                "keras" => Self::Keras,
                _ => Self::Torch,
            }
        }
    }

    /// How many times as large as the file its weights may be: packed members are allowed 64 times, and ONNX may write a
    /// number of two bytes in one.
    pub(in crate::weights) fn ratio(self) -> usize {
        match self {
            Self::Safetensors => 1,
            Self::Onnx => 4,
            Self::Torch | Self::TorchLegacy | Self::Hdf5 | Self::Keras | Self::Npz => 64,
        }
    }

    /// What it is called in messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Safetensors => "a safetensors file",
            Self::Torch => "a PyTorch file (.pth, a zip archive)",
            Self::TorchLegacy => "an old PyTorch file (.pth, a pickle)",
            Self::Hdf5 => "an HDF5 file (.h5)",
            Self::Keras => "a Keras archive (.keras)",
            Self::Onnx => "an ONNX file",
            Self::Npz => "a NumPy archive (.npz)",
        }
    }

    /// What it is called in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "pth",
            Self::TorchLegacy => "pth (legacy)",
            Self::Hdf5 => "h5",
            Self::Keras => "keras",
            Self::Onnx => "onnx",
            Self::Npz => "npz",
        }
    }
}

/// HDF5 files may begin with a block of the user's of 512 bytes or a power of two times that.
fn has_user_block(file: &[u8]) -> bool {
    (9..31)
        .map(|shift| 1usize << shift)
        .any(|start| file.get(start..).is_some_and(|rest| rest.starts_with(HDF5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(bytes: &[u8], name: &str) -> Format {
        Format::recognise(bytes, Path::new(name))
    }

    #[test]
    fn formats_are_told_by_their_bytes() {
        let archive = |member: &[u8]| [ZIP, &[0; 26], member].concat();
        assert_eq!(format(&archive(b"archive/data.pkl"), "vgg.bin"), Format::Torch);
        assert_eq!(format(&archive(b"config.json model.weights.h5"), "vgg.zip"), Format::Keras);
        assert_eq!(format(&archive(b"arr_0.npy"), "vgg"), Format::Npz);
        assert_eq!(format(&[0x80, 2, 0x8a, 0x0a], "vgg.pth"), Format::TorchLegacy);
        assert_eq!(format(HDF5, "vgg"), Format::Hdf5);
        let behind = [&[0; 1024][..], HDF5].concat();
        assert_eq!(format(&behind, "vgg.h5"), Format::Hdf5);
        assert_eq!(format(&[8, 7, 18, 7], "model"), Format::Onnx);
        // Headers of 2, of 8 and of 0x280 bytes.
        for length in [2u64, 8, 0x280] {
            let file = [&length.to_le_bytes()[..], b"{}"].concat();
            for name in ["vgg.safetensors", "vgg", "vgg.onnx", "vgg.pth"] {
                assert_eq!(format(&file, name), Format::Safetensors, "{length} {name}");
            }
        }
        assert_eq!(format(b"", "vgg.onnx"), Format::Onnx);
        assert_eq!(format(b"text", "vgg.txt"), Format::Safetensors);
    }
}
