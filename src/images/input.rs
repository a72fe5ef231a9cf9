//! What there is to work on: single images, and archives of many.

use std::path::{Path, PathBuf};

/// One image to work on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InputImage {
    /// Where to read it; of a member of an archive the archive's path and the member's.
    pub path: PathBuf,
    /// What outputs are named after, always relative and without `..`: the path below the directory that was
    /// given, else the file name alone.
    pub name: PathBuf,
    /// The target that a list or an archive gives it, as written there.
    pub target: Option<String>,
}

impl InputImage {
    /// The path of its outputs below the output folder, without method and extension: `a/cat.jpg` gives `a/cat`.
    pub fn stem(&self) -> PathBuf {
        self.name.with_extension("")
    }
}

/// A tar shard of images to work on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Archive {
    /// Where to read it.
    pub path: PathBuf,
    /// What outputs are named after, as that of an image.
    pub name: PathBuf,
    /// The target of images in it that have none of their own.
    pub target: Option<String>,
}

impl Archive {
    /// The path of its outputs below the output folder, without extension: `train/00042.tar` gives `train/00042`.
    pub fn stem(&self) -> PathBuf {
        self.name.with_extension("")
    }
}

/// One thing found behind what a user names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Found {
    /// A single image.
    Image(InputImage),
    /// A tar shard.
    Archive(Archive),
}

impl Found {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Found::Image(image) => &image.path,
            Found::Archive(archive) => &archive.path,
        }
    }

    /// What its outputs are named after.
    pub fn name(&self) -> &Path {
        match self {
            Found::Image(image) => &image.name,
            Found::Archive(archive) => &archive.name,
        }
    }
}
