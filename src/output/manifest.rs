//! `manifest.jsonl`: one line an image.
//!
//! While a run goes on, its rows are appended to `manifest.jsonl.partial` in the order of their completion, each with
//! the position of its image in the call; `manifest.jsonl` stays what the last finished run left. At the end both are
//! merged and replace `manifest.jsonl` at once. A killed run leaves the partial file, whose last line may be torn; the
//! next run reads it and goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability, FolderLock};
use super::resume::Resume;
use super::{MethodFiles, OutputError, run_record};

/// Name of the manifest in an output folder.
pub const FILE_NAME: &str = "manifest.jsonl";

/// Name of the rows of an unfinished run.
pub const PARTIAL_FILE_NAME: &str = "manifest.jsonl.partial";

/// One line of the manifest: what became of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The input as named on the command line or found in a directory or list.
    pub input: String,
    /// Whether it was explained.
    pub status: Status,
    /// Why not.
    pub error: Option<String>,
    /// The explained class, or channel of a headless network, counted from 0.
    pub target: Option<u64>,
    /// Its name.
    pub label: Option<String>,
    /// The target as it came with the input, where every input has a target of its own; left out otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its logit, or channel sum; a value that is not finite is written as null.
    pub response: Option<f64>,
    /// Its softmax probability, null in headless networks.
    pub probability: Option<f64>,
    /// What was written, by the method's name as typed.
    #[serde(default)]
    pub methods: BTreeMap<String, MethodOutput>,
}

/// Whether an image was explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was.
    Ok,
    /// It was not; [`Row::error`] says why.
    Failed,
}

/// What one method left of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodOutput {
    /// Power of two by which the arrays are to be multiplied.
    pub scale_log2: i32,
    /// Files relative to the output folder.
    pub files: Vec<String>,
}

impl Row {
    /// The row of an image that was explained; target, label, response and probability are to be filled in.
    pub fn explained(input: impl Into<String>, written: Vec<MethodFiles>) -> Self {
        let methods = written
            .into_iter()
            .map(|MethodFiles { method, scale_log2, files }| (method, MethodOutput { scale_log2, files }))
            .collect();
        Self { methods, ..Self::empty(input.into(), Status::Ok) }
    }

    /// The row of an image that could not be explained.
    pub fn failed(input: impl Into<String>, error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::empty(input.into(), Status::Failed) }
    }

    fn empty(input: String, status: Status) -> Self {
        let methods = BTreeMap::new();
        Self {
            input,
            status,
            error: None,
            target: None,
            label: None,
            key: None,
            response: None,
            probability: None,
            methods,
        }
    }

    /// The files of all methods, relative to the output folder.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.methods.values().flat_map(|output| output.files.iter().map(String::as_str))
    }

    /// This row after `former` of the same input: it has the last word, but what `former` wrote and this run did not
    /// write again is still there, unless it explains another output. A failure changes nothing but status and error.
    fn after(mut self, former: Self) -> Self {
        if self.status == Status::Failed {
            return Self { status: self.status, error: self.error, ..former };
        }
        if self.target != former.target {
            return self;
        }
        for (method, former) in former.methods {
            match self.methods.get_mut(&method) {
                Some(output) => {
                    // Former files first: the order does not depend on how the formats were split over runs.
                    let added = output.files.iter().filter(|file| !former.files.contains(file)).cloned();
                    output.files = former.files.iter().cloned().chain(added).collect();
                }
                None => {
                    self.methods.insert(method, former);
                }
            }
        }
        self
    }
}

/// Reads `manifest.jsonl` of `folder`; an absent one has no rows. A torn last line is left out.
///
/// # Errors
/// [`OutputError::Read`]; [`OutputError::Damaged`] when another line is not a row.
pub fn read(folder: &Path) -> Result<Vec<Row>, OutputError> {
    let mut rows = Vec::new();
    if let Some(file) = open(&folder.join(FILE_NAME))? {
        scan(&file, &folder.join(FILE_NAME), |_, line| {
            rows.push(serde_json::from_slice(line)?);
            Ok(())
        })?;
    }
    Ok(rows)
}

fn open(path: &Path) -> Result<Option<File>, OutputError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OutputError::reading(path, error)),
    }
}

