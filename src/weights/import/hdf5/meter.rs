//! How much a file may make of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_reader::error::Error;
use hdf5_reader::{Storage, StorageBuffer};

/// How many times larger than the file its unpacked numbers may be in all; deflate reaches 1032, with zeros.
pub(super) const LARGEST_RATIO: u64 = 64;

/// Bytes that any file may be read or unpacked to: the overhead of small files is large.
pub(super) const ALLOWED: u64 = 1 << 24;

/// Bytes that are left to spend.
#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicU64,
}

impl Meter {
    /// For a file of this many bytes, `ratio` times as many.
    pub(super) fn new(length: usize, ratio: u64) -> Self {
        Self { left: AtomicU64::new((length as u64).saturating_mul(ratio).saturating_add(ALLOWED)) }
    }

    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// # Errors
    /// When there are not that many left; what was left is gone then.
    pub(super) fn spend(&self, bytes: u64, what: impl FnOnce() -> String) -> Result<(), Error> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map(|_| ())
            .map_err(|_| {
                self.left.store(0, Ordering::Relaxed);
                Error::ResourceLimit(what())
            })
    }
}

/// The bytes of a file, or of an entry of an archive, that may each be read a few times.
pub(super) struct MeteredStorage {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    start: usize,
    length: usize,
    meter: Meter,
}

impl MeteredStorage {
    /// `start..start + length` of `bytes`, which have them.
    pub(super) fn new(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>, start: usize, length: usize) -> Self {
        // Headers are read once for what they are and once for what is in them, data once.
        const READS: u64 = 4;
        Self { bytes, start, length, meter: Meter::new(length, READS) }
    }
}

impl Storage for MeteredStorage {
    fn len(&self) -> u64 {
        self.length as u64
    }

    fn read_range(&self, offset: u64, length: usize) -> Result<StorageBuffer, Error> {
        let available = self.length as u64;
        if offset.checked_add(length as u64).is_none_or(|end| end > available) {
            return Err(Error::UnexpectedEof {
                offset,
                needed: length as u64,
                available: available.saturating_sub(offset),
            });
        }
        self.meter.spend(length as u64, || "parts of it are used over and over again".to_owned())?;
        // Within the file, whose length is a usize.
        StorageBuffer::from_shared_owner(Arc::clone(&self.bytes), self.start + offset as usize, length)
    }
}
