//! What can be wrong with one image.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::archive::ArchiveError;
use super::resize::ResizeError;

/// Why one image could not be loaded, and which.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct ImageError {
    /// The file, as it was named or found.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: ImageProblem,
}

impl ImageError {
    /// Attaches the file's path to a problem.
    pub fn new(path: &Path, problem: ImageProblem) -> Self {
        Self { path: path.to_path_buf(), problem }
    }
}

/// What can be wrong with one image; the messages say what to do about it.
#[derive(Debug, Error)]
pub enum ImageProblem {
    /// Nothing exists under this path.
    #[error("no such file; check the path")]
    NotFound,
    /// The path names a directory where a file is needed.
    #[error("is a directory, not an image; pass it as an input of its own to explain what it contains")]
    Directory,
    /// The path names a pipe, a device or a socket.
    #[error("is not a regular file; save the image to a file first")]
    NotAFile,
    /// The operating system refuses to read it.
    #[error("cannot be read ({0}); check its permissions and the disk")]
    Unreadable(#[source] std::io::Error),
    /// The file has no content.
    #[error("is empty (0 bytes); copy or download it again")]
    Empty,
    /// The content starts like no image format that this program reads.
    #[error("is not an image this program reads; convert it to JPEG, PNG, WebP, GIF, BMP or TIFF")]
    UnknownFormat,
    /// A known format in a flavour that the decoder does not have.
    #[error("this kind of {format} is not supported ({reason}); convert it to a plain 8-bit PNG")]
    Unsupported {
        /// The format, as users call it.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// More pixels than allowed.
    #[error(
        "has {width}×{height} pixels, more than the {max_pixels} allowed; scale it down or raise --max-pixels"
    )]
    TooLarge {
        /// Columns the header announces.
        width: u64,
        /// Rows the header announces.
        height: u64,
        /// The limit in force, in pixels.
        max_pixels: u64,
    },
    /// The file takes more memory than an image of the allowed size can need.
    #[error("needs more memory than an image of at most {max_pixels} pixels should; re-encode it")]
    TooMuchMemory {
        /// The limit in force, in pixels.
        max_pixels: u64,
    },
    /// The file ends before the image does.
    #[error("the {format} is truncated, its end is missing; copy or download it again")]
    Truncated {
        /// The format, as users call it.
        format: &'static str,
    },
    /// The file contradicts its format.
    #[error("the {format} is damaged ({reason}); copy or download it again, or re-encode it")]
    Damaged {
        /// The format, as users call it.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The decoder gave up in a way it should not have.
    #[error("the image decoder failed on this file ({reason}); re-encode it, and please report the file")]
    DecoderFailed {
        /// The decoder's last words.
        reason: String,
    },
    /// A sample of a tar shard without an image.
    #[error("the sample has no image, only {members}; leave it out of the shard, or add its image")]
    NoImage {
        /// The extensions of its members.
        members: String,
    },
    /// A sample of a tar shard with several images, none of which is the sample's own.
    #[error(
        "the sample has several images ({members}), and none of them is its own; give each a key of its own, without a dot \
         before the extension"
    )]
    SeveralImages {
        /// Their extensions.
        members: String,
    },
    /// A link in a tar shard.
    #[error(
        "is a link or a sparse file in the shard, not an image of its own; pack the shard with plain files"
    )]
    Link,
    /// A key that comes twice in a tar shard.
    #[error(
        "the shard has the key {key} twice, and this one would replace the first; give every image a name of its own, or \
         name a common parent folder"
    )]
    RepeatedKey {
        /// The key.
        key: String,
    },
    /// A member of a tar shard whose name leads elsewhere.
    #[error(
        "its name in the shard is absolute or has `..` or a zero byte; pack the shard with plain relative names"
    )]
    UnsafeName,
    /// A tar shard that cannot be read, or not to its end.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The image decoded, but cannot be brought to the wanted size.
    #[error(transparent)]
    Resize(#[from] ResizeError),
}