/// Gives every line that is not blank to `take`, with its offset in bytes, and returns where the last good line ends,
/// its line feed included. Only the last line may be one that `take` refuses.
fn scan(
    file: &File,
    path: &Path,
    mut take: impl FnMut(u64, &[u8]) -> serde_json::Result<()>,
) -> Result<u64, OutputError> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut offset, mut good_end, mut line, mut number) = (0, 0, Vec::new(), 0_u64);
    let mut torn = None;
    loop {
        line.clear();
        let length =
            reader.read_until(b'\n', &mut line).map_err(|error| OutputError::reading(path, error))? as u64;
        if length == 0 {
            return Ok(good_end);
        }
        number += 1;
        let content = line.trim_ascii_end();
        if !content.is_empty() {
            if let Some(reason) = torn {
                return Err(OutputError::Damaged { path: path.to_path_buf(), reason });
            }
            match take(offset, content) {
                Ok(()) => good_end = offset + length,
                Err(error) => torn = Some(format!("line {number}: {error}")),
            }
        }
        offset += length;
    }
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Finished,
    Partial,
}

/// Where a row stands in the manifest to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// It was in the finished manifest, at this offset.
    Finished(u64),
    /// It comes from an unfinished run and is no input of this call; its position there.
    Abandoned(u64),
    /// Position in this call.
    Position(u64),
}

#[derive(Clone, Copy, Debug)]
struct Place {
    source: Source,
    offset: u64,
    length: usize,
    order: Order,
}

/// Where the rows of earlier runs are. Rows stay on disk: manifests may have millions.
#[derive(Debug)]
pub(super) struct Index {
    folder: PathBuf,
    finished: Option<Mutex<File>>,
    partial: Option<Mutex<File>>,
    /// Where the good lines of the partial manifest end.
    partial_end: u64,
    places: HashMap<String, Place>,
    /// Hashes of all files that rows name.
    files: HashSet<u64>,
    _lock: FolderLock,
}

/// A line of the partial manifest begins with this, then comes what follows the brace of the row.
fn with_position(position: u64, row: &str) -> String {
    format!("{{\"position\":{position},{}\n", row.strip_prefix('{').unwrap_or(row))
}

fn without_position(line: &[u8]) -> Vec<u8> {
    let rest = line.iter().position(|&byte| byte == b',').map_or(line, |comma| &line[comma + 1..]);
    [b"{", rest].concat()
}

#[derive(Deserialize)]
struct Position {
    position: u64,
}

fn hash(file: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    hasher.finish()
}

impl Index {
    /// Reads what earlier runs left in `folder`, which nobody else may use from now on.
    ///
    /// # Errors
    /// [`OutputError::Busy`], [`OutputError::Read`], [`OutputError::Damaged`].
    pub(super) fn open(folder: &Path) -> Result<Self, OutputError> {
        let lock = FolderLock::take(folder)?;
        let mut places: HashMap<String, Place> = HashMap::new();
        let mut files = HashSet::new();

        let path = folder.join(FILE_NAME);
        let finished = open(&path)?;
        if let Some(file) = &finished {
            scan(file, &path, |offset, line| {
                let row: Row = serde_json::from_slice(line)?;
                files.extend(row.files().map(hash));
                let place = Place {
                    source: Source::Finished,
                    offset,
                    length: line.len(),
                    order: Order::Finished(offset),
                };
                places.insert(row.input, place);
                Ok(())
            })?;
        }

        let path = folder.join(PARTIAL_FILE_NAME);
        let partial = open(&path)?;
        let mut partial_end = 0;
        if let Some(file) = &partial {
            partial_end = scan(file, &path, |offset, line| {
                let Position { position } = serde_json::from_slice(line)?;
                let row: Row = serde_json::from_slice(line)?;
                files.extend(row.files().map(hash));
                let order = match places.get(&row.input) {
                    Some(Place { order: Order::Finished(offset), .. }) => Order::Finished(*offset),
                    _ => Order::Abandoned(position),
                };
                places
                    .insert(row.input, Place { source: Source::Partial, offset, length: line.len(), order });
                Ok(())
            })?;
        }

        let (finished, partial) = (finished.map(Mutex::new), partial.map(Mutex::new));
        Ok(Self { folder: folder.to_path_buf(), finished, partial, partial_end, places, files, _lock: lock })
    }

