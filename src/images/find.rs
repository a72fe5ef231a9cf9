//! From what a user names to the list of images to work on.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use super::list;
use crate::output::path_text;

/// Extensions of the image files that are picked up inside directories, in lower case.
///
/// A file that is named itself may have any name: its content decides.
pub const EXTENSIONS: [&str; 10] = ["bmp", "dib", "gif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// One image to work on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InputImage {
    /// Where to read it.
    pub path: PathBuf,
    /// What outputs are named after, always relative and without `..`: the path below the directory that was
    /// given, else the file name alone.
    pub name: PathBuf,
    /// The target that a list gives it, as written there.
    pub target: Option<String>,
}

impl InputImage {
    /// The path of its outputs below the output folder, without method and extension: `a/cat.jpg` gives `a/cat`.
    pub fn stem(&self) -> PathBuf {
        self.name.with_extension("")
    }
}

/// What was found, in the order of the inputs; inside a directory by the bytes of the relative path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The images, each once. Named files and directories that cannot be read are among them: loading them fails,
    /// so that the good ones are done and the bad ones reported.
    pub images: Vec<InputImage>,
}

/// Why the inputs cannot be worked on at all.
#[derive(Debug, Error)]
pub enum FindError {
    /// A list file cannot be read.
    #[error("the list {} cannot be read ({source}); check the path and its permissions", path.display())]
    UnreadableList {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A list file contains something else.
    #[error("the list {}, line {line}: {reason}", path.display())]
    BadList {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// A tar file was named.
    #[error("{}: tar shards are not supported yet; unpack the archive and pass its folder", path.display())]
    Shard {
        /// The input as given.
        path: PathBuf,
    },
    /// Two images would write the same outputs.
    #[error(
        "{} and {} would both be written to {}.*{}; rename one, pass a common parent folder as the input, or use two output folders",
        first.display(), second.display(), stem.display(), more(*others)
    )]
    Collision {
        /// The image found first.
        first: PathBuf,
        /// The image that would overwrite its outputs.
        second: PathBuf,
        /// The outputs' path below the output folder, without method and extension.
        stem: PathBuf,
        /// How many more images collide with one before them.
        others: usize,
    },
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (and 1 more such pair)".to_string(),
        _ => format!(" (and {others} more such pairs)"),
    }
}

/// Finds the images behind the inputs of a command line.
///
/// An input is
/// - an image file of any name, or something missing or unreadable: it becomes an entry whose loading fails;
/// - a directory: every file below it with one of the [`EXTENSIONS`], whatever their case. Links are followed, except
///   to a directory they are in; hidden files and folders are skipped;
/// - `@list.txt`: a path a line, optionally a tab and a target, see below;
/// - `-`: such a list on standard input.
///
/// A path in a list file is relative to the list's folder; what does not exist there is looked for in the working
/// folder. Paths on standard input are relative to the working folder. A directory in a list is searched like any other, its images
/// all get the line's target.
///
/// The same file with the same target is only taken once, under the name found first.
/// Finding nothing is no error here; so a caller checks for it.
///
/// # Errors
/// [`FindError`] for a list that cannot be read, and for tar files.
pub fn find<Input: AsRef<OsStr>>(inputs: &[Input]) -> Result<Inputs, FindError> {
    find_with_stdin(inputs, &mut io::stdin().lock())
}

/// [`find`] with something else in place of standard input.
///
/// # Errors
/// As [`find`].
pub fn find_with_stdin<Input: AsRef<OsStr>>(
    inputs: &[Input],
    stdin: &mut dyn Read,
) -> Result<Inputs, FindError> {
    let mut search = Search::default();
    for input in inputs {
        let input = input.as_ref();
        if input == "-" {
            let mut bytes = Vec::new();
            let read = stdin.read_to_end(&mut bytes).map(|_| bytes);
            search.add_list(Path::new("-"), read, Path::new(""))?;
        } else if let Some(path) = list_path(input) {
            let folder = path.parent().unwrap_or(Path::new(""));
            search.add_list(path, fs::read(path), folder)?;
        } else {
            search.add(Path::new(input), None)?;
        }
    }
    Ok(Inputs { images: search.images })
}

