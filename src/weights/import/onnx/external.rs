//! Tensors in files beside the model, for models beyond protobuf's 2 GB.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::{damaged, harmful};
use crate::weights::{WeightProblem, mapped};

/// Most files beside a model; exporters write one, or one a tensor.
const MOST_FILES: usize = 1000;

/// Most elements that are copied to be computed with; batch normalisation of a VGG19 has some 60 000, of a flattened map 100 000.
const MOST_COPIED: usize = 1 << 20;

/// What a tensor says about its elements' place.
#[derive(Debug, Clone, Default)]
pub(super) struct External<'a> {
    location: &'a str,
    offset: u64,
    /// To the end of the file where it is not said.
    length: Option<u64>,
}

impl<'a> External<'a> {
    pub(super) fn entry(&mut self, key: &str, value: &'a str) -> Result<(), WeightProblem> {
        let number = || {
            value
                .parse()
                .map_err(|_| damaged(format!("the {key} {value:?} of external data is not a number")))
        };
        match key {
            "location" => self.location = value,
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }
}

/// A model's file and those in its folder. Nothing else is opened.
pub(super) struct Folder {
    model: Arc<Mmap>,
    path: PathBuf,
    opened: RefCell<BTreeMap<String, Arc<Mmap>>>,
    /// Elements that were copied to be computed with.
    copied: Cell<usize>,
}

impl Folder {
    pub(super) fn of(model: &Path, map: Arc<Mmap>) -> Self {
        let path = match model.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { model: map, path, opened: RefCell::default(), copied: Cell::new(0) }
    }

    pub(super) fn model(&self) -> Arc<Mmap> {
        Arc::clone(&self.model)
    }

    /// Bytes of the files beside the model.
    pub(super) fn beside(&self) -> usize {
        self.opened.borrow().values().fold(0, |sum, map| sum.saturating_add(map.len()))
    }

    /// Counts elements that are copied to be computed with, all in all, before they are.
    ///
    /// # Errors
    /// When they are more than any VGG needs: small files can describe long computations.
    pub(super) fn count_copied(&self, elements: usize) -> Result<(), WeightProblem> {
        let copied = self.copied.get().saturating_add(elements);
        self.copied.set(copied);
        if copied > MOST_COPIED {
            return Err(harmful("the graph computes more with constants than any VGG needs"));
        }
        Ok(())
    }

    /// The file and the bytes of it that hold a tensor.
    ///
    /// # Errors
    /// When the file is outside of the folder, cannot be mapped or is too short.
    pub(super) fn locate(
        &self,
        external: &External<'_>,
        tensor: &str,
    ) -> Result<(Arc<Mmap>, Range<usize>), WeightProblem> {
        let map = self.open(external.location, tensor)?;
        let end = match external.length {
            Some(length) => external.offset.checked_add(length),
            None => Some(map.len() as u64),
        };
        let range = usize::try_from(external.offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
        match range {
            Some((start, end)) if start <= end && end <= map.len() => Ok((map, start..end)),
            _ => Err(damaged(format!(
                "tensor {tensor} starts at byte {} of {}, which has {} bytes, too few",
                external.offset,
                external.location,
                map.len()
            ))),
        }
    }

    fn open(&self, location: &str, tensor: &str) -> Result<Arc<Mmap>, WeightProblem> {
        if let Some(map) = self.opened.borrow().get(location) {
            return Ok(Arc::clone(map));
        }
        if self.opened.borrow().len() == MOST_FILES {
            return Err(harmful(format!("the tensors are in more than {MOST_FILES} files")));
        }
        let relative = Path::new(location);
        let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !relative.components().all(plain) {
            return Err(harmful(format!(
                "tensor {tensor} is in {location:?}, which is not in the model's folder"
            )));
        }
        let path = self.path.join(relative);
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged(format!(
                "tensor {tensor} is in the file {location:?}, which is not beside the model; copy it there"
            )),
            _ => WeightProblem::Io(error),
        };
        // Links are followed first, so that none leads out.
        let (real, folder) =
            (path.canonicalize().map_err(failed)?, self.path.canonicalize().map_err(failed)?);
        if !real.starts_with(&folder) {
            return Err(harmful(format!(
                "tensor {tensor} is in {location:?}, a link that leads out of the model's folder; copy the file there"
            )));
        }
        let map = mapped::map(&real).map_err(|problem| {
            damaged(format!("tensor {tensor} is in the file {location:?}, which cannot be used: {problem}"))
        })?;
        self.opened.borrow_mut().insert(location.to_owned(), Arc::clone(&map));
        Ok(map)
    }
}
