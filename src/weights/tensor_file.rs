//! Memory-mapped safetensors files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::error::{WeightError, WeightProblem};
use super::import::{Bytes, Format};
use super::mapped::map;
use super::tensor::{ElementType, Tensor};

/// Bytes before the header: its length.
const PREFIX: usize = 8;

/// The longest header that is read. The format allows 100 MB (safetensors, README), from which a parser makes gigabytes; ours
/// have at most some hundred tensors, and moments a list of the images that failed.
const LONGEST_HEADER: u64 = 1 << 24;

/// A safetensors file, mapped into memory. Opening it reads and checks the header and none of the data; the operating
/// system reads those pages that are used, and shares them between processes.
///
/// As with every mapped file, a process ends with a bus error if somebody truncates the file while it is open. Replace
/// such a file by renaming a new one over it.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Arc<Mmap>,
    metadata: BTreeMap<String, String>,
    entries: BTreeMap<String, Entry>,
    data_bytes: u64,
}

/// Where a tensor lies. The range is within the map: checked when the file was opened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) range: Range<usize>,
}

/// What the header says about one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorDescription<'a> {
    /// Name.
    pub name: &'a str,
    /// Type of the elements as safetensors spells it; any of the format, not only those that can be read.
    pub element: String,
    /// Extents, outermost first.
    pub shape: &'a [usize],
    /// Size of the data.
    pub bytes: usize,
}

impl TensorFile {
    /// Maps a file and checks its header: every tensor's bytes match its shape and type, without gaps or overlaps, and
    /// make up the whole file.
    ///
    /// # Errors
    /// When the file cannot be mapped, is another format, or is damaged.
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let map = map(path).map_err(|problem| WeightError::new(path, problem))?;
        Self::of_map(path, map)
    }

    /// As [`TensorFile::open`], of a file that is mapped.
    pub(super) fn of_map(path: &Path, map: Arc<Mmap>) -> Result<Self, WeightError> {
        let refuse = |problem| WeightError::new(path, problem);
        let (header, data_start) = header(&map, path).map_err(refuse)?;
        let header = parse(header).map_err(refuse)?;

        let available = map.len() - data_start;
        if header.data_len() != available {
            return Err(refuse(WeightProblem::DataLength {
                described: header.data_len() as u64,
                available: available as u64,
            }));
        }
        // `Metadata` has made sure that tensors follow each other from 0 to data_len(), now known to be the file's end.
        let entries = header
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (start, end) = info.data_offsets;
                let entry = Entry {
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    range: data_start + start..data_start + end,
                };
                (name, entry)
            })
            .collect();
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            map,
            metadata: metadata.into_iter().collect(),
            entries,
            data_bytes: available as u64,
        })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The texts under `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What the header says about each tensor, sorted by name.
    pub fn descriptions(&self) -> impl Iterator<Item = TensorDescription<'_>> {
        self.entries.iter().map(|(name, entry)| TensorDescription {
            name,
            element: entry.dtype.to_string(),
            shape: &entry.shape,
            bytes: entry.range.len(),
        })
    }

    /// The tensor of this name, or `None` if there is none.
    ///
    /// # Errors
    /// When its elements are not F32, F16 or BF16.
    pub fn tensor(&self, name: &str) -> Option<Result<Tensor<'_>, WeightError>> {
        let (name, entry) = self.entries.get_key_value(name)?;
        Some(self.element(name, entry).map(|element| self.view(name, element, &entry.shape, entry)))
    }

    /// Bytes of tensors: the size of the file without its header.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// All tensors in the order of their data.
    pub(crate) fn by_position(&self) -> Vec<(&str, &Entry)> {
        let mut entries: Vec<_> = self.entries.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
        entries.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
        entries
    }

    /// The bytes of all tensors, one after the other.
    pub(crate) fn data(&self) -> &[u8] {
        // As checked when the file was opened: the data end with the file.
        &self.map[self.map.len() - self.data_bytes as usize..]
    }

    /// The bytes of an entry of this file.
    pub(crate) fn bytes(&self, entry: &Entry) -> &[u8] {
        &self.map[entry.range.clone()]
    }

    /// The same, alive beyond the file.
    pub(crate) fn shared(&self, entry: &Entry) -> Bytes {
        let (map, range) = self.place(entry);
        Bytes::Mapped { map, range }
    }

    /// Where an entry's bytes are.
    pub(super) fn place(&self, entry: &Entry) -> (Arc<Mmap>, Range<usize>) {
        (Arc::clone(&self.map), entry.range.clone())
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(crate) fn element(&self, name: &str, entry: &Entry) -> Result<ElementType, WeightError> {
        match entry.dtype {
            Dtype::F32 => Ok(ElementType::F32),
            Dtype::F16 => Ok(ElementType::F16),
            Dtype::BF16 => Ok(ElementType::Bf16),
            other => Err(WeightError::new(
                &self.path,
                WeightProblem::ElementType { tensor: name.to_owned(), found: other.to_string() },
            )),
        }
    }

    /// A tensor of this file under a shape with as many elements as the entry's.
    pub(crate) fn view<'a>(
        &'a self,
        name: &'a str,
        element: ElementType,
        shape: &'a [usize],
        entry: &Entry,
    ) -> Tensor<'a> {
        Tensor::new(name, element, shape, &self.map[entry.range.clone()])
    }
}

/// The JSON text of the header and where the data start.
fn header<'a>(file: &'a [u8], path: &Path) -> Result<(&'a [u8], usize), WeightProblem> {
    let Some((prefix, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(WeightProblem::TooShort { bytes: file.len() as u64 });
    };
    let bytes = u64::from_le_bytes(*prefix);
    if bytes > LONGEST_HEADER {
        return Err(other_format(file, path)
            .unwrap_or(WeightProblem::HeaderTooLarge { bytes, limit: LONGEST_HEADER }));
    }
    // At most 2²⁴, so it fits a usize of 32 bits too.
    let length = bytes as usize;
    match rest.get(..length) {
        Some(header) => Ok((header, PREFIX + length)),
        None => Err(other_format(file, path)
            .unwrap_or(WeightProblem::HeaderTruncated { bytes, available: rest.len() as u64 })),
    }
}

fn parse(header: &[u8]) -> Result<Metadata, WeightProblem> {
    let text = std::str::from_utf8(header)
        .map_err(|error| WeightProblem::Header(format!("it is not UTF-8 text ({error})")))?;
    // Deserialising checks shapes, types and offsets against each other with checked arithmetic. The crate's
    // `SafeTensors::deserialize` is not used: it adds the header's length to their sum, which may overflow.
    serde_json::from_str(text).map_err(|error| WeightProblem::Header(error.to_string()))
}

/// Names the format that these bytes belong to, if it is another one.
fn other_format(file: &[u8], path: &Path) -> Option<WeightProblem> {
    let found = Format::recognise(file, path);
    (found != Format::Safetensors).then_some(WeightProblem::OtherFormat { found: found.title() })
}
