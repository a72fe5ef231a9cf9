//! The samples of a unit of work, one after another.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};
use std::vec;

use serde_json::Value;

use super::archive::{self, ArchiveError, Held, Member, Reader};
use super::find::EXTENSIONS;
use super::input::Archive;
use super::sample::noise_image;
use super::{Content, ImageProblem, InputImage, Sample};
use crate::hash;
use crate::output::path_text;

/// Bytes of a class or a record that are read at most.
const LONGEST_RECORD: u64 = 1 << 20;

/// Extensions of members that a message names.
const TOLD_EXTENSIONS: usize = 6;

/// Entries of a record that may hold the target, in the order in which they are looked for.
const TARGET_ENTRIES: [&str; 4] = ["cls", "label", "class", "target"];

/// The samples of an archive, a list or a stretch of noise, in order. Nothing comes after an error.
pub struct Samples(Kind);

enum Kind {
    /// With hashes of the outputs' paths so far.
    Images(vec::IntoIter<InputImage>, HashSet<u64>),
    Noise {
        seed: u64,
        next: u64,
        end: u64,
    },
    Archive(Box<ArchiveSamples>),
}

impl Samples {
    /// Those of single images.
    pub(super) fn of_images(images: Vec<InputImage>) -> Self {
        Self(Kind::Images(images.into_iter(), HashSet::new()))
    }

    /// Noise with the numbers from `first` to before `end`.
    pub(super) fn of_noise(seed: u64, first: u64, end: u64) -> Self {
        Self(Kind::Noise { seed, next: first, end })
    }

    /// Those of a tar shard. Images of more bytes than any of `max_pixels` needs are refused.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn of_archive(archive: &Archive, max_pixels: u64) -> Result<Self, ArchiveError> {
        let reader = Reader::open(&archive.path)?;
        let samples = ArchiveSamples {
            archive: archive.clone(),
            reader,
            max_pixels,
            keys: HashSet::new(),
            open: None,
            error: None,
        };
        Ok(Self(Kind::Archive(Box::new(samples))))
    }
}

impl Iterator for Samples {
    type Item = Result<Sample, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Images(images, keys) => images.next().map(|image| {
                let key = image.stem();
                let new = keys.insert(hash::extend(hash::EMPTY, path_text(&key).bytes()));
                let repeated = || Content::Refused(ImageProblem::RepeatedKey { key: path_text(&key) });
                let content = if new { Content::File } else { repeated() };
                Ok(Sample { image, content })
            }),
            Kind::Noise { seed, next, end } => {
                let number = *next;
                *next += 1;
                let content = Content::Noise(*seed ^ number.rotate_left(32));
                (number < *end).then(|| Ok(Sample { image: noise_image(number), content }))
            }
            Kind::Archive(samples) => samples.next().transpose(),
        }
    }
}

struct ArchiveSamples {
    archive: Archive,
    reader: Reader<BufReader<File>>,
    max_pixels: u64,
    /// Hashes of the keys so far.
    keys: HashSet<u64>,
    /// The sample whose members are being read.
    open: Option<Group>,
    /// What comes after the last sample.
    error: Option<ArchiveError>,
}

/// Members that share a key.
struct Group {
    key: Vec<u8>,
    /// The first image: its extension and its content.
    image: Option<(Vec<u8>, Held)>,
    /// The first other image whose extension has a dot too, where that of the first one has.
    other_image: Option<Vec<u8>>,
    class: Option<String>,
    record: Option<Vec<u8>>,
    /// Of the other members, no more than serve a message.
    extensions: Vec<String>,
}

