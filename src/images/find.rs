//! From what a user names to the list of images to work on.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, BufRead};
use std::path::PathBuf;

use thiserror::Error;

use super::input::{Found, InputImage};
use super::search::{names_archives, search, search_spooled, search_with_stdin};
use super::set::identity;
use super::spool::Spool;

/// Extensions of the image files that are picked up inside directories, in lower case.
///
/// A file that is named itself may have any name: its content decides.
pub const EXTENSIONS: [&str; 10] = ["bmp", "dib", "gif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// What was found, in the order of the inputs; inside a directory by the bytes of the relative path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The images, each once. Named files and directories that cannot be read are among them: loading them fails,
    /// so that the good ones are done and the bad ones reported.
    pub images: Vec<InputImage>,
    /// How many tar files below directories were left out.
    pub archives: usize,
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
    /// A tar file was named where only images serve.
    #[error(
        "{}: is a tar shard, and this command takes loose images; unpack it and pass its folder (explain and learn read shards)",
        path.display()
    )]
    Shard {
        /// The input as given.
        path: PathBuf,
    },
    /// Braces stand for too many names.
    #[error("{input}: {reason}")]
    Braces {
        /// The input as given.
        input: String,
        /// What is wrong with it, and what to do.
        reason: &'static str,
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
/// [`FindError`] for a list that cannot be read, and for tar files that are named.
pub fn find<Input: AsRef<OsStr>>(inputs: &[Input]) -> Result<Inputs, FindError> {
    collect(inputs, search(inputs))
}

/// [`find`], with lists that can be read only once from where they are kept.
///
/// # Errors
/// As [`find`].
pub fn find_spooled<Input: AsRef<OsStr>>(inputs: &[Input], spool: &Spool) -> Result<Inputs, FindError> {
    collect(inputs, search_spooled(inputs, spool))
}

/// [`find`] with something else in place of standard input.
///
/// # Errors
/// As [`find`].
pub fn find_with_stdin<Input: AsRef<OsStr>>(
    inputs: &[Input],
    stdin: Box<dyn BufRead + Send>,
) -> Result<Inputs, FindError> {
    collect(inputs, search_with_stdin(inputs, stdin))
}

fn collect<Input: AsRef<OsStr>>(
    inputs: &[Input],
    found: impl Iterator<Item = Result<Found, FindError>>,
) -> Result<Inputs, FindError> {
    if let Some(archive) = inputs.iter().find(|input| names_archives(input.as_ref())) {
        return Err(FindError::Shard { path: PathBuf::from(archive) });
    }
    let (mut inputs, mut seen, mut folders) = (Inputs::default(), HashSet::new(), HashMap::new());
    for found in found {
        match found? {
            Found::Archive(_) => inputs.archives += 1,
            Found::Image(image) => {
                let identity = identity(&image.path, &image.name, &mut folders);
                if seen.insert((identity, image.target.clone())) {
                    inputs.images.push(image);
                }
            }
        }
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

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
        let inputs = find_with_stdin(&["-", "b.png"], Box::new(&b"x/a.png\t5\nCargo.toml\n"[..])).unwrap();
        assert_eq!(names(&inputs), ["a.png", "Cargo.toml", "b.png"]);
        assert_eq!(inputs.images[0].path, Path::new("x/a.png"));
        assert_eq!(inputs.images[0].target.as_deref(), Some("5"));
        let empty = find_with_stdin(&["-"], Box::new(io::empty())).unwrap();
        assert!(empty.images.is_empty());
    }

    #[test]
    fn bad_lists_are_errors_that_say_where() {
        let folder = tempfile::tempdir().unwrap();
        let missing = find(&[format!("@{}", folder.path().join("no.txt").display())]).unwrap_err();
        assert!(missing.to_string().contains("no.txt"), "{missing}");
        let directory = find(&[format!("@{}", folder.path().display())]).unwrap_err();
        assert!(matches!(directory, FindError::UnreadableList { .. }));
        let binary = find_with_stdin(&["-"], Box::new(&b"a.png\n\0"[..])).unwrap_err();
        assert!(matches!(binary, FindError::BadList { line: 2, .. }), "{binary}");
    }

    #[test]
    fn shards_are_refused_by_name() {
        for shard in ["a.tar", "b/{000..099}.tar", "C.TAR"] {
            let error = find(&[shard]).unwrap_err();
            assert!(error.to_string().contains(shard), "{error}");
            assert!(error.to_string().contains("loose images"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["really.tar/a.png"]);
        assert_eq!(names(&find(&[folder.path().join("really.tar")]).unwrap()), ["a.png"]);
    }
}
