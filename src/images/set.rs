//! A set of images that is read more than once, and of which runs on several machines take shares.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ImageProblem;
use super::find::FindError;
use super::input::{Archive, Found, InputImage};
use super::sample::{Content, Sample};
use super::samples::Samples;
use super::search::search_spooled;
use super::shard::Shard;
use super::spool::Spool;
use super::units::ends;
use crate::hash;

/// What inputs name: single images and tar shards, each once. Nothing of it is kept in memory but hashes where the same
/// file might be named twice.
#[derive(Debug, Clone)]
pub struct ImageSet {
    inputs: Vec<OsString>,
    spool: Spool,
}

/// How much there is in a set, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Single images.
    pub images: u64,
    /// Tar shards.
    pub archives: u64,
    /// A hash (FNV-1a, 64 bits) of the names below the directories that were searched, and of the lengths of the files, of
    /// archives also of their ends, in order. Where the files lie is not part of it, so that machines with other mount points share a run.
    pub digest: String,
}

impl Survey {
    /// That of single images.
    pub fn of(images: &[InputImage]) -> Self {
        let hash = images.iter().fold(hash::EMPTY, |hash, image| add(hash, &image.path, &image.name));
        Self { images: images.len() as u64, archives: 0, digest: format!("{hash:016x}") }
    }

    /// Images and tar shards.
    pub fn inputs(&self) -> u64 {
        self.images + self.archives
    }

    /// Images and tar shards in a share.
    pub fn inputs_of(&self, shard: Shard) -> u64 {
        let of = |count: u64| (count + shard.count() - 1 - shard.index()) / shard.count();
        of(self.images) + of(self.archives)
    }
}

/// An image with a number that tells it from others of the set: of a single image its place among those; of one in an
/// archive a hash of its name, since others are not read to count it.
pub struct Numbered {
    /// The number.
    pub number: u64,
    /// The image.
    pub sample: Sample,
}

impl From<(u64, InputImage)> for Numbered {
    fn from((number, image): (u64, InputImage)) -> Self {
        Self { number, sample: image.into() }
    }
}

impl ImageSet {
    /// The set that inputs name, as [`search`](super::search::search()) reads them. Lists that can be read only once
    /// are read now.
    ///
    /// # Errors
    /// Where such a list cannot be read.
    pub fn new(inputs: &[OsString]) -> Result<Self, FindError> {
        Ok(Self { inputs: inputs.to_vec(), spool: Spool::read(inputs)? })
    }

    /// What is in it, in order.
    pub fn found(&self) -> impl Iterator<Item = Result<Found, FindError>> + Send + 'static + use<> {
        // A directory alone holds every file once.
        let alone = matches!(&self.inputs[..], [input] if Path::new(input).is_dir());
        let mut seen = (!alone).then(Seen::default);
        search_spooled(&self.inputs, &self.spool).filter(move |found| match (found, &mut seen) {
            (Ok(found), Some(seen)) => seen.is_new(found),
            _ => true,
        })
    }

    /// Reads through it.
    ///
    /// # Errors
    /// Where a list cannot be read.
    pub fn survey(&self) -> Result<Survey, FindError> {
        let (mut images, mut archives, mut hash) = (0, 0, hash::EMPTY);
        for found in self.found() {
            let found = found?;
            *(if matches!(found, Found::Image(_)) { &mut images } else { &mut archives }) += 1;
            hash = add(hash, found.path(), found.name());
            if let Found::Archive(archive) = &found {
                // Archives are often of equal lengths.
                let ends = ends(&archive.path).map_or(0, |(_, ends)| ends);
                hash = hash::extend(hash, ends.to_le_bytes());
            }
        }
        Ok(Survey { images, archives, digest: format!("{hash:016x}") })
    }

    /// The images of a share, in order: single ones and archives are dealt out in turn, each kind by itself. What stands in
    /// for an archive that cannot be read to its end, or for a list, fails when it is loaded.
    pub fn samples(
        &self,
        shard: Shard,
        max_pixels: u64,
    ) -> impl Iterator<Item = Numbered> + Send + 'static + use<> {
        let (mut images, mut archives) = (0, 0);
        let share = self.found().filter_map(move |found| match found {
            Ok(found) => {
                let number = if matches!(found, Found::Image(_)) { &mut images } else { &mut archives };
                *number += 1;
                shard.holds(*number - 1).then_some(Ok((*number - 1, found)))
            }
            Err(error) => Some(Err(error)),
        });
        share.flat_map(move |found| -> Box<dyn Iterator<Item = Numbered> + Send> {
            match found {
                Ok((number, Found::Image(image))) => {
                    Box::new(std::iter::once(Numbered { number, sample: image.into() }))
                }
                Ok((_, Found::Archive(archive))) => in_archive(archive, max_pixels),
                Err(error) => {
                    let name = PathBuf::from("list");
                    let image = InputImage { path: name.clone(), name, target: None };
                    let problem = ImageProblem::Unreadable(io::Error::other(error.to_string()));
                    Box::new(std::iter::once(refused(image, problem)))
                }
            }
        })
    }
}

/// The digest after one more file.
fn add(digest: u64, path: &Path, name: &Path) -> u64 {
    let length = fs::metadata(path).map_or(0, |file| file.len());
    let name = name.as_os_str().as_encoded_bytes();
    hash::extend(digest, name.iter().copied().chain([0]).chain(length.to_le_bytes()))
}

/// The images of an archive.
fn in_archive(archive: Archive, max_pixels: u64) -> Box<dyn Iterator<Item = Numbered> + Send> {
    let stem = archive.stem();
    let whole = InputImage { path: archive.path.clone(), name: archive.name.clone(), target: None };
    match Samples::of_archive(&archive, max_pixels) {
        Ok(samples) => Box::new(samples.map(move |sample| match sample {
            Ok(sample) => {
                let parts =
                    [stem.as_path(), &sample.image.name].map(|part| part.as_os_str().as_encoded_bytes());
                let number = hash::extend(hash::EMPTY, parts.join(&b'/'));
                Numbered { number, sample }
            }
            Err(error) => refused(whole.clone(), error.into()),
        })),
        Err(error) => Box::new(std::iter::once(refused(whole, error.into()))),
    }
}

fn refused(image: InputImage, problem: ImageProblem) -> Numbered {
    Numbered { number: 0, sample: Sample { image, content: Content::Refused(problem) } }
}

/// What was found already, whatever its targets.
#[derive(Default)]
struct Seen {
    files: HashSet<u64>,
    folders: HashMap<PathBuf, PathBuf>,
}

impl Seen {
    fn is_new(&mut self, found: &Found) -> bool {
        let identity = identity(found.path(), found.name(), &mut self.folders);
        self.files.insert(hash::extend(hash::EMPTY, identity.as_os_str().as_encoded_bytes().iter().copied()))
    }
}

/// The true place of something found: links to folders count only above the directory that was searched. `folders` keeps
/// the true places of folders: lists name thousands of files of the same few.
pub(super) fn identity(path: &Path, name: &Path, folders: &mut HashMap<PathBuf, PathBuf>) -> PathBuf {
    let root = path.ancestors().nth(name.components().count()).unwrap_or(Path::new(""));
    if let Some(known) = folders.get(root) {
        return known.join(name);
    }
    let named = if root.as_os_str().is_empty() { Path::new(OsStr::new(".")) } else { root };
    let place = fs::canonicalize(named).unwrap_or_else(|_| named.to_path_buf());
    folders.insert(root.to_path_buf(), place.clone());
    place.join(name)
}
