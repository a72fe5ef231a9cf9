//! The output folder of shards.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::atomic::{self, Durability, FolderLock};
use super::super::names::relative_stem;
use super::super::picture::check_gamma;
use super::super::resume::{self, IDENTITY_FILE_NAME, Identity};
use super::super::writer::prepare_folder;
use super::super::{Explanation, Format, OutputError, Store};
use super::encoded::Encoded;
use super::files_below::{files_below, remove_unlocked};
use super::foreign;
use super::marker::Marker;
use super::rows::RowFormat;
use crate::temporary::owner;

/// How long a share waits for others that prepare the folder.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const MOMENT: Duration = Duration::from_millis(20);

/// What shards hold.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Formats of the explanations.
    pub formats: Vec<Format>,
    /// Exponent of heat maps.
    pub gamma: f64,
    /// What arrays hold.
    pub store: Store,
    /// How rows are stored.
    pub rows: RowFormat,
}

/// Who else works in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: another run is refused.
    Alone,
    /// Runs that do other shares of the same call.
    Shares,
}

/// A folder of shards, finished ones and others to come.
#[derive(Debug)]
pub struct ShardSet {
    folder: PathBuf,
    layout: Layout,
    identity: Identity,
    overwrite: bool,
    /// Files that were there before the first run, relative to the folder.
    foreign: HashSet<String>,
    /// Temporary files that were there when the run began.
    leftovers: Mutex<Vec<PathBuf>>,
    _lock: FolderLock,
}

impl ShardSet {
    /// Makes the folder where it is missing, looks at what it holds, and stores this call's identity in it.
    ///
    /// With `overwrite` all is done again, and where the identity has changed, the shards that were made otherwise are removed.
    ///
    /// # Errors
    /// [`OutputError::DifferentIdentity`] and [`OutputError::UnknownIdentity`] when the folder holds outputs of another
    /// identity and `overwrite` is false; [`OutputError::Busy`] and [`OutputError::OtherRun`] when others are at work there;
    /// and where the folder cannot be written.
    pub fn open(
        folder: impl Into<PathBuf>,
        layout: Layout,
        identity: &Identity,
        sharing: Sharing,
        overwrite: bool,
    ) -> Result<Self, OutputError> {
        let folder = folder.into();
        check_gamma(layout.gamma)?;
        prepare_folder(&folder)?;
        let path = folder.join(IDENTITY_FILE_NAME);
        let mut text =
            serde_json::to_vec_pretty(identity).map_err(|error| OutputError::writing(&path, error.into()))?;
        text.push(b'\n');
        // As it would be read again.
        let identity =
            resume::parse(&text).map_err(|reason| OutputError::Damaged { path: path.clone(), reason })?;
        let (alone, lock) = Self::lock(&folder, sharing)?;
        let former = resume::read_identity(&path)?;
        if !matches!(&former, Ok(former) if *former == identity) {
            if !alone {
                // Others are at work here, with what stands there.
                return Err(match former {
                    Ok(former) => resume::difference(&folder, &former, &identity).of_other_run(),
                    Err(_) => OutputError::Busy { path: folder },
                });
            }
            if let Ok(former) = &former
                && resume::is_of_other_layout(former, &identity)
            {
                return Err(OutputError::OtherLayout { path: folder });
            }
            if !path.exists() {
                foreign::note(&folder)?;
            }
            let markers = markers(&folder);
            if !markers.is_empty() && !overwrite {
                return Err(match former {
                    Ok(former) => resume::difference(&folder, &former, &identity),
                    Err(reason) => OutputError::UnknownIdentity { path: folder, reason },
                });
            }
            for marker in markers.iter().filter(|marker| marker.identity != identity) {
                marker.remove(&folder)?;
            }
            atomic::write(&path, &text, Durability::Power)?;
        }
        let lock = match sharing {
            Sharing::Shares if alone => {
                // From here on others may join.
                drop(lock);
                FolderLock::share(&folder)?
            }
            _ => lock,
        };
        // Between two locks another run may have come.
        match resume::read_identity(&path)? {
            Ok(now) if now == identity => Self::new(folder, layout, identity, overwrite, (sharing, lock)),
            _ => Err(OutputError::Busy { path: folder }),
        }
    }

