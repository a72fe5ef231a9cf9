//! Units of work: what is done, recorded and gone on from as a whole. A tar shard is one; single images are grouped.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::archive::ArchiveError;
use super::find::FindError;
use super::input::{Archive, Found, InputImage};
use super::samples::Samples;
use crate::hash;
use crate::output::path_text;

/// Bytes at either end of an archive that tell it from another one.
const END: u64 = 1 << 16;

/// Images that are worked on together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its number among all units of the call, from 0, whichever of them are worked on here.
    pub number: u64,
    /// What its outputs are named after: a relative path without extension.
    pub stem: PathBuf,
    /// Where its images come from.
    pub source: Source,
}

/// Where the images of a unit come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A tar shard.
    Archive(Archive),
    /// Single images.
    Images(Vec<InputImage>),
    /// Random pixels.
    Noise {
        /// Of the random numbers.
        seed: u64,
        /// The number of the first image.
        first: u64,
        /// The number after the last one.
        end: u64,
    },
}

impl Unit {
    /// What messages and records call it.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Archive(archive) => path_text(&archive.path),
            Source::Images(_) | Source::Noise { .. } => path_text(&self.stem),
        }
    }

    /// Number of images, where it is known before they are read.
    pub fn known_images(&self) -> Option<u64> {
        match &self.source {
            Source::Archive(_) => None,
            Source::Images(images) => Some(images.len() as u64),
            Source::Noise { first, end, .. } => Some(end - first),
        }
    }

    /// A short text that changes when the unit is made of other images: of an archive its length and a hash of its first and
    /// last bytes, where packers leave the time at which they packed; else the number of images and a hash (FNV-1a, 64 bits) of
    /// their paths and targets. What is in the images is not part of it.
    pub fn content(&self) -> String {
        match &self.source {
            Source::Archive(archive) => match ends(&archive.path) {
                Ok((length, hash)) => format!("{length} bytes {hash:016x}"),
                // Who reads it tells what is wrong.
                Err(_) => "unreadable".to_owned(),
            },
            Source::Images(images) => {
                let hash = images.iter().fold(hash::EMPTY, |hash, image| {
                    let target = image.target.as_deref().unwrap_or_default();
                    // A leading `./` makes no other image.
                    let path =
                        image.path.strip_prefix(".").unwrap_or(&image.path).as_os_str().as_encoded_bytes();
                    hash::extend(hash, [path, b"\t", target.as_bytes(), b"\n"].concat())
                });
                format!("{} images {hash:016x}", images.len())
            }
            Source::Noise { seed, first, end } => format!("noise {first} to {end}, seed {seed}"),
        }
    }

    /// Its images in order.
    ///
    /// # Errors
    /// Where the archive cannot be opened.
    pub fn samples(&self, max_pixels: u64) -> Result<Samples, ArchiveError> {
        match &self.source {
            Source::Archive(archive) => Samples::of_archive(archive, max_pixels),
            Source::Images(images) => Ok(Samples::of_images(images.clone())),
            Source::Noise { seed, first, end } => Ok(Samples::of_noise(*seed, *first, *end)),
        }
    }
}

/// The length of a file and a hash of its ends.
pub(super) fn ends(path: &Path) -> io::Result<(u64, u64)> {
    // Opening a pipe would wait for its writer and take what it writes.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    (&mut file).take(END).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    file.take(END).read_to_end(&mut bytes)?;
    Ok((length, hash::extend(hash::EMPTY, bytes)))
}

/// Groups what is found into units as they are wanted: an archive is one, `size` single images in a row are one,
/// `images-00000` and so on.
pub struct Units {
    found: Box<dyn Iterator<Item = Result<Found, FindError>> + Send>,
    /// Images of a unit.
    size: usize,
    images: Vec<InputImage>,
    /// Units of single images so far.
    grouped: u64,
    /// All units so far.
    number: u64,
    ready: VecDeque<Result<Source, FindError>>,
    ended: bool,
}

