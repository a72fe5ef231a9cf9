//! Places to write: that they can be written, and that nothing is lost there.

use super::exit::Failure;
use crate::output::path_text;
use std::path::Path;

/// Refuses files to write that are one and the same place.
///
/// # Errors
/// A usage error.
pub fn distinct_places(paths: &[&Path]) -> Result<(), Failure> {
    // The folders exist by now; the files need not.
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    for (index, path) in paths.iter().enumerate() {
        if paths[..index].iter().any(|other| place(other).is_some() && place(other) == place(path)) {
            return Err(Failure::usage(format!(
                "{} would be written over: name different files",
                path_text(path)
            )));
        }
    }
    Ok(())
}

/// Creates the folder of a file to write, and shows that files can be made in it.
///
/// # Errors
/// When it cannot be made or written.
pub fn prepare_place(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::Run(format!("{} is a folder; name a file to write", path_text(path))));
    }
    if path.exists() && !path.is_file() {
        return Err(Failure::Run(format!("{} is no regular file; name a file to write", path_text(path))));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let refuse = |error: std::io::Error| {
        Failure::Run(format!(
            "cannot write into {}: {error}; choose another place or change its permissions",
            path_text(folder)
        ))
    };
    std::fs::create_dir_all(folder).map_err(refuse)?;
    tempfile::Builder::new().prefix(".vggx-").suffix(".partial").tempfile_in(folder).map_err(refuse)?;
    Ok(())
}

/// Refuses files to write that are files to read, or each other; with what each is called.
///
/// # Errors
/// A usage error.
pub fn refuse_to_write_over<'a>(
    read: impl IntoIterator<Item = (&'a str, &'a Path)>,
    written: impl IntoIterator<Item = (&'a str, &'a Path)>,
) -> Result<(), Failure> {
    let mut earlier: Vec<(&str, &Path)> = read.into_iter().collect();
    for (what, path) in written {
        if let Some((other_what, other)) = earlier.iter().find(|(_, other)| is_same_file(path, other)) {
            return Err(Failure::usage(format!(
                "{what} {} is the same file as {other_what} {}; name another file",
                path_text(path),
                path_text(other)
            )));
        }
        earlier.push((what, path));
    }
    Ok(())
}

/// Whether two paths lead to one file, which need not exist yet.
fn is_same_file(one: &Path, other: &Path) -> bool {
    // A link is a name of its own and leads to another file: both are lost when it is written.
    let names = |path: &Path| {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder));
        let name = folder.ok().zip(path.file_name()).map(|(folder, name)| folder.join(name));
        [name, path.canonicalize().ok()]
    };
    let others = names(other);
    names(one).iter().flatten().any(|name| others.iter().flatten().any(|other| name == other))
}
