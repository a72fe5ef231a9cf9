//! A shard that is being written.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::super::atomic;
use super::super::manifest::{Row, Status};
use super::super::names::relative_stem;
use super::super::{Format, OutputError};
use super::encoded::Encoded;
use super::marker::{Made, Marker, ShardCounts};
use super::npz::NpzPack;
use super::rows::Rows;
use super::safetensors::SafetensorsPack;
use super::set::{ShardSet, temporary_name};
use super::tar::TarPack;
use crate::temporary::temporary_file_of;

/// Takes the images of a shard in order. Dropped before it is finished, it leaves nothing.
pub struct ShardWriter {
    folder: PathBuf,
    stem: String,
    marker: PathBuf,
    counts: ShardCounts,
    tar: Option<(TarPack, Target)>,
    npz: Option<(NpzPack, Target)>,
    safetensors: Option<(SafetensorsPack, Target)>,
    rows: (Rows, Target),
}

/// A file on its way to its place.
struct Target {
    file: NamedTempFile,
    /// Relative to the output folder.
    name: String,
}

impl ShardWriter {
    /// Begins the shard `stem` of a set. From now on it does not count as finished.
    ///
    /// # Errors
    /// [`OutputError::EscapingName`], [`OutputError::NoSpace`], [`OutputError::Write`].
    pub fn begin(set: &ShardSet, stem: &Path) -> Result<Self, OutputError> {
        let stem = relative_stem(stem)?;
        let marker = set.folder().join(format!("{stem}.json"));
        let folder = marker.parent().unwrap_or(set.folder());
        // Not made anew where it is gone: what was finished in it is gone as well.
        set.check_there()?;
        fs::create_dir_all(folder).map_err(|error| OutputError::writing(folder, error))?;
        set.tidy(&marker);
        let owner = temporary_name(&marker);
        atomic::remove(&marker)?;
        let open = |extension: &str| -> Result<(fs::File, Target), OutputError> {
            let name = format!("{stem}.{extension}");
            set.refuse_foreign(&name)?;
            let failed = |error| OutputError::writing(&set.folder().join(&name), error);
            let file = temporary_file_of(folder, Some(&owner)).map_err(failed)?;
            let handle = file.as_file().try_clone().map_err(failed)?;
            Ok((handle, Target { file, name }))
        };
        let formats = &set.layout().formats;
        let has = |any: &[Format]| formats.iter().any(|format| any.contains(format));
        let (mut tar, mut npz, mut safetensors) = (None, None, None);
        if has(&[Format::Png, Format::Npy]) {
            let (file, target) = open("tar")?;
            tar = Some((TarPack::new(file), target));
        }
        if has(&[Format::Npz]) {
            let (file, target) = open("npz")?;
            npz = Some((NpzPack::new(file), target));
        }
        if has(&[Format::Safetensors]) {
            let (file, target) = open("safetensors")?;
            let tensors =
                tempfile::tempfile_in(folder).map_err(|error| target.failed(set.folder(), error))?;
            safetensors = Some((SafetensorsPack::new(tensors, file), target));
        }
        let (file, target) = open(&set.layout().rows.to_string())?;
        let rows = (Rows::new(set.layout().rows, file), target);
        Ok(Self {
            folder: set.folder().to_path_buf(),
            marker,
            counts: ShardCounts::default(),
            tar,
            npz,
            safetensors,
            rows,
            stem,
        })
    }

    /// Images so far.
    pub fn images(&self) -> u64 {
        self.counts.images
    }

    /// Adds an image: its row, and what was made of it where it was explained.
    ///
    /// # Errors
    /// [`OutputError::NoSpace`], [`OutputError::Write`].
    pub fn append(&mut self, row: &Row, encoded: Option<&Encoded>) -> Result<(), OutputError> {
        let Self { folder, tar, npz, safetensors, rows, counts, .. } = self;
        if let Some(encoded) = encoded {
            if let Some((pack, target)) = tar {
                for (name, bytes) in &encoded.members {
                    pack.append(name, bytes).map_err(|error| target.failed(folder, error))?;
                }
            }
            if let Some((pack, target)) = npz {
                for (name, bytes) in &encoded.entries {
                    pack.append(name, bytes).map_err(|error| target.failed(folder, error))?;
                }
            }
            if let Some((pack, target)) = safetensors {
                for tensor in &encoded.tensors {
                    pack.append(tensor).map_err(|error| target.failed(folder, error))?;
                }
            }
        }
        let (rows, target) = rows;
        rows.append(row).map_err(|error| target.failed(folder, error))?;
        counts.images += 1;
        *(if row.status == Status::Ok { &mut counts.done } else { &mut counts.failed }) += 1;
        Ok(())
    }

    /// Puts the shard in place, its marker last. `input` is what the shard was made from, `content` what that was made of,
    /// `error` why it could not be read to its end.
    ///
    /// # Errors
    /// [`OutputError::NoSpace`], [`OutputError::Write`]; then the shard does not count as finished.
    pub fn finish(
        self,
        set: &ShardSet,
        (input, content): (String, String),
        error: Option<String>,
        made: Made,
    ) -> Result<Marker, OutputError> {
        let folder = self.folder;
        let mut targets = Vec::new();
        if let Some((pack, target)) = self.tar {
            pack.finish().map_err(|error| target.failed(&folder, error))?;
            targets.push(target);
        }
        if let Some((pack, target)) = self.npz {
            pack.finish().map_err(|error| target.failed(&folder, error))?;
            targets.push(target);
        }
        if let Some((pack, target)) = self.safetensors {
            pack.finish().map_err(|error| target.failed(&folder, error))?;
            targets.push(target);
        }
        let (rows, target) = self.rows;
        rows.finish().map_err(|error| target.failed(&folder, error))?;
        targets.push(target);
        let mut files = BTreeMap::new();
        for target in targets {
            let name = target.name.clone();
            files.insert(name, target.persist(&folder)?);
        }
        set.check_there()?;
        let marker = Marker {
            shard: self.stem,
            input,
            content,
            error,
            counts: self.counts,
            files,
            identity: set.identity().clone(),
            made,
        };
        marker.write(&self.marker)?;
        Ok(marker)
    }
}

impl Target {
    fn failed(&self, folder: &Path, error: io::Error) -> OutputError {
        OutputError::writing(&folder.join(&self.name), error)
    }

    /// Puts the file in its place, on the disk, and gives its length.
    fn persist(self, folder: &Path) -> Result<u64, OutputError> {
        let path = folder.join(&self.name);
        let attempt = || {
            self.file.as_file().sync_all()?;
            let length = self.file.as_file().metadata()?.len();
            self.file.persist(&path).map_err(|error| error.error)?;
            Ok(length)
        };
        attempt().map_err(|error| OutputError::writing(&path, error))
    }
}