impl Units {
    /// A `size` of 0 counts as 1.
    pub fn new(found: impl Iterator<Item = Result<Found, FindError>> + Send + 'static, size: usize) -> Self {
        Self {
            found: Box::new(found),
            size: size.max(1),
            images: Vec::new(),
            grouped: 0,
            number: 0,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Units of noise, `images` in all.
    pub fn of_noise(images: u64, seed: u64, size: usize) -> impl Iterator<Item = Unit> + Send {
        let size = size.max(1) as u64;
        (0..images.div_ceil(size)).map(move |number| {
            let first = number * size;
            let end = (first + size).min(images);
            let stem = format!("synthetic-{number:05}").into();
            Unit { number, stem, source: Source::Noise { seed, first, end } }
        })
    }

    /// What has been collected, as a unit.
    fn flush(&mut self) {
        if !self.images.is_empty() {
            self.ready.push_back(Ok(Source::Images(std::mem::take(&mut self.images))));
        }
    }

    /// Takes what is found until a unit is ready.
    fn collect(&mut self) {
        while self.ready.is_empty() && !self.ended {
            match self.found.next() {
                Some(Ok(Found::Archive(archive))) => self.ready.push_back(Ok(Source::Archive(archive))),
                Some(Ok(Found::Image(image))) => {
                    self.images.push(image);
                    if self.images.len() >= self.size {
                        self.flush();
                    }
                }
                Some(Err(error)) => {
                    self.flush();
                    self.ready.push_back(Err(error));
                    self.ended = true;
                }
                None => {
                    self.flush();
                    self.ended = true;
                }
            }
        }
    }
}

impl Iterator for Units {
    type Item = Result<Unit, FindError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.collect();
        Some(self.ready.pop_front()?.map(|source| {
            let stem = match &source {
                Source::Archive(archive) => archive.stem(),
                Source::Images(_) | Source::Noise { .. } => {
                    self.grouped += 1;
                    PathBuf::from(format!("images-{:05}", self.grouped - 1))
                }
            };
            self.number += 1;
            Unit { number: self.number - 1, stem, source }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &str) -> Vec<Result<Found, FindError>> {
        let one = |letter: char| {
            let path = PathBuf::from(letter.to_string());
            if letter.is_uppercase() {
                let name = path.with_extension("tar");
                Ok(Found::Archive(Archive { path: name.clone(), name, target: None }))
            } else if letter == '!' {
                Err(FindError::BadList { path, line: 1, reason: "test" })
            } else {
                Ok(Found::Image(InputImage { path: path.clone(), name: path, target: None }))
            }
        };
        names.chars().map(one).collect()
    }

    fn units(names: &str, size: usize) -> Vec<String> {
        let text = |unit: Result<Unit, FindError>| match unit {
            Ok(unit) => {
                let images = match &unit.source {
                    Source::Images(images) => {
                        images.iter().map(|image| image.name.to_str().unwrap()).collect()
                    }
                    _ => String::new(),
                };
                format!("{} {} {images}", unit.number, unit.stem.display())
            }
            Err(error) => error.to_string(),
        };
        Units::new(found(names).into_iter(), size).map(text).collect()
    }

    #[test]
    fn single_images_are_grouped_and_archives_are_not() {
        assert_eq!(units("", 2), [""; 0]);
        assert_eq!(units("abcde", 2), ["0 images-00000 ab", "1 images-00001 cd", "2 images-00002 e"]);
        assert_eq!(units("aAbBc", 2), ["0 A ", "1 images-00000 ab", "2 B ", "3 images-00001 c"]);
        assert_eq!(units("ab", 0), ["0 images-00000 a", "1 images-00001 b"]);
        let ended = units("abc!d", 2);
        assert_eq!(ended[..2], ["0 images-00000 ab", "1 images-00001 c"]);
        assert!(ended.len() == 3 && ended[2].contains("test"), "{ended:?}");
    }

    #[test]
    fn the_content_changes_with_the_images() {
        let unit = |names: &str| {
            let images = found(names).into_iter().map(|found| match found.unwrap() {
                Found::Image(image) => image,
                Found::Archive(_) => unreachable!(),
            });
            Unit { number: 0, stem: "s".into(), source: Source::Images(images.collect()) }
        };
        let mut with_target = unit("ab");
        let Source::Images(images) = &mut with_target.source else { unreachable!() };
        images[0].target = Some("5".to_owned());
        let contents =
            [unit("ab"), unit("ba"), unit("abc"), unit("a"), with_target].map(|unit| unit.content());
        for (index, content) in contents.iter().enumerate() {
            assert!(!contents[..index].contains(content), "{contents:?}");
        }
        assert_eq!(unit("ab").content(), unit("ab").content());
    }

    #[test]
    fn noise_comes_in_units_too() {
        let units: Vec<_> = Units::of_noise(5, 9, 2).collect();
        assert_eq!(units.len(), 3);
        assert_eq!(units[2].source, Source::Noise { seed: 9, first: 4, end: 5 });
        assert_eq!((units[2].known_images(), units[2].stem.to_str()), (Some(1), Some("synthetic-00002")));
    }
}
