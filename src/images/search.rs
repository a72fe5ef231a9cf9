//! From what a user names to images and archives, one after another as they are wanted.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor};
use std::path::{Component, Path, PathBuf};
use std::vec;

use super::braces::Braces;
use super::find::{EXTENSIONS, FindError};
use super::input::{Archive, Found, InputImage};
use super::list::{Lines, ListEntry, ListProblem};
use super::spool::Spool;
use super::walk::Walk;

/// Extension of archives, in lower case.
const ARCHIVE: &str = "tar";

/// Everything behind the inputs of a command line, see [`search`]. Nothing comes after an error.
pub struct Search {
    inputs: vec::IntoIter<OsString>,
    /// Taken by the first `-`.
    stdin: Option<Box<dyn BufRead + Send>>,
    /// Lists that have been read already.
    spool: Spool,
    names: Option<Braces>,
    list: Option<List>,
    walk: Option<(Walk, Option<String>)>,
    ended: bool,
}

struct List {
    lines: Lines,
    /// As it was named; `-` is standard input.
    path: PathBuf,
    /// What its paths are relative to.
    folder: PathBuf,
}

/// Searches what a command line names, in order, without holding more than a folder's names at a time: so inputs may be
/// of any number. What is named twice is found twice.
///
/// An input is what [`find`](super::find::find) takes, and further
/// - a `.tar` file, also below a directory or in a list;
/// - a text with brace ranges as in `{000..099}.tar`, where there is no such file.
pub fn search<Input: Into<OsString>>(inputs: impl IntoIterator<Item = Input>) -> Search {
    search_with_stdin(inputs, Box::new(BufReader::new(io::stdin())))
}

/// [`search`], with lists that can be read only once from where they are kept.
pub fn search_spooled<Input: Into<OsString>>(
    inputs: impl IntoIterator<Item = Input>,
    spool: &Spool,
) -> Search {
    Search { spool: spool.clone(), ..search(inputs) }
}

/// [`search`] with something else in place of standard input.
pub fn search_with_stdin<Input: Into<OsString>>(
    inputs: impl IntoIterator<Item = Input>,
    stdin: Box<dyn BufRead + Send>,
) -> Search {
    let inputs: Vec<OsString> = inputs.into_iter().map(Into::into).collect();
    Search {
        inputs: inputs.into_iter(),
        stdin: Some(stdin),
        spool: Spool::default(),
        names: None,
        list: None,
        walk: None,
        ended: false,
    }
}

impl Search {
    fn step(&mut self) -> Result<Option<Found>, FindError> {
        loop {
            if let Some((walk, target)) = &mut self.walk {
                if let Some(name) = walk.next() {
                    let path = walk.root().join(&name);
                    // The root itself, where it cannot be listed.
                    let name = if name.as_os_str().is_empty() { plain(&path) } else { name };
                    return Ok(Some(found(path, name, target.clone())));
                }
                self.walk = None;
            } else if let Some(list) = &mut self.list {
                match list.next()? {
                    Some(ListEntry { path, target }) => {
                        if let Some(found) = self.look(&path, target) {
                            return Ok(Some(found));
                        }
                    }
                    None => self.list = None,
                }
            } else if let Some(names) = &mut self.names {
                match names.next() {
                    Some(name) => {
                        if let Some(found) = self.look(Path::new(&name), None) {
                            return Ok(Some(found));
                        }
                    }
                    None => self.names = None,
                }
            } else {
                let Some(input) = self.inputs.next() else { return Ok(None) };
                if let Some(found) = self.open(&input)? {
                    return Ok(Some(found));
                }
            }
        }
    }