    /// Whether any row names a file.
    pub(super) fn holds_outputs(&self) -> bool {
        !self.files.is_empty()
    }

    /// Whether there is any row.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Removes the rows of earlier runs, and the record that they finished. Their outputs stay.
    pub(super) fn forget(&mut self) -> Result<(), OutputError> {
        // The finished manifest last: until it is gone, the folder is refused to calls of another identity.
        for path in
            [run_record::path(&self.folder), self.folder.join(PARTIAL_FILE_NAME), self.folder.join(FILE_NAME)]
        {
            atomic::remove(&path)?;
        }
        (self.finished, self.partial, self.partial_end) = (None, None, 0);
        self.places.clear();
        self.files.clear();
        Ok(())
    }

    /// The row of an input.
    ///
    /// # Errors
    /// [`OutputError::Read`], [`OutputError::Damaged`] when the manifest has changed under this run.
    pub(super) fn row(&self, input: &str) -> Result<Option<Row>, OutputError> {
        self.places.get(input).map(|place| self.row_at(place)).transpose()
    }

    /// The input that a file belongs to, unless it is the input of `row`.
    pub(super) fn other_owner(&self, file: &str, row: Option<&Row>) -> Result<Option<String>, OutputError> {
        if !self.files.contains(&hash(file)) || row.is_some_and(|row| row.files().any(|own| own == file)) {
            return Ok(None);
        }
        for place in self.places.values() {
            let row = self.row_at(place)?;
            if row.files().any(|owned| owned == file) {
                return Ok(Some(row.input));
            }
        }
        Ok(None)
    }

    /// Whether a file of the output folder exists and holds something.
    pub(super) fn has_file(&self, file: &str) -> bool {
        fs::metadata(self.folder.join(file)).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
    }

    fn row_at(&self, place: &Place) -> Result<Row, OutputError> {
        serde_json::from_slice(&self.line(place)?).map_err(|error| OutputError::Damaged {
            path: self.source(place.source).1,
            reason: format!("byte {}: {error}", place.offset),
        })
    }

    /// A row's line without line feed, as it is to be in the finished manifest.
    fn line(&self, place: &Place) -> Result<Vec<u8>, OutputError> {
        let (file, path) = self.source(place.source);
        let file =
            file.as_ref().ok_or_else(|| OutputError::reading(&path, io::ErrorKind::NotFound.into()))?;
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let line = read_line(&mut file, place.offset, place.length)
            .map_err(|error| OutputError::reading(&path, error))?;
        Ok(match place.source {
            Source::Finished => line,
            Source::Partial => without_position(&line),
        })
    }

    fn source(&self, source: Source) -> (&Option<Mutex<File>>, PathBuf) {
        match source {
            Source::Finished => (&self.finished, self.folder.join(FILE_NAME)),
            Source::Partial => (&self.partial, self.folder.join(PARTIAL_FILE_NAME)),
        }
    }
}

fn read_line(file: &mut File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut line = vec![0; length];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut line)?;
    Ok(line)
}

/// Adds the rows of a run to those of earlier ones.
///
/// Every input of the call comes once, in any order: to [`append`](Self::append) when something was done,
/// to [`keep`](Self::keep) when an earlier run had done everything. [`finish`](Self::finish) then puts the manifest in
/// place: first the rows of the former manifest in their order, then new ones in the order of their positions.
/// Dropping the writer instead leaves the rows for the next run.
#[derive(Debug)]
pub struct ManifestWriter {
    index: Arc<Index>,
    partial: Option<File>,
    partial_end: u64,
    /// Rows of this run in the partial manifest, by input; no place for those that were kept.
    rows: HashMap<String, (u64, Option<(u64, usize)>)>,
}

impl ManifestWriter {
    /// A writer that goes on from what `resume` found. Nothing is written before the first row.
    pub fn new(resume: &Resume) -> Self {
        let index = Arc::clone(resume.index());
        Self { partial_end: index.partial_end, index, partial: None, rows: HashMap::new() }
    }