/// Refuses images whose outputs would overwrite each other: `a/cat.jpg` and `a/cat.png` both write `a/cat.*`.
///
/// # Errors
/// [`FindError::Collision`] with the first such pair.
pub fn output_collisions(images: &[InputImage]) -> Result<(), FindError> {
    // By the text that the files are named with, which different names can share when one of them is not UTF-8.
    let mut by_stem: HashMap<String, &InputImage> = HashMap::with_capacity(images.len());
    let mut first_pair = None;
    let mut others = 0;
    for image in images {
        match by_stem.entry(path_text(&image.stem())) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(image);
            }
            std::collections::hash_map::Entry::Occupied(_) if first_pair.is_some() => others += 1,
            std::collections::hash_map::Entry::Occupied(entry) => {
                first_pair = Some((PathBuf::from(entry.key()), entry.get().path.clone(), &image.path));
            }
        }
    }
    match first_pair {
        None => Ok(()),
        Some((stem, first, second)) => {
            Err(FindError::Collision { first, second: second.clone(), stem, others })
        }
    }
}

#[derive(Default)]
struct Search {
    images: Vec<InputImage>,
    seen: HashSet<(PathBuf, Option<String>)>,
    /// The true place of folders already looked up: lists name thousands of files of the same few.
    folders: HashMap<PathBuf, PathBuf>,
}

impl Search {
    fn add_list(
        &mut self,
        path: &Path,
        content: io::Result<Vec<u8>>,
        folder: &Path,
    ) -> Result<(), FindError> {
        let bytes =
            content.map_err(|source| FindError::UnreadableList { path: path.to_path_buf(), source })?;
        let entries = list::parse(&bytes).map_err(|error| FindError::BadList {
            path: path.to_path_buf(),
            line: error.line,
            reason: error.reason,
        })?;
        for entry in entries {
            // An absolute path replaces the folder.
            let beside = folder.join(&entry.path);
            let path = if !beside.exists() && entry.path.exists() { entry.path } else { beside };
            self.add(&path, entry.target)?;
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, target: Option<String>) -> Result<(), FindError> {
        if path.is_dir() {
            self.add_directory(path, target.as_ref());
            return Ok(());
        }
        if has_extension(path, &["tar"]) {
            return Err(FindError::Shard { path: path.to_path_buf() });
        }
        let name = path.file_name().map_or_else(|| plain(path), PathBuf::from);
        let folder = self.true_folder(path.parent().unwrap_or(Path::new("")));
        let identity = folder.join(&name);
        self.push(path.to_path_buf(), name, identity, target);
        Ok(())
    }

    fn add_directory(&mut self, root: &Path, target: Option<&String>) {
        let mut found = walk(root);
        // Not the order of `Path`, which compares component by component.
        found.sort_unstable_by(|a, b| {
            let (a, b) = (a.as_os_str(), b.as_os_str());
            a.as_encoded_bytes().cmp(b.as_encoded_bytes())
        });
        let folder = self.true_folder(root);
        for name in found {
            let identity = folder.join(&name);
            self.push(root.join(&name), name, identity, target.cloned());
        }
    }

    fn push(&mut self, path: PathBuf, name: PathBuf, identity: PathBuf, target: Option<String>) {
        if self.seen.insert((identity, target.clone())) {
            self.images.push(InputImage { path, name, target });
        }
    }

    fn true_folder(&mut self, folder: &Path) -> PathBuf {
        if let Some(known) = self.folders.get(folder) {
            return known.clone();
        }
        let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let place = fs::canonicalize(named).unwrap_or_else(|_| named.to_path_buf());
        self.folders.insert(folder.to_path_buf(), place.clone());
        place
    }
}

/// The paths, relative to `root`, of the images below it, and of folders that cannot be listed.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Each folder with the true places of those it is in, to notice a link that leads back.
    let mut open = vec![(PathBuf::new(), Vec::new())];
    while let Some((folder, mut above)) = open.pop() {
        let full = root.join(&folder);
        let place = fs::canonicalize(&full).unwrap_or_else(|_| full.clone());
        if above.contains(&place) {
            continue;
        }
        above.push(place);
        let Ok(entries) = fs::read_dir(&full) else {
            found.push(folder);
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let relative = folder.join(&name);
            let directory = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => root.join(&relative).is_dir(),
                Ok(kind) => kind.is_dir(),
                Err(_) => false,
            };
            if directory {
                open.push((relative, above.clone()));
            } else if has_extension(&relative, &EXTENSIONS) {
                found.push(relative);
            }
        }
    }
    found
}

