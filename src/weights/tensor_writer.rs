//! Writing safetensors files piece by piece.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::temporary::{remove_abandoned, temporary_file};

/// A tensor that a file will have.
#[derive(Clone, Debug)]
pub(crate) struct PlannedTensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

impl PlannedTensor {
    /// Bytes of its elements.
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.dtype.bitsize() / 8, |bytes, extent| bytes.checked_mul(*extent))
    }

    pub(crate) fn refuse(&self, reason: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, format!("tensor {}: {reason}", self.name))
    }
}

/// A safetensors file that is being written: tensors in any order and in pieces, the metadata last. It appears under its
/// name, or replaces a file there, when it is finished; until then, and when it is dropped, it is a temporary file beside
/// it. Its bytes depend on the contents alone.
#[derive(Debug)]
pub(crate) struct TensorWriter {
    path: PathBuf,
    file: NamedTempFile,
    /// The header without metadata.
    entries: Map<String, Value>,
    /// Where each tensor starts, from the start of the data, and last where the data end.
    starts: Vec<u64>,
    /// Where the data start in the file.
    data: u64,
    /// Bytes of data that have been written.
    written: u64,
}

impl TensorWriter {
    /// `metadata` are those that the file will be finished with, or longer ones: room is left for them.
    ///
    /// # Errors
    /// When a name is used twice or is `__metadata__`, when the sizes overflow, and when the file cannot be made.
    pub(crate) fn create(
        path: &Path,
        tensors: Vec<PlannedTensor>,
        metadata: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let mut entries = Map::new();
        let mut starts = vec![0];
        let mut start = 0u64;
        for tensor in &tensors {
            let end = tensor.bytes().and_then(|bytes| start.checked_add(bytes as u64));
            let end = end.ok_or_else(|| tensor.refuse("it is too large"))?;
            let entry = json!({
                "dtype": tensor.dtype.to_string(),
                "shape": tensor.shape,
                "data_offsets": [start, end],
            });
            if tensor.name == "__metadata__" || entries.insert(tensor.name.clone(), entry).is_some() {
                return Err(tensor.refuse("its name is taken"));
            }
            starts.push(end);
            start = end;
        }
        let data = (8 + header(&entries, metadata)?.len()).next_multiple_of(64) as u64;
        let folder = path.parent().unwrap_or(Path::new(""));
        remove_abandoned(folder);
        let file = temporary_file(folder)?;
        Ok(Self { path: path.to_owned(), file, entries, starts, data, written: 0 })
    }

    /// Writes bytes of a tensor, from its byte `start` on.
    ///
    /// # Errors
    /// When they are not within the tensor, or cannot be written.
    pub(crate) fn write(&mut self, tensor: usize, start: usize, bytes: &[u8]) -> io::Result<()> {
        let bounds = self.starts.get(tensor).zip(self.starts.get(tensor + 1));
        let (&first, &end) = bounds.ok_or(io::ErrorKind::InvalidInput)?;
        let at = first + start as u64;
        if at + bytes.len() as u64 > end {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = self.file.as_file_mut();
        file.seek(SeekFrom::Start(self.data + at))?;
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes the header and puts the file in its place, once it is on the disk.
    ///
    /// # Errors
    /// When bytes of tensors are missing, when the metadata are longer than was said, and when the file cannot be written or renamed.
    pub(crate) fn finish(mut self, metadata: &BTreeMap<String, String>) -> io::Result<()> {
        let refuse = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let expected = self.starts.last().copied().unwrap_or_default();
        if self.written != expected {
            return Err(refuse(format!("{} of {expected} bytes of tensors were written", self.written)));
        }
        let mut text = header(&self.entries, metadata)?;
        let room = self.data as usize - 8;
        if text.len() > room {
            return Err(refuse(format!("a header of {} bytes, and {room} were left for it", text.len())));
        }
        // The format lets a header end in spaces.
        text.resize(room, b' ');
        let file = self.file.as_file_mut();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&(room as u64).to_le_bytes())?;
        file.write_all(&text)?;
        file.sync_all()?;
        self.file.persist(&self.path)?;
        // A power failure must not undo the renaming either. Not every system can wait for a folder.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn header(entries: &Map<String, Value>, metadata: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    let mut entries = entries.clone();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), json!(metadata));
    }
    Ok(serde_json::to_vec(&entries)?)
}
