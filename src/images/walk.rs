//! What is below a directory, folder by folder, so that millions of files need the memory of the largest folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::vec;

/// The paths, relative to the root and in the order of their bytes, of the files below it whose names are wanted, and of
/// folders that cannot be listed.
///
/// Links are followed, except to a folder they are in; hidden files and folders are skipped.
pub(super) struct Walk {
    root: PathBuf,
    wanted: fn(&Path) -> bool,
    /// The folder at hand and those it is in.
    open: Vec<Folder>,
    /// The root before it has been opened.
    begun: bool,
}

struct Folder {
    /// Relative to the root.
    path: PathBuf,
    /// Its true place, to notice a link that leads back.
    place: PathBuf,
    /// The names of what is in it, one after another: a folder may hold millions. That of a folder has a slash after it: so
    /// sorted, the names are in the order of all paths below them.
    names: Vec<u8>,
    /// Where each name lies, in the order of their bytes.
    order: vec::IntoIter<(usize, u32)>,
}

impl Folder {
    /// The next thing in it, and whether it is a folder.
    fn next(&mut self) -> Option<(PathBuf, bool)> {
        let (begins, length) = self.order.next()?;
        let name = &self.names[begins..begins + length as usize];
        let (name, directory) = match name.strip_suffix(b"/") {
            Some(name) => (name, true),
            None => (name, false),
        };
        // SAFETY: these bytes came whole from an `OsStr`, and only a slash was taken away that was added here.
        let name = unsafe { OsStr::from_encoded_bytes_unchecked(name) };
        Some((self.path.join(name), directory))
    }
}

impl Walk {
    pub(super) fn new(root: &Path, wanted: fn(&Path) -> bool) -> Self {
        Self { root: root.to_path_buf(), wanted, open: Vec::new(), begun: false }
    }

    /// The directory that is searched.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Goes into a folder; false where it cannot be listed.
    fn enter(&mut self, path: PathBuf) -> bool {
        let full = self.root.join(&path);
        let place = fs::canonicalize(&full).unwrap_or_else(|_| full.clone());
        if self.open.iter().any(|folder| folder.place == place) {
            return true;
        }
        let Ok(found) = fs::read_dir(&full) else { return false };
        let (mut names, mut order) = (Vec::new(), Vec::new());
        for entry in found.flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let relative = path.join(&name);
            let directory = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => self.root.join(&relative).is_dir(),
                Ok(kind) => kind.is_dir(),
                Err(_) => false,
            };
            if directory || (self.wanted)(&relative) {
                let begins = names.len();
                names.extend_from_slice(name.as_encoded_bytes());
                names.extend(directory.then_some(b'/'));
                // Names of files are short; one beyond four gigabytes cannot be.
                order.push((begins, (names.len() - begins) as u32));
            }
        }
        let name = |&(begins, length): &(usize, u32)| &names[begins..begins + length as usize];
        order.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.open.push(Folder { path, place, names, order: order.into_iter() });
        true
    }
}

impl Iterator for Walk {
    type Item = PathBuf;

    fn next(&mut self) -> Option<PathBuf> {
        if !self.begun {
            self.begun = true;
            if !self.enter(PathBuf::new()) {
                return Some(PathBuf::new());
            }
        }
        loop {
            let folder = self.open.last_mut()?;
            match folder.next() {
                None => drop(self.open.pop()),
                Some((path, false)) => return Some(path),
                Some((path, true)) => {
                    if !self.enter(path.clone()) {
                        return Some(path);
                    }
                }
            }
        }
    }
}