impl ArchiveSamples {
    fn next(&mut self) -> Result<Option<Sample>, ArchiveError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let longest_image = self.max_pixels.saturating_mul(8).saturating_add(64 << 20);
        let wanted = |name: &[u8]| match archive::split(name) {
            Some((_, extension)) if is_image(extension) => longest_image,
            Some((_, extension)) if is(extension, "cls") || is(extension, "json") => LONGEST_RECORD,
            _ => 0,
        };
        while let Some(member) = self.reader.next(wanted) {
            match member {
                Ok(Member { name, content }) => {
                    let Some((key, extension)) = archive::split(&name) else { continue };
                    let other = self.open.as_ref().is_none_or(|open| open.key != key);
                    let before = if other { self.open.replace(Group::new(key)) } else { None };
                    if let Some(group) = &mut self.open {
                        group.add(extension, content);
                    }
                    if let Some(group) = before.filter(Group::is_sample) {
                        return Ok(Some(self.sample(group)));
                    }
                }
                // What was whole before it counts.
                Err(error) => {
                    let Some(group) = self.open.take().filter(Group::is_sample) else { return Err(error) };
                    self.error = Some(error);
                    return Ok(Some(self.sample(group)));
                }
            }
        }
        Ok(self.open.take().filter(Group::is_sample).map(|group| self.sample(group)))
    }

    fn sample(&mut self, group: Group) -> Sample {
        let Group { key, image, other_image, class, record, extensions } = group;
        let (extension, content) = match image {
            Some((extension, _)) if other_image.is_some() => {
                let names = [extension.clone(), other_image.unwrap_or_default()];
                let names =
                    names.map(|name| String::from_utf8_lossy(&name).chars().take(40).collect::<String>());
                let problem = ImageProblem::SeveralImages { members: names.join(", ") };
                (extension, Content::Refused(problem))
            }
            Some((extension, Held::Bytes(content))) => (extension, Content::Encoded(content)),
            Some((extension, Held::TooMuch)) => {
                let problem = ImageProblem::TooMuchMemory { max_pixels: self.max_pixels };
                (extension, Content::Refused(problem))
            }
            Some((extension, Held::Link)) => (extension, Content::Refused(ImageProblem::Link)),
            None => {
                let problem = ImageProblem::NoImage { members: extensions.join(", ") };
                (Vec::new(), Content::Refused(problem))
            }
        };
        let safe = is_safe(&key);
        // Names that lead to the same place are the same key.
        let plain: PathBuf = plain_parts(&path(key.clone())).collect();
        let key_text = path_text(&plain);
        let new = self.keys.insert(hash::extend(hash::EMPTY, key_text.bytes()));
        let content = match (safe, new) {
            // Nothing is written for it; the name only serves the record.
            (false, _) => Content::Refused(ImageProblem::UnsafeName),
            (true, false) => Content::Refused(ImageProblem::RepeatedKey { key: key_text }),
            (true, true) => content,
        };
        let target = class
            .or_else(|| record.and_then(|record| target_of(&record)))
            .or_else(|| self.archive.target.clone());
        let dot: &[u8] = if extension.is_empty() { b"" } else { b"." };
        let inside = path([&key[..], dot, &extension].concat());
        let mut name = plain.into_os_string();
        if let Some(last) = inside.extension().filter(|_| !extension.is_empty()) {
            name.push(".");
            name.push(last);
        }
        // A path like any other below the archive, whatever the name.
        let inside: PathBuf = inside
            .components()
            .filter(|part| !matches!(part, Component::RootDir | Component::Prefix(_)))
            .collect();
        let image = InputImage { path: self.archive.path.join(inside), name: name.into(), target };
        Sample { image, content }
    }
}

/// Whether a name stays where it is unpacked.
fn is_safe(name: &[u8]) -> bool {
    let path = path(name.to_vec());
    !name.contains(&0)
        && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn plain_parts(path: &Path) -> impl Iterator<Item = Component<'_>> {
    path.components().filter(|part| matches!(part, Component::Normal(_)))
}

impl Group {
    fn new(key: &[u8]) -> Self {
        Self {
            key: key.to_vec(),
            image: None,
            other_image: None,
            class: None,
            record: None,
            extensions: Vec::new(),
        }
    }

    /// Whether it is a sample, and not a file that lies beside them.
    fn is_sample(&self) -> bool {
        let of_samples =
            |extension: &String| ["cls", "json", "txt"].iter().any(|known| is(extension.as_bytes(), known));
        self.image.is_some() || self.extensions.iter().any(of_samples)
    }

    fn add(&mut self, extension: &[u8], content: Held) {
        if is_image(extension) {
            // `jpg` is the sample's image, `seg.png` something that comes with it.
            let plain = !extension.contains(&b'.');
            let known_plain = self.image.as_ref().map(|(known, _)| !known.contains(&b'.'));
            if known_plain.is_none_or(|known| plain && !known) {
                self.image = Some((extension.to_vec(), content));
                self.other_image = None;
            } else if known_plain == Some(false) && self.other_image.is_none() {
                self.other_image = Some(extension.to_vec());
            }
            return;
        }
        let bytes = match content {
            Held::Bytes(bytes) => Some(bytes),
            Held::TooMuch | Held::Link => None,
        };
        if is(extension, "cls") {
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            self.class = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        } else if is(extension, "json") {
            self.record = bytes;
        }
        match self.extensions.len() {
            0..TOLD_EXTENSIONS => {
                let text = String::from_utf8_lossy(extension);
                self.extensions.push(text.chars().take(40).collect());
            }
            TOLD_EXTENSIONS => self.extensions.push("…".to_owned()),
            _ => {}
        }
    }
}

fn is(extension: &[u8], name: &str) -> bool {
    extension.eq_ignore_ascii_case(name.as_bytes())
}

fn is_image(extension: &[u8]) -> bool {
    let last = extension.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    EXTENSIONS.iter().any(|known| is(last, known))
}

/// The target in a record: the record itself, or the first of its entries that may be one.
fn target_of(record: &[u8]) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let record: Value = serde_json::from_slice(record).ok()?;
    text(&record).or_else(|| TARGET_ENTRIES.iter().find_map(|entry| text(record.get(*entry)?)))
}

