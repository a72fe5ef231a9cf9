//! Zip archives of arrays: entries that are stored as they are lie in the mapped file, others are unpacked when needed.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;
use zip::read::ZipReadOptions;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::super::error::WeightProblem;

/// How many times larger than its file an archive may become; deflate reaches 1032, with zeros.
const LARGEST_RATIO: u64 = 64;

/// Bytes that any archive may unpack to: vectors of zeros in small files compress well.
const ALLOWED: u64 = 1 << 20;

/// More entries than any file of weights has.
const MOST_ENTRIES: usize = 1 << 16;

/// A zip archive in a mapped file.
#[derive(Clone)]
pub(super) struct Archive {
    zip: ZipArchive<Cursor<Mapped>>,
    map: Arc<Mmap>,
    entries: Arc<BTreeMap<String, Entry>>,
}

#[derive(Clone)]
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    index: usize,
    crc: u32,
    /// Bytes when unpacked.
    pub(super) size: usize,
    /// Where it lies in the file, if it is not compressed.
    pub(super) stored: Option<Range<usize>>,
}

impl Archive {
    /// Reads the directory and checks it: every entry within the file, none over another, none twice, and all of them
    /// together not unreasonably large when unpacked.
    ///
    /// # Errors
    /// When the archive is damaged, or made to do harm.
    pub(super) fn open(map: Arc<Mmap>) -> Result<Self, WeightProblem> {
        let mut zip = ZipArchive::new(Cursor::new(Mapped(Arc::clone(&map)))).map_err(damaged)?;
        if zip.has_duplicate_names() {
            return Err(WeightProblem::Harmful(
                "the zip archive has two entries of the same name".to_owned(),
            ));
        }
        if zip.len() > MOST_ENTRIES {
            return Err(WeightProblem::Harmful(format!("the zip archive has {} entries", zip.len())));
        }
        let mut entries = BTreeMap::new();
        let mut places = Vec::with_capacity(zip.len());
        let mut unpacked = 0_u64;
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(damaged)?;
            let name = file.name().map_err(damaged)?.into_owned();
            if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
                return Err(WeightProblem::Harmful(format!(
                    "the zip archive has an entry {name}, outside of its folder"
                )));
            }
            if file.encrypted() {
                return Err(WeightProblem::Harmful(format!("entry {name} of the zip archive is encrypted")));
            }
            let place = file
                .data_start()
                .and_then(|start| range(start, file.compressed_size(), map.len()))
                .ok_or_else(|| {
                WeightProblem::Damaged(format!("entry {name} of the zip archive ends after the file"))
            })?;
            places.push((file.header_start(), place.end as u64));
            let stored = match file.compression() {
                CompressionMethod::Stored if file.size() == file.compressed_size() => Some(place),
                CompressionMethod::Stored => {
                    return Err(WeightProblem::Damaged(format!(
                        "entry {name} of the zip archive is stored and has two sizes"
                    )));
                }
                CompressionMethod::Deflated => None,
                other => {
                    return Err(WeightProblem::Harmful(format!(
                        "entry {name} of the zip archive is compressed with {other}, and only deflate is read"
                    )));
                }
            };
            if stored.is_none() {
                unpacked = unpacked.saturating_add(file.size());
            }
            if unpacked > ALLOWED.max(LARGEST_RATIO.saturating_mul(map.len() as u64)) {
                return Err(WeightProblem::Harmful(format!(
                    "the zip archive of {} bytes unpacks to more than {LARGEST_RATIO} times as many",
                    map.len()
                )));
            }
            let size = usize::try_from(file.size()).map_err(|_| {
                WeightProblem::Damaged(format!("entry {name} of the zip archive is too large"))
            })?;
            let crc = file.crc32();
            if !file.is_dir() {
                drop(file);
                entries.insert(name, Entry { index, crc, size, stored });
            }
        }
        places.sort_unstable();
        if places.windows(2).any(|pair| matches!(pair, [first, second] if first.1 > second.0)) {
            return Err(WeightProblem::Harmful("entries of the zip archive overlap".to_owned()));
        }
        Ok(Self { zip, map, entries: Arc::new(entries) })
    }

    /// The file.
    pub(super) fn map(&self) -> &Arc<Mmap> {
        &self.map
    }

    /// Entry names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Looks an entry up.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Unpacks an entry, and checks its CRC.
    ///
    /// # Errors
    /// When it is damaged, or has another size than the directory states.
    pub(super) fn read(&self, entry: &Entry) -> Result<Vec<u8>, WeightProblem> {
        // One byte more, so that what is longer than stated is seen.
        let bytes = self.start(entry, entry.size.saturating_add(1))?;
        if bytes.len() != entry.size {
            return Err(WeightProblem::Damaged(format!(
                "an entry of the zip archive unpacks to {} bytes or more, and its directory says {}",
                bytes.len(),
                entry.size
            )));
        }
        // Where `torch.serialization.set_crc32_options(False)` wrote it, the CRC is 0.
        let unchecked = entry.crc == 0 && entry.stored.is_some();
        if !unchecked && crc32fast::hash(&bytes) != entry.crc {
            return Err(WeightProblem::Damaged(
                "an entry of the zip archive has another CRC than stated".to_owned(),
            ));
        }
        Ok(bytes)
    }

    /// Unpacks the first bytes of an entry, `limit` at most, without checking them.
    ///
    /// # Errors
    /// When it is damaged.
    pub(super) fn start(&self, entry: &Entry, limit: usize) -> Result<Vec<u8>, WeightProblem> {
        if let Some(stored) = &entry.stored {
            let bytes = self.map.get(stored.clone()).unwrap_or_default();
            return Ok(bytes.get(..limit).unwrap_or(bytes).to_vec());
        }
        // Cheap: the directory is shared.
        let mut zip = self.zip.clone();
        let options = ZipReadOptions::new().ignore_crc32(true);
        let file = zip.by_index_with_options(entry.index, options).map_err(damaged)?;
        // No more than was found reasonable when the archive was opened.
        let mut bytes = Vec::with_capacity(limit.min(entry.size.saturating_add(1)));
        file.take(limit as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| WeightProblem::Damaged(format!("the zip archive: {error}")))?;
        Ok(bytes)
    }
}

fn damaged(error: ZipError) -> WeightProblem {
    WeightProblem::Damaged(format!("the zip archive: {error}"))
}

/// The range of these bytes, if it lies within a file of `length` bytes.
fn range(start: u64, bytes: u64, length: usize) -> Option<Range<usize>> {
    let end = start.checked_add(bytes)?;
    (end <= length as u64).then_some(start as usize..end as usize)
}
