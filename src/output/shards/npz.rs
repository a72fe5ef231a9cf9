//! Arrays of a shard in an npz file, in the order of the images.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem::ManuallyDrop;

use zip::ZipWriter;
use zip::result::ZipError;

use super::super::arrays::entry_options;

/// An npz file that is being written.
pub(super) struct NpzPack {
    /// Never dropped unfinished: it would write its directory then, and say on standard error that it could not.
    archive: ManuallyDrop<ZipWriter<BufWriter<File>>>,
}

impl NpzPack {
    pub(super) fn new(file: File) -> Self {
        Self { archive: ManuallyDrop::new(ZipWriter::new(BufWriter::with_capacity(1 << 18, file))) }
    }

    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.archive.start_file(name, entry_options()).map_err(plain)?;
        self.archive.write_all(bytes)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let file = ManuallyDrop::into_inner(self.archive).finish().map_err(plain)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(())
    }
}

/// What the system said, where it is that: a full disk is told apart.
fn plain(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::other(other),
    }
}