/// The list behind `@list.txt`.
fn list_path(input: &OsStr) -> Option<&Path> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
    }

    fn names(inputs: &Inputs) -> Vec<&str> {
        inputs.images.iter().map(|image| image.name.to_str().unwrap()).collect()
    }

    fn nothing() -> io::Empty {
        io::empty()
    }

    #[test]
    fn directories_are_searched_in_byte_order() {
        let folder = tempfile::tempdir().unwrap();
        touch(
            folder.path(),
            &[
                "b.JPG",
                "a/c.png",
                "a-b.webp",
                "a/B/d.TiFF",
                "a/.hidden/e.png",
                ".f.png",
                "g.txt",
                "h",
                "i.jpeg",
                "j.jpe",
                "k.gif",
                "l.bmp",
                "m.dib",
                "n.tif",
                "o.tar",
                "z/deep/er/p.jpg",
            ],
        );
        let inputs = find(&[folder.path()]).unwrap();
        assert_eq!(
            names(&inputs),
            [
                "a-b.webp",
                "a/B/d.TiFF",
                "a/c.png",
                "b.JPG",
                "i.jpeg",
                "j.jpe",
                "k.gif",
                "l.bmp",
                "m.dib",
                "n.tif",
                "z/deep/er/p.jpg",
            ]
        );
        assert!(inputs.images.iter().all(|image| image.path.exists()));
        assert_eq!(inputs.images[1].path, folder.path().join("a/B/d.TiFF"));
    }

    #[test]
    fn inputs_keep_their_order_and_missing_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["one/a.png", "two/b.png", "c.strange"]);
        let at = |name: &str| folder.path().join(name).into_os_string();
        let inputs = find(&[at("two"), at("missing.jpg"), at("c.strange"), at("one")]).unwrap();
        assert_eq!(names(&inputs), ["b.png", "missing.jpg", "c.strange", "a.png"]);
        assert_eq!(names(&find(&["", ".."]).unwrap())[..1], ["unnamed"]);
        assert_eq!(find::<&str>(&[]).unwrap(), Inputs::default());
    }

    #[test]
    fn an_empty_directory_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(&[folder.path()]).unwrap().images.is_empty());
    }

    #[test]
    fn the_same_file_is_taken_once_under_its_first_name() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["a/cat.jpg", "a/dog.jpg"]);
        let at = |name: &str| folder.path().join(name);
        let twice = find(&[at("a/cat.jpg"), at("a"), at("a/../a/./dog.jpg")]).unwrap();
        assert_eq!(names(&twice), ["cat.jpg", "dog.jpg"]);
        let nested = find(&[at("."), at("a")]).unwrap();
        assert_eq!(names(&nested), ["a/cat.jpg", "a/dog.jpg"]);
        let missing = find(&[at("no.jpg"), at("no.jpg")]).unwrap();
        assert_eq!(names(&missing), ["no.jpg"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_never_in_circles() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["a/cat.jpg", "elsewhere/b/dog.jpg"]);
        let root = folder.path().join("a");
        symlink(&root, root.join("loop")).unwrap();
        symlink(folder.path(), root.join("up")).unwrap();
        symlink(folder.path().join("elsewhere"), root.join("other")).unwrap();
        symlink(root.join("cat.jpg"), root.join("link.jpg")).unwrap();
        symlink(root.join("gone.jpg"), root.join("broken.jpg")).unwrap();
        symlink("self.jpg", root.join("self.jpg")).unwrap();
        let inputs = find(&[&root]).unwrap();
        // `up` leads to the parent, whose own `a` is the root again and not entered twice.
        assert_eq!(
            names(&inputs),
            ["broken.jpg", "cat.jpg", "link.jpg", "other/b/dog.jpg", "self.jpg", "up/elsewhere/b/dog.jpg"]
        );
    }

    #[test]
    fn lists_give_paths_and_targets() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["pictures/cat.jpg", "pictures/more/dog.jpg", "far.png"]);
        let far = folder.path().join("far.png");
        let text = format!("\u{feff}cat.jpg\ttabby\r\n\r\nmore\t7\n{}\nmissing.png\tx\n", far.display());
        let list = folder.path().join("pictures/list.txt");
        fs::write(&list, text).unwrap();
        let inputs = find(&[format!("@{}", list.display())]).unwrap();
        let found: Vec<_> = inputs
            .images
            .iter()
            .map(|image| (image.name.to_str().unwrap(), image.target.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("cat.jpg", Some("tabby")),
                ("dog.jpg", Some("7")),
                ("far.png", None),
                ("missing.png", Some("x")),
            ]
        );
        assert_eq!(inputs.images[0].path, list.with_file_name("cat.jpg"));
        assert_eq!(inputs.images[2].path, far);
        // What is nowhere is reported where it was expected: beside the list.
        assert_eq!(inputs.images[3].path, list.with_file_name("missing.png"));
    }

    #[test]
    fn a_list_falls_back_to_the_working_folder() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.txt");
        // Cargo runs tests in the package's folder.
        fs::write(&list, "Cargo.toml\n").unwrap();
        let inputs = find(&[format!("@{}", list.display())]).unwrap();
        assert_eq!(inputs.images[0].path, Path::new("Cargo.toml"));
    }

    #[test]
    fn a_list_comes_on_standard_input() {
        let inputs = find_with_stdin(&["-", "b.png"], &mut &b"x/a.png\t5\nCargo.toml\n"[..]).unwrap();
        assert_eq!(names(&inputs), ["a.png", "Cargo.toml", "b.png"]);
        assert_eq!(inputs.images[0].path, Path::new("x/a.png"));
        assert_eq!(inputs.images[0].target.as_deref(), Some("5"));
        let empty = find_with_stdin(&["-"], &mut nothing()).unwrap();
        assert!(empty.images.is_empty());
    }

    #[test]
    fn bad_lists_are_errors_that_say_where() {
        let folder = tempfile::tempdir().unwrap();
        let missing = find(&[format!("@{}", folder.path().join("no.txt").display())]).unwrap_err();
        assert!(missing.to_string().contains("no.txt"), "{missing}");
        let directory = find(&[format!("@{}", folder.path().display())]).unwrap_err();
        assert!(matches!(directory, FindError::UnreadableList { .. }));
        let binary = find_with_stdin(&["-"], &mut &b"a.png\n\0"[..]).unwrap_err();
        assert!(matches!(binary, FindError::BadList { line: 2, .. }), "{binary}");
    }

    #[test]
    fn shards_are_refused_by_name() {
        for shard in ["a.tar", "b/{000..099}.tar", "C.TAR"] {
            let error = find(&[shard]).unwrap_err();
            assert!(error.to_string().contains(shard), "{error}");
            assert!(error.to_string().contains("not supported yet"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["really.tar/a.png"]);
        assert_eq!(names(&find(&[folder.path().join("really.tar")]).unwrap()), ["a.png"]);
    }

    #[test]
    fn outputs_that_would_collide_are_refused_with_both_paths() {
        let image =
            |path: &str, name: &str| InputImage { path: path.into(), name: name.into(), target: None };
        let fine = [
            image("x/a/cat.jpg", "a/cat.jpg"),
            image("cat.png", "cat.png"),
            image("Cat.png", "Cat.png"),
            image("cat.b.png", "cat.b.png"),
        ];
        assert!(output_collisions(&fine).is_ok());
        assert_eq!(fine[0].stem(), Path::new("a/cat"));
        assert_eq!(fine[3].stem(), Path::new("cat.b"));
        let bad =
            [image("x/cat.jpg", "cat.jpg"), image("y/cat.png", "cat.png"), image("z/cat.gif", "cat.gif")];
        let text = output_collisions(&bad).unwrap_err().to_string();
        for part in ["x/cat.jpg", "y/cat.png", "cat.*", "1 more"] {
            assert!(text.contains(part), "{text}");
        }
        // One file for two targets writes the same outputs twice, too.
        let mut twice = [image("a.png", "a.png"), image("a.png", "a.png")];
        twice[1].target = Some("3".to_string());
        assert!(output_collisions(&twice).is_err());
    }
}
