//! The kernels' sources and what each includes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of what only host execution includes.
const HOST: &str = "host";

/// One .cu file.
pub struct Source {
    /// The file's name without .cu.
    pub stem: String,
    pub folder: PathBuf,
    /// Of the file itself and all that it includes from the folder, by their names in the folder.
    pub contents: BTreeMap<String, Vec<u8>>,
}

impl Source {
    /// The one architecture it is for: names begin with `hopper_` where instructions of compute capability 9.0 are used.
    pub fn only(&self) -> Option<&'static str> {
        self.stem.starts_with("hopper_").then_some("90a")
    }
}

/// Every .cu file in `folder`, by name. Cargo runs the build again when one of them, or what they include, changes.
///
/// (A new .cu file alone does not: cargo would watch the folder with all that is in it, and each change in host/ would
/// compile the crate again. tests/kernels_compiled notices a file that was not compiled.)
pub fn read(folder: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    let mut watched = BTreeMap::new();
    for stem in stems(folder)? {
        let mut contents = BTreeMap::new();
        read_with_includes(folder, &format!("{stem}.cu"), &mut contents)?;
        watched.extend(contents.keys().map(|name| (name.clone(), ())));
        sources.push(Source { stem, folder: folder.to_owned(), contents });
    }
    for name in watched.keys() {
        println!("cargo:rerun-if-changed=kernels/{name}");
    }
    Ok(sources)
}

fn stems(folder: &Path) -> Result<Vec<String>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut stems = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".cu")) {
            stems.push(stem.to_owned());
        }
    }
    stems.sort();
    Ok(stems)
}

/// Follows `#include "..."` whatever the conditions around it, so never too little; nvcc's own list is compared after
/// compiling (compile.rs).
fn read_with_includes(
    folder: &Path,
    name: &str,
    contents: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), String> {
    if contents.contains_key(name) {
        return Ok(());
    }
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    contents.insert(name.to_owned(), bytes);
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix('#') else { continue };
        let Some(rest) = rest.trim_start().strip_prefix("include") else { continue };
        let Some(included) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
        else {
            continue;
        };
        if !included.starts_with(&format!("{HOST}/")) {
            read_with_includes(folder, included, contents)?;
        }
    }
    Ok(())
}

/// Names in the folder that nvcc read (its list in make's format) although `source` does not have them.
pub fn missed(source: &Source, dependencies: &str) -> Result<Vec<String>, String> {
    let mut missed = Vec::new();
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", source.folder.display());
    for entry in fs::read_dir(&source.folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let listed = dependencies.split_whitespace().any(|path| path == name);
        if listed && !source.contents.contains_key(name) {
            missed.push(name.to_owned());
        }
    }
    Ok(missed)
}