    /// Begins with an input; gives what it is where it stands for itself.
    fn open(&mut self, input: &OsStr) -> Result<Option<Found>, FindError> {
        let spooled = |list| -> Box<dyn BufRead + Send> { Box::new(Cursor::new(list)) };
        if input == "-" {
            let source = self.spool.get(input).map(spooled).or_else(|| self.stdin.take());
            let lines = Lines::new(source.unwrap_or_else(|| Box::new(io::empty())));
            self.list = Some(List { lines, path: PathBuf::from("-"), folder: PathBuf::new() });
            return Ok(None);
        }
        if let Some(path) = list_path(input) {
            let unreadable = |source| FindError::UnreadableList { path: path.to_path_buf(), source };
            let source = match self.spool.get(input) {
                Some(list) => spooled(list),
                None => Box::new(BufReader::new(File::open(path).map_err(unreadable)?)),
            };
            let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
            let lines = Lines::new(source);
            self.list = Some(List { lines, path: path.to_path_buf(), folder });
            return Ok(None);
        }
        let path = Path::new(input);
        if let Some(text) = input.to_str()
            && text.contains('{')
            && !path.exists()
        {
            let refuse = |reason| FindError::Braces { input: text.to_owned(), reason };
            if let Some(names) = Braces::parse(text).map_err(refuse)? {
                self.names = Some(names);
                return Ok(None);
            }
        }
        Ok(self.look(path, None))
    }

    /// Begins with a directory, or gives the image or archive.
    fn look(&mut self, path: &Path, target: Option<String>) -> Option<Found> {
        if path.is_dir() {
            self.walk = Some((Walk::new(path, is_wanted), target));
            return None;
        }
        let name = path.file_name().map_or_else(|| plain(path), PathBuf::from);
        Some(found(path.to_path_buf(), name, target))
    }
}

impl Iterator for Search {
    type Item = Result<Found, FindError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.step();
        self.ended = !matches!(found, Ok(Some(_)));
        found.transpose()
    }
}

impl List {
    /// Its next entry; the path leads to what it names.
    fn next(&mut self) -> Result<Option<ListEntry>, FindError> {
        let Some(entry) = self.lines.next() else { return Ok(None) };
        let entry = entry.map_err(|problem| match problem {
            ListProblem::Read(source) => FindError::UnreadableList { path: self.path.clone(), source },
            ListProblem::NotAList { line, reason } => {
                FindError::BadList { path: self.path.clone(), line, reason }
            }
        })?;
        // An absolute path replaces the folder.
        let beside = self.folder.join(&entry.path);
        let path = if !beside.exists() && entry.path.exists() { entry.path } else { beside };
        Ok(Some(ListEntry { path, target: entry.target }))
    }
}

fn found(path: PathBuf, name: PathBuf, target: Option<String>) -> Found {
    if has_extension(&name, &[ARCHIVE]) && !path.is_dir() {
        Found::Archive(Archive { path, name, target })
    } else {
        Found::Image(InputImage { path, name, target })
    }
}

/// Whether a name means a tar shard, or many of them.
pub fn names_archives(input: &OsStr) -> bool {
    has_extension(Path::new(input), &[ARCHIVE]) && !Path::new(input).is_dir()
}

fn is_wanted(path: &Path) -> bool {
    has_extension(path, &EXTENSIONS) || has_extension(path, &[ARCHIVE])
}

/// The list behind `@list.txt`.
pub(super) fn list_path(input: &OsStr) -> Option<&Path> {
    let rest = strip_at(input)?;
    (!rest.is_empty()).then(|| Path::new(rest))
}

#[cfg(unix)]
fn strip_at(input: &OsStr) -> Option<&OsStr> {
    use std::os::unix::ffi::OsStrExt;
    input.as_bytes().strip_prefix(b"@").map(OsStr::from_bytes)
}

#[cfg(not(unix))]
fn strip_at(input: &OsStr) -> Option<&OsStr> {
    input.to_str()?.strip_prefix('@').map(OsStr::new)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// A name for something that has no file name, such as `..`: only its plain components, never empty.
fn plain(path: &Path) -> PathBuf {
    let name: PathBuf =
        path.components().filter(|component| matches!(component, Component::Normal(_))).collect();
    if name.as_os_str().is_empty() { PathBuf::from("unnamed") } else { name }
}
