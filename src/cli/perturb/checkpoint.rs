//! What earlier runs left: a line an image beside the file that is to be written, or that file itself.

use super::document::{Document, ImageRow};
use crate::cli::exit::Failure;
use crate::cli::identity::difference;
use crate::output::{OutputError, path_text, write_file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The first line.
#[derive(Serialize, Deserialize)]
struct Heading {
    run: Map<String, Value>,
    /// Whether the run was begun with `--overwrite`: the file that it replaces is still there.
    overwrite: bool,
}

/// A line of an image.
#[derive(Serialize, Deserialize)]
struct Line {
    image: String,
    #[serde(flatten)]
    row: ImageRow,
}

/// The images that are done, and the file that they are kept in until all are.
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    /// By the images' names.
    pub rows: BTreeMap<String, ImageRow>,
}

impl Checkpoint {
    /// Goes on from what is there of this very run, or begins anew.
    ///
    /// # Errors
    /// When something is there of another run, and nobody said that it is to be overwritten.
    pub fn open(output: &Path, run: &Map<String, Value>, overwrite: bool) -> Result<Self, Failure> {
        let path = beside(output);
        let mut rows = BTreeMap::new();
        if let Some(document) = Self::written(output, run, overwrite)? {
            rows = document.rows();
        }
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(OutputError::Read { path, source }.into()),
            Ok(bytes) => match lines(&bytes, run, overwrite) {
                Ok(kept) => rows.extend(kept),
                Err(_) if overwrite => {}
                Err(problem) => return Err(refuse(&path, &problem)),
            },
        }
        // Anew, so that half a line of a killed run is gone.
        let mut text = serde_json::to_string(&Heading { run: run.clone(), overwrite })? + "\n";
        for (image, row) in &rows {
            text += &line(image, row)?;
        }
        write_file(&path, text.as_bytes())?;
        let writing = |source| OutputError::Write { path: path.clone(), source };
        let file = OpenOptions::new().append(true).open(&path).map_err(writing)?;
        Ok(Checkpoint { path, file, rows })
    }

    /// The file of this very run, if it is there.
    fn written(
        output: &Path,
        run: &Map<String, Value>,
        overwrite: bool,
    ) -> Result<Option<Document>, Failure> {
        if overwrite || !output.exists() {
            return Ok(None);
        }
        let bytes =
            std::fs::read(output).map_err(|source| OutputError::Read { path: output.to_owned(), source })?;
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(output, &format!("it is none of `vggx perturb`: {error}")))?;
        match difference(&document.run, run) {
            None => Ok(Some(document)),
            Some(other) => Err(refuse(output, &format!("it was made with other options: {other}"))),
        }
    }

    /// Keeps an image that is done.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, image: String, row: ImageRow) -> Result<(), Failure> {
        let line = line(&image, &row)?;
        // In one piece: a killed run leaves whole lines, but for the last one.
        self.file.write_all(line.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                OutputError::NoSpace { path: self.path.clone() }
            }
            _ => OutputError::Write { path: self.path.clone(), source },
        })?;
        self.rows.insert(image, row);
        Ok(())
    }

    /// Whether a run that was stopped left one for this file.
    pub fn is_beside(output: &Path) -> bool {
        beside(output).exists()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it: the run is done. One that stays is gone on from by the next run.
    pub fn remove(self) {
        let Checkpoint { path, file, .. } = self;
        drop(file);
        let _ = std::fs::remove_file(path);
    }
}

/// The place of the checkpoint beside a file that a run is for.
fn beside(output: &Path) -> PathBuf {
    let mut path: OsString = output.into();
    path.push(".checkpoint");
    path.into()
}

fn line(image: &str, row: &ImageRow) -> Result<String, Failure> {
    Ok(serde_json::to_string(&Line { image: image.to_owned(), row: row.clone() })? + "\n")
}

/// The images of a checkpoint of this very run, or why it is of another one.
fn lines(
    bytes: &[u8],
    run: &Map<String, Value>,
    overwrite: bool,
) -> Result<BTreeMap<String, ImageRow>, String> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let heading: Heading = lines
        .next()
        .and_then(|line| serde_json::from_slice(line).ok())
        .ok_or("it does not say what run it is of, or another version wrote it")?;
    if let Some(other) = difference(&heading.run, run) {
        return Err(format!("it was begun with other options: {other}"));
    }
    if overwrite && !heading.overwrite {
        return Err("it was begun without --overwrite".to_owned());
    }
    // The last line may be half a one.
    let whole = lines.filter(|line| line.ends_with(b"\n"));
    let rows = whole.map(|line| serde_json::from_slice::<Line>(line).map(|line| (line.image, line.row)));
    rows.collect::<Result<_, _>>().map_err(|error| format!("it is damaged: {error}"))
}

fn refuse(path: &Path, problem: &str) -> Failure {
    Failure::Run(format!(
        "this call cannot go on from {} ({problem}); name another --output, or begin anew with --overwrite",
        path_text(path)
    ))
}