    fn new(
        folder: PathBuf,
        layout: Layout,
        identity: Identity,
        overwrite: bool,
        (sharing, lock): (Sharing, FolderLock),
    ) -> Result<Self, OutputError> {
        let foreign = foreign::read(&folder)?;
        let mut leftovers = Vec::new();
        files_below(&folder, &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if owner(&name).is_some() {
                leftovers.push(path);
            }
        });
        if sharing == Sharing::Alone {
            leftovers.drain(..).for_each(|path| remove_unlocked(&path));
        }
        let leftovers = Mutex::new(leftovers);
        Ok(Self { folder, layout, identity, overwrite, foreign, leftovers, _lock: lock })
    }

    /// Removes what a killed run left of a shard. Other shards' may be those of runs that share the work.
    pub(super) fn tidy(&self, marker: &Path) {
        let (folder, shard) = (marker.parent(), temporary_name(marker));
        let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
        leftovers.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ours = path.parent() == folder && owner(&name) == Some(&shard);
            if ours {
                remove_unlocked(path);
            }
            !ours
        });
    }

    /// Refuses to go on in a folder that is not the one the run began in.
    ///
    /// # Errors
    /// [`OutputError::FolderGone`].
    pub(super) fn check_there(&self) -> Result<(), OutputError> {
        match self.folder.join(IDENTITY_FILE_NAME).exists() {
            true => Ok(()),
            false => Err(OutputError::FolderGone { path: self.folder.clone() }),
        }
    }

    /// Takes the folder's lock, and tells whether nobody else works here: only then may what the folder is made with change.
    /// Shares that start together wait for each other.
    fn lock(folder: &Path, sharing: Sharing) -> Result<(bool, FolderLock), OutputError> {
        let begun = Instant::now();
        loop {
            match (FolderLock::take(folder), sharing) {
                (Err(OutputError::Busy { .. }), Sharing::Shares) => match FolderLock::share(folder) {
                    Err(OutputError::Busy { .. }) if begun.elapsed() < PATIENCE => thread::sleep(MOMENT),
                    lock => return Ok((false, lock?)),
                },
                (lock, _) => return Ok((true, lock?)),
            }
        }
    }

    /// The output folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What its shards hold.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Refuses a shard whose marker would be one of the folder's own records.
    ///
    /// # Errors
    /// [`OutputError::ReservedName`], [`OutputError::EscapingName`].
    pub fn refuse_reserved(&self, stem: &Path, input: &str) -> Result<(), OutputError> {
        let stem = relative_stem(stem)?;
        match stem == "run" || stem.starts_with("run.") || stem.starts_with(".vggx") {
            true => Err(OutputError::ReservedName { input: input.to_owned(), stem }),
            false => Ok(()),
        }
    }

    /// Refuses to replace a file that was there before the first run; `name` is relative to the folder.
    pub(super) fn refuse_foreign(&self, name: &str) -> Result<(), OutputError> {
        let path = self.folder.join(name);
        match self.foreign.contains(name) && path.exists() {
            true => Err(OutputError::Foreign { path }),
            false => Ok(()),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The marker of a finished shard; none where it is to be made: it is not there, its input could not be read to its end,
    /// a file of it is missing, or all is to be done again.
    ///
    /// # Errors
    /// [`OutputError::OtherContent`] where it was made of something else than `content`;
    /// [`OutputError::DifferentIdentity`]; [`OutputError::Damaged`], [`OutputError::Read`], [`OutputError::EscapingName`].
    pub fn finished(&self, stem: &Path, content: &str) -> Result<Option<Marker>, OutputError> {
        let stem = relative_stem(stem)?;
        let path = self.folder.join(format!("{stem}.json"));
        self.refuse_foreign(&format!("{stem}.json"))?;
        if self.overwrite {
            return Ok(None);
        }
        let Some(marker) = Marker::read(&path)? else { return Ok(None) };
        if marker.identity != self.identity {
            return Err(resume::difference(&path, &marker.identity, &self.identity));
        }
        if marker.error.is_some() {
            return Ok(None);
        }
        if marker.content != content {
            let Marker { input, content: former, .. } = marker;
            return Err(OutputError::OtherContent { path, input, former, current: content.to_owned() });
        }
        let whole = |(file, length): (&String, &u64)| {
            fs::metadata(self.folder.join(file)).is_ok_and(|file| file.is_file() && file.len() == *length)
        };
        Ok(marker.files.iter().all(whole).then_some(marker))
    }

    /// Makes pictures and arrays of an image for the shard `stem`; `name` is the image's path in it, without extension.
    ///
    /// # Errors
    /// [`OutputError::EscapingName`], [`OutputError::InvalidMethod`], [`OutputError::RepeatedMethod`],
    /// [`OutputError::Shape`], [`OutputError::Encode`].
    pub fn encode(
        &self,
        stem: &Path,
        name: &Path,
        explanations: &[Explanation],
    ) -> Result<Encoded, OutputError> {
        Encoded::new(&self.layout, &relative_stem(stem)?, name, explanations)
    }
}

/// What temporary files of a shard are called after: the shard, as far as file names are long.
pub(super) fn temporary_name(marker: &Path) -> String {
    marker.file_stem().unwrap_or_default().to_string_lossy().chars().take(50).collect()
}

/// The markers of a folder and the folders below it.
fn markers(folder: &Path) -> Vec<Marker> {
    let mut found = Vec::new();
    files_below(folder, &mut |path| {
        // What is no marker of this very place does not count.
        if path.extension().is_some_and(|extension| extension == "json")
            && let Ok(Some(marker)) = Marker::read(&path)
            && folder.join(format!("{}.json", marker.shard)) == path
        {
            found.push(marker);
        }
    });
    found
}