    /// Adds the row of the input at `position` of this call, and returns it as the manifest will hold it. What an earlier run wrote for the same input by other
    /// methods or in other formats stays listed. From here on the folder's run is an unfinished one: `run.json` of an
    /// earlier run is removed.
    ///
    /// # Errors
    /// [`OutputError::NoSpace`], [`OutputError::Write`], [`OutputError::Read`], [`OutputError::Damaged`]; then the
    /// partial manifest holds all earlier rows and not this one.
    pub fn append(&mut self, position: u64, row: Row) -> Result<Row, OutputError> {
        let path = self.index.folder.join(PARTIAL_FILE_NAME);
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => self.start(&path)?,
        };
        let former = match self.rows.get(&row.input) {
            Some(&(_, Some((offset, length)))) => read_line(&mut partial, offset, length)
                .and_then(|line| Ok(Some(serde_json::from_slice(&line)?)))
                .map_err(|error| OutputError::reading(&path, error))?,
            _ => self.index.row(&row.input)?,
        };
        let row = match former {
            Some(former) => row.after(former),
            None => row,
        };
        let text = serde_json::to_string(&row).map_err(|error| OutputError::writing(&path, error.into()))?;
        let line = with_position(position, &text);
        let written = append_line(&mut partial, self.partial_end, line.as_bytes());
        self.partial = Some(partial);
        written.map_err(|error| OutputError::writing(&path, error))?;

        self.rows.insert(row.input.clone(), (position, Some((self.partial_end, line.len() - 1))));
        self.partial_end += line.len() as u64;
        Ok(row)
    }

    /// Notes that nothing was to be done for the input at `position` of this call.
    pub fn keep(&mut self, position: u64, input: &str) {
        self.rows.entry(input.to_owned()).or_insert((position, None));
    }

    /// Puts the merged manifest in place. When nothing was appended, now or by an unfinished run, the folder is left as
    /// it is.
    ///
    /// # Errors
    /// [`OutputError::NoSpace`], [`OutputError::Write`], [`OutputError::Read`]; then the former manifest and the
    /// partial one are still there, and the next run goes on from them.
    pub fn finish(mut self) -> Result<(), OutputError> {
        let folder = &self.index.folder;
        let (path, partial_path) = (folder.join(FILE_NAME), folder.join(PARTIAL_FILE_NAME));
        if self.partial.is_none() && self.index.partial.is_none() {
            return Ok(());
        }

        let mut entries: Vec<(Order, &str)> = Vec::with_capacity(self.index.places.len() + self.rows.len());
        for (input, place) in &self.index.places {
            let order = match (place.order, self.rows.get(input)) {
                (Order::Abandoned(_), Some(&(position, _))) => Order::Position(position),
                (order, _) => order,
            };
            entries.push((order, input));
        }
        let added = self
            .rows
            .iter()
            .filter(|(input, (_, line))| line.is_some() && !self.index.places.contains_key(*input));
        entries.extend(added.map(|(input, &(position, _))| (Order::Position(position), input.as_str())));
        entries.sort_unstable();

        let mut failure = None;
        let partial = &mut self.partial;
        let written = atomic::write_with(&path, Durability::Power, |file| {
            let mut file = BufWriter::with_capacity(1 << 16, file);
            for (_, input) in entries {
                let line = match (self.rows.get(input), partial.as_mut(), self.index.places.get(input)) {
                    (Some(&(_, Some((offset, length)))), Some(partial), _) => {
                        without_position(&read_line(partial, offset, length)?)
                    }
                    (_, _, Some(place)) => self.index.line(place).map_err(|error| {
                        failure = Some(error);
                        io::Error::other("a former row could not be read")
                    })?,
                    _ => continue,
                };
                file.write_all(&line)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        written?;
        atomic::remove(&partial_path)
    }

    /// Opens the partial manifest behind its last good line.
    fn start(&self, path: &Path) -> Result<File, OutputError> {
        atomic::remove(&run_record::path(&self.index.folder))?;
        let open = || {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            file.set_len(self.partial_end)?;
            // A good last line may lack its line feed; blank lines do no harm.
            if self.partial_end > 0 && read_line(&mut file, self.partial_end - 1, 1)? != b"\n" {
                file.write_all(b"\n")?;
            }
            Ok(file)
        };
        open().map_err(|error| OutputError::writing(path, error))
    }
}

/// Writes `line` at `end`, where the file ends, or leaves the file as it was.
fn append_line(file: &mut File, end: u64, line: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(end))?;
    file.write_all(line).inspect_err(|_| {
        let _ = file.set_len(end);
    })
}
