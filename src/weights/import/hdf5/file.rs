//! A file and its groups.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_reader::error::Error;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::object_header::ObjectHeader;
use hdf5_reader::{Hdf5File, OpenOptions};
use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::dataset::Dataset;
use super::filters::filters;
use super::meter::{LARGEST_RATIO, Meter, MeteredStorage};
use super::{attribute, dense, innermost, link_names, problem};

/// What an HDF5 file begins with.
const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Names in a path; Keras's have six at most, and two more for each model within a model.
const DEEPEST: usize = 64;

/// An HDF5 file.
pub(in super::super) struct File {
    inner: Hdf5File,
    place: Option<(Arc<Mmap>, usize)>,
    numbers: Meter,
    checked: Mutex<HashSet<u64>>,
}

impl File {
    /// A file that is a part of a mapped one.
    ///
    /// # Errors
    /// When it does not begin as an HDF5 file does.
    pub(in super::super) fn mapped(map: Arc<Mmap>, range: Range<usize>) -> Result<Self, WeightProblem> {
        let bytes = map.get(range.clone()).unwrap_or_default();
        // A file may have something else in front, and addresses count from behind it.
        let place = bytes.starts_with(MAGIC).then(|| (Arc::clone(&map), range.start));
        let length = bytes.len();
        Self::open(map, range.start, length, place)
    }

    /// A file in memory.
    ///
    /// # Errors
    /// As [`File::mapped`].
    pub(in super::super) fn owned(bytes: Vec<u8>) -> Result<Self, WeightProblem> {
        let length = bytes.len();
        Self::open(Arc::new(bytes), 0, length, None)
    }

    fn open(
        bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
        start: usize,
        length: usize,
        place: Option<(Arc<Mmap>, usize)>,
    ) -> Result<Self, WeightProblem> {
        /// libhdf5 puts no more than 2^16 bytes into one message, and Keras's groups have few.
        const LARGEST_HEADER: usize = 1 << 20;
        let unpacked = Meter::new(length, LARGEST_RATIO);
        let largest = usize::try_from(unpacked.left()).unwrap_or(usize::MAX);
        let options = OpenOptions {
            chunk_cache_bytes: 0,
            filter_registry: Some(filters(unpacked)),
            max_chunk_bytes: largest,
            max_read_bytes: largest,
            max_object_header_bytes: LARGEST_HEADER,
            ..OpenOptions::default()
        };
        let storage = Arc::new(MeteredStorage::new(bytes, start, length));
        let inner = Hdf5File::from_storage_with_options(storage, options).map_err(problem)?;
        Ok(Self { inner, place, numbers: Meter::new(length, LARGEST_RATIO), checked: Mutex::default() })
    }

    /// The group that holds all others.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(in super::super) fn root(&self) -> Result<Group<'_>, WeightProblem> {
        let inner = self.inner.root_group().map_err(problem)?;
        Ok(Group { file: self, inner })
    }

    pub(super) fn header(&self, address: u64) -> Result<Arc<ObjectHeader>, WeightProblem> {
        self.inner.get_or_parse_header(address).map_err(problem)
    }

    /// Where in a mapped file its addresses count from.
    pub(super) fn place(&self) -> Option<&(Arc<Mmap>, usize)> {
        self.place.as_ref()
    }

    /// The bytes that arrays may still have.
    pub(super) fn numbers(&self) -> &Meter {
        &self.numbers
    }
}

/// A group of a file.
pub(in super::super) struct Group<'a> {
    file: &'a File,
    inner: hdf5_reader::group::Group,
}

impl<'a> Group<'a> {
    pub(super) fn inner(&self) -> &hdf5_reader::group::Group {
        &self.inner
    }

    /// The name of its last link.
    pub(in super::super) fn name(&self) -> &str {
        self.inner.name()
    }

    pub(super) fn header(&self) -> Result<Arc<ObjectHeader>, WeightProblem> {
        self.file.header(self.inner.address())
    }

    /// The texts of an attribute; `None` when there is no attribute of this name.
    ///
    /// # Errors
    /// When it is something else or damaged.
    pub(in super::super) fn texts(&self, attribute: &str) -> Result<Option<Vec<String>>, WeightProblem> {
        attribute::texts(self, attribute)
    }

    /// The group at a path from here; `None` when there is none.
    ///
    /// # Errors
    /// When the file is damaged there.
    pub(in super::super) fn group(&self, path: &str) -> Result<Option<Self>, WeightProblem> {
        let mut group = Group { file: self.file, inner: self.inner.clone() };
        for (depth, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
            if depth == DEEPEST {
                return Err(WeightProblem::Harmful(format!("path {path} has more than {DEEPEST} names")));
            }
            group.check_members()?;
            match found(group.inner.group(name))? {
                Some(inner) => group = Group { file: self.file, inner },
                None => return Ok(None),
            }
        }
        Ok(Some(group))
    }

    /// The dataset at a path from here; `None` when there is none.
    ///
    /// # Errors
    /// When the file is damaged there.
    pub(in super::super) fn dataset(&self, path: &str) -> Result<Option<Dataset<'a>>, WeightProblem> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(group) = self.group(folder)? else { return Ok(None) };
        group.check_members()?;
        let inner = found(group.inner.dataset(name))?;
        Ok(inner.map(|inner| Dataset::new(self.file, inner)))
    }

    /// The names of the groups in this one, in the file's order.
    ///
    /// # Errors
    /// When the file is damaged there.
    pub(in super::super) fn groups(&self) -> Result<Vec<String>, WeightProblem> {
        self.check_members()?;
        self.inner.member_names().map(|(groups, _)| groups).map_err(problem)
    }

    /// See [`link_names::check`] and [`dense::check`]; once for each group.
    fn check_members(&self) -> Result<(), WeightProblem> {
        let mut checked = self.file.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if !checked.insert(self.inner.address()) {
            return Ok(());
        }
        for message in &self.header()?.messages {
            match message {
                HdfMessage::SymbolTable(table) => {
                    let (offset_size, length_size) = (self.inner.offset_size(), self.inner.length_size());
                    link_names::check(table, self.inner.storage(), offset_size, length_size)
                }
                HdfMessage::LinkInfo(links) => {
                    let trees = [Some(links.btree_name_index_address), links.btree_creation_order_address];
                    dense::check(&self.inner, links.fractal_heap_address, &trees)
                }
                _ => Ok(()),
            }
            .map_err(problem)?;
        }
        Ok(())
    }
}

/// A member that is not there is no error.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, WeightProblem> {
    match result {
        Ok(member) => Ok(Some(member)),
        Err(error) => match innermost(&error) {
            Error::GroupNotFound(_) | Error::DatasetNotFound(_) => Ok(None),
            _ => Err(problem(error)),
        },
    }
}