#[cfg(unix)]
fn path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an archive of these members gives: path below the archive, name, target, and the content's length or the problem.
    fn samples(members: &[(&str, &[u8])], cut: usize) -> (Vec<String>, Option<ArchiveError>) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            // Not through `set_path`, which refuses what hostile archives hold.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        let mut bytes = builder.into_inner().unwrap();
        bytes.truncate(bytes.len() - cut);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        std::fs::write(&path, bytes).unwrap();
        let archive = Archive { path: path.clone(), name: "s.tar".into(), target: None };
        let (mut found, mut error) = (Vec::new(), None);
        for sample in Samples::of_archive(&archive, 1000).unwrap() {
            match sample {
                Ok(Sample { image: InputImage { path: place, name, target }, content }) => {
                    let content = match content {
                        Content::Encoded(bytes) => bytes.len().to_string(),
                        Content::Refused(problem) => problem.to_string().chars().take(24).collect(),
                        other => panic!("{other:?}"),
                    };
                    let below = place.strip_prefix(&path).unwrap().display().to_string();
                    let target = target.as_deref().unwrap_or("-");
                    found.push(format!("{below}|{}|{target}|{content}", name.display()));
                }
                Err(refused) => error = Some(refused),
            }
        }
        (found, error)
    }

    #[test]
    fn members_of_a_key_make_a_sample() {
        let (found, error) = samples(
            &[
                ("./x/000.cls", b" 7\n"),
                ("./x/000.JPG", b"12"),
                ("./x/000.json", b"{\"label\": 3}"),
                ("001.seg.png", b"1"),
                ("001.txt", b"a caption"),
                ("001.png", b"123"),
                ("002.json", b"{\"caption\": \"a\", \"target\": \"tabby\"}"),
                ("002.left.webp", b"1234"),
                ("img.001.png", b"1"),
                ("img.002.png", b"2"),
                ("003.jpg", b""),
                ("003.json", b"5"),
                ("README", b"no sample"),
                ("README.md", b"no sample"),
                ("__meta__.json", b"{}"),
            ],
            0,
        );
        assert!(error.is_none(), "{error:?}");
        assert_eq!(
            found,
            [
                "x/000.JPG|x/000.JPG|7|2",
                "001.png|001.png|-|3",
                "002.left.webp|002.webp|tabby|4",
                "img.001.png|img.png|-|the sample has several i",
                "003.jpg|003.jpg|5|0",
            ]
        );
    }

    #[test]
    fn what_is_no_sample_is_refused_by_itself() {
        let (found, error) = samples(
            &[
                ("a.jpg", b"1"),
                ("b.txt", b"2"),
                ("b.json", b"{}"),
                ("./a.jpg", b"22"),
                ("x//e.jpg", b"1"),
                ("x/./e.jpg", b"1"),
                ("../c.jpg", b"333"),
                ("/etc/d.jpg", b"4444"),
            ],
            0,
        );
        assert!(error.is_none(), "{error:?}");
        assert_eq!(
            found,
            [
                "a.jpg|a.jpg|-|1",
                "b|b|-|the sample has no image,",
                "a.jpg|a.jpg|-|the shard has the key a ",
                "x/e.jpg|x/e.jpg|-|1",
                "x/e.jpg|x/e.jpg|-|the shard has the key x/",
                "../c.jpg|c.jpg|-|its name in the shard is",
                "etc/d.jpg|etc/d.jpg|-|its name in the shard is",
            ]
        );
    }

    #[test]
    fn a_truncated_archive_gives_what_was_whole_and_then_the_error() {
        let (found, error) = samples(&[("a.jpg", b"1"), ("b.jpg", b"2"), ("b.cls", b"3")], 1500);
        assert_eq!(found, ["a.jpg|a.jpg|-|1", "b.jpg|b.jpg|-|1"]);
        assert!(matches!(error, Some(ArchiveError::Truncated(_))), "{error:?}");
    }

    #[test]
    fn noise_is_numbered_and_differs() {
        let noise = Samples::of_noise(5, 3, 5).map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(noise.len(), 2);
        assert_eq!(noise[0].image.name, Path::new("noise-000000003"));
        let options = crate::images::LoadOptions { crop: 7, ..Default::default() };
        let pixels: Vec<_> = noise
            .into_iter()
            .map(|sample| sample.content.load(Path::new(""), &options).unwrap().pixels)
            .collect();
        assert_eq!(pixels[0].len(), 3 * 49);
        assert_ne!(pixels[0], pixels[1]);
        let mean = pixels[0].iter().map(|&byte| f64::from(byte)).sum::<f64>() / 147.0;
        // 127.5 give or take four standard deviations of a mean of 147.
        assert!((mean - 127.5).abs() < 4.0 * 73.9 / 147_f64.sqrt(), "{mean}");
    }
}
