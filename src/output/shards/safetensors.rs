//! Arrays of a shard in a safetensors file, in the order of the images.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use serde::Serialize;
use serde_json::Map;

use super::encoded::Tensor;

/// Headers are filled up to a multiple of this many bytes, so that tensors of any type lie as they must in memory.
const ALIGNMENT: usize = 8;

/// A safetensors file that is being written. Its header says where everything is and comes first, and nobody knows it
/// before the last tensor: so the tensors go into a file of their own.
pub(super) struct SafetensorsPack {
    header: Map<String, serde_json::Value>,
    tensors: BufWriter<File>,
    file: File,
    offset: u64,
}

/// Where and what a tensor is, as the format has it.
#[derive(Serialize)]
struct Place<'a> {
    dtype: safetensors::Dtype,
    shape: &'a [usize],
    data_offsets: [u64; 2],
}

impl SafetensorsPack {
    /// Collects tensors in a temporary file, for a file.
    pub(super) fn new(tensors: File, file: File) -> Self {
        Self { header: Map::new(), tensors: BufWriter::with_capacity(1 << 18, tensors), file, offset: 0 }
    }

    pub(super) fn append(&mut self, tensor: &Tensor) -> io::Result<()> {
        let Tensor { name, dtype, shape, bytes } = tensor;
        let end = self.offset + bytes.len() as u64;
        let place = Place { dtype: *dtype, shape, data_offsets: [self.offset, end] };
        self.header.insert(name.clone(), serde_json::to_value(place)?);
        self.tensors.write_all(bytes)?;
        self.offset = end;
        Ok(())
    }

    /// Writes header and tensors.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut file = self.file;
        let mut header = serde_json::to_vec(&self.header)?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        let mut tensors = self.tensors.into_inner().map_err(io::IntoInnerError::into_error)?;
        tensors.seek(SeekFrom::Start(0))?;
        io::copy(&mut tensors, &mut file)?;
        Ok(())
    }
}
