//! Temporary files that become results by renaming, and what killed processes left of them.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

const PREFIX: &str = ".vggx-";
const SUFFIX: &str = ".partial";

/// A younger temporary file may belong to a writer that has not locked it yet.
const YOUNG: Duration = Duration::from_secs(2);

/// A new file in `folder` (empty: the working folder), which removes itself unless it is persisted.
pub(crate) fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    temporary_file_of(folder, None)
}

/// The same, for a result that [`owner`] tells.
pub(crate) fn temporary_file_of(folder: &Path, owner: Option<&str>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let prefix = owner.map_or_else(|| PREFIX.to_owned(), |owner| format!("{PREFIX}{owner}-"));
    builder.prefix(&prefix).suffix(SUFFIX);
    // Results are as readable as any file the user makes: the umask decides, not tempfile's 0600.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    // The lock ends with the process: `remove_abandoned` of a later run sees that nobody writes here any more. File
    // systems without locks only lose that tidying.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// The result that a temporary file is for, where it was made for one; none for other files.
pub(crate) fn owner(name: &str) -> Option<&str> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    Some(middle.rsplit_once('-').map_or("", |(owner, _)| owner))
}

/// Removes the temporary files that a killed process left in `folder`. What cannot be removed stays: it does no harm.
pub(crate) fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && is_abandoned(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let old = modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > YOUNG));
    old && file.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_tell_what_they_are_for() {
        let folder = tempfile::tempdir().unwrap();
        let name = |owner| {
            let file = temporary_file_of(folder.path(), owner).unwrap();
            file.path().file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(owner(&name(Some("images-00003"))), Some("images-00003"));
        assert_eq!(owner(&name(None)), Some(""));
        assert_eq!(owner("images-00003.tar"), None);
    }

    #[test]
    fn only_abandoned_temporary_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - 10 * YOUNG;
        let abandoned = folder.path().join(".vggx-abc.partial");
        File::create(&abandoned).unwrap().set_modified(old).unwrap();
        let foreign = folder.path().join("notes.partial");
        File::create(&foreign).unwrap().set_modified(old).unwrap();
        let young = folder.path().join(".vggx-young.partial");
        File::create(&young).unwrap();
        let written = temporary_file(folder.path()).unwrap();
        written.as_file().set_modified(old).unwrap();

        remove_abandoned(folder.path());
        assert!(!abandoned.exists());
        assert!(foreign.exists() && young.exists() && written.path().exists());
    }
}
