//! Files that appear whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use super::OutputError;
pub(super) use crate::temporary::remove_abandoned;
use crate::temporary::temporary_file;

/// Whether a file must survive a power failure, not only a killed process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Cheap enough for every picture.
    Process,
    /// Waits for the disk: for the few files that say what the others are.
    Power,
}

/// Puts `bytes` at `path`, over what may be there.
///
/// # Errors
/// [`OutputError::NoSpace`] and [`OutputError::Write`]; then `path` is as before and no temporary file stays.
pub(super) fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), OutputError> {
    write_with(path, durability, |file| file.write_all(bytes))
}

/// Like [`write`], for contents that are not in memory at once.
pub(super) fn write_with(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), OutputError> {
    // A temporary file that is not persisted removes itself, whichever way this function is left.
    let attempt = || {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut file = temporary_file(folder)?;
        fill(file.as_file_mut())?;
        if durability == Durability::Power {
            file.as_file().sync_all()?;
        }
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().map_err(|source| OutputError::writing(path, source))
}

/// Removes a file that may be gone already.
///
/// # Errors
/// [`OutputError::Write`].
pub(super) fn remove(path: &Path) -> Result<(), OutputError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OutputError::writing(path, error)),
        _ => Ok(()),
    }
}

/// Shows that files can be made in `folder` and that they can hold something.
///
/// # Errors
/// What the system says.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    temporary_file(folder)?.write_all(&[0; 4096])
}

/// Keeps a second run out of an output folder until it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _folder: Option<File>,
}

impl FolderLock {
    /// Takes the lock. Where folders cannot be locked (Windows, some network file systems) it keeps nobody out.
    ///
    /// # Errors
    /// [`OutputError::Busy`] when another run holds it.
    pub(super) fn take(folder: &Path) -> Result<Self, OutputError> {
        Self::lock(folder, File::try_lock)
    }

    /// Takes the lock together with other runs that share the work.
    ///
    /// # Errors
    /// [`OutputError::Busy`] when a run holds it that does not.
    pub(super) fn share(folder: &Path) -> Result<Self, OutputError> {
        Self::lock(folder, File::try_lock_shared)
    }

    fn lock(folder: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Self, OutputError> {
        let Ok(file) = File::open(folder) else {
            return Ok(Self { _folder: None });
        };
        match lock(&file) {
            Err(TryLockError::WouldBlock) => Err(OutputError::Busy { path: folder.to_path_buf() }),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _folder: Some(file) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_replaces_the_former_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        for (bytes, durability) in [(b"one", Durability::Process), (b"two", Durability::Power)] {
            write(&path, bytes, durability).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_full_disk_leaves_the_former_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"former", Durability::Process).unwrap();
        let error = write_with(&path, Durability::Process, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert!(matches!(&error, OutputError::NoSpace { path: named } if *named == path));
        let message = error.to_string();
        assert!(
            message.contains("no space left") && message.contains("a.txt") && message.contains("are kept")
        );
        assert_eq!(fs::read(&path).unwrap(), b"former");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_disk_says_is_understood() {
        let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = OutputError::writing(Path::new("a"), full.write_all(b"x").unwrap_err());
        assert!(matches!(error, OutputError::NoSpace { .. }));
    }

    #[test]
    fn a_failed_rename_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::create_dir_all(path.join("inner")).unwrap();
        assert!(matches!(write(&path, b"x", Durability::Process), Err(OutputError::Write { .. })));
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ordinary, written) = (folder.path().join("ordinary"), folder.path().join("written"));
        File::create(&ordinary).unwrap();
        write(&written, b"x", Durability::Process).unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(written), mode(ordinary));
    }

    #[cfg(unix)]
    #[test]
    fn a_locked_folder_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(OutputError::Busy { .. })));
        drop(held);
        FolderLock::take(folder.path()).unwrap();
    }
}
