//! Pictures and arrays of a shard in a tar file, in the order of the images.

use std::fs::File;
use std::io::{self, BufWriter};

use tar::{Builder, Header};

/// A tar file that is being written. Equal members make equal bytes: owner and time are left at zero.
pub(super) struct TarPack {
    builder: Builder<BufWriter<File>>,
}

impl TarPack {
    pub(super) fn new(file: File) -> Self {
        Self { builder: Builder::new(BufWriter::with_capacity(1 << 18, file)) }
    }

    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        self.builder.append_data(&mut header, name, bytes)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(())
    }
}
