//! Moments of several files, added.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use super::shard::{Part, expand, identity};
use super::{LayerSource, MergeError, MomentFile, MomentRecord, Notice};
use crate::backend::LayerMoments;

/// Moment files as one: their sums, added in float64 in the order given, a layer at a time. Adding n files in another
/// order moves a sum by at most n·2⁻⁵³ of the sum of magnitudes.
#[derive(Debug)]
pub struct Merged<'a> {
    files: &'a [MomentFile],
    second: bool,
    runs: Vec<Run<'a>>,
    notices: Vec<Notice>,
}

/// What the files have of one run.
#[derive(Debug)]
struct Run<'a> {
    identity: Map<String, Value>,
    /// The first file that has some of it.
    first: &'a MomentFile,
    parts: BTreeMap<Part, Source<'a>>,
}

/// Where a part of a run is from.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    file: &'a MomentFile,
    /// The run as the file has it.
    run: &'a Map<String, Value>,
}

impl<'a> Merged<'a> {
    /// Checks that the files can be added.
    ///
    /// # Errors
    /// When there are none, when they are of different weights or preprocessing, or when images would count twice.
    pub fn new(files: &'a [MomentFile]) -> Result<Self, MergeError> {
        let first = files.first().ok_or(MergeError::Empty)?;
        for other in files {
            let paths = || (first.path().to_owned(), other.path().to_owned());
            if let Some(difference) = first.fingerprint().difference(other.fingerprint()) {
                let (first, other) = paths();
                return Err(MergeError::OtherWeights { first, other, difference });
            }
            if first.preprocessing() != other.preprocessing() {
                let (first, other) = paths();
                return Err(MergeError::OtherPreprocessing { first, other });
            }
        }
        let runs = runs(files)?;
        let second = files.iter().all(MomentFile::has_second_moments);
        let notices = notices(files, &runs);
        Ok(Self { files, second, runs, notices })
    }

    /// What the user should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Images of all files, and their runs: a single file's record as it is. Of several files of one run that run, with
    /// all shards in a list under `shard`; of several runs a list of them under `runs`. Lists of files that were merged
    /// before become parts of one list. `progress` is a list of that of all files that have not finished.
    pub fn record(&self) -> MomentRecord {
        if let [file] = self.files {
            return file.record().clone();
        }
        let images = self.files.iter().map(|file| file.record().images).fold(0, u64::saturating_add);
        let mut runs: Vec<Map<String, Value>> = self.runs.iter().map(Run::record).collect();
        let run = match (runs.pop(), runs.is_empty()) {
            (Some(run), true) => run,
            (last, _) => {
                runs.extend(last);
                Map::from_iter([("runs".to_owned(), json!(runs))])
            }
        };
        let unfinished = self.files.iter().filter_map(|file| file.record().progress.as_ref());
        let progress: Vec<Value> = unfinished
            .flat_map(|progress| match progress {
                Value::Array(of_merged) => of_merged.clone(),
                progress => vec![progress.clone()],
            })
            .collect();
        let finished = self.files.iter().all(|file| file.record().progress.is_none());
        MomentRecord { images, run, progress: (!finished).then(|| json!(progress)) }
    }
}

impl LayerSource for Merged<'_> {
    fn layer_count(&self) -> usize {
        self.files[0].layer_count()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        let mut sums = self.files[0].empty_layer(layer, self.second);
        for file in self.files {
            file.add_layer(layer, &mut sums);
        }
        Cow::Owned(sums)
    }

    fn positions(&self, layer: usize) -> f64 {
        self.files.iter().map(|file| file.positions(layer)).sum()
    }

    fn has_second_moments(&self) -> bool {
        self.second
    }

    /// Of all files, sorted: their order hardly matters to the sums.
    fn checksums(&self) -> Vec<u32> {
        let mut checksums: Vec<u32> = self.files.iter().map(MomentFile::checksum).collect();
        checksums.sort_unstable();
        checksums
    }
}

impl Run<'_> {
    fn record(&self) -> Map<String, Value> {
        let mut run = self.identity.clone();
        // What does not tell runs apart is recorded where all parts agree.
        let mut sources = self.parts.values();
        if let Some(first) = sources.next() {
            for (key, value) in first.run {
                if sources.clone().all(|other| other.run.get(key) == Some(value)) {
                    run.insert(key.clone(), value.clone());
                }
            }
        }
        let shards: Vec<String> = self.parts.keys().filter_map(Part::name).collect();
        if shards.len() > 1 {
            run.insert("shard".to_owned(), json!(shards));
        }
        run
    }
}

/// What the files have by run, in the order of the first file of each.
fn runs(files: &[MomentFile]) -> Result<Vec<Run<'_>>, MergeError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut checksums: BTreeMap<u32, &MomentFile> = BTreeMap::new();
    for file in files {
        let expanded = expand(&file.record().run);
        // Of moments that do not say what their run was, only a copy can be told.
        if let Some(first) = checksums.insert(file.checksum(), file) {
            let shard = expanded.first().and_then(|(_, parts)| parts.first()?.name());
            return Err(repeated(first, file, shard));
        }
        for (run, parts) in expanded {
            let identity = identity(run);
            let known = runs.iter_mut().find(|known| known.identity == identity && !identity.is_empty());
            match known {
                Some(known) => {
                    known.check(file, &parts)?;
                    known.add(file, run, parts);
                }
                None => {
                    let mut new = Run { identity, first: file, parts: BTreeMap::new() };
                    new.add(file, run, parts);
                    runs.push(new);
                }
            }
        }
    }
    Ok(runs)
}

impl<'a> Run<'a> {
    fn add(&mut self, file: &'a MomentFile, run: &'a Map<String, Value>, parts: Vec<Part>) {
        self.parts.extend(parts.into_iter().map(|part| (part, Source { file, run })));
    }

    /// Refuses parts that have images in common with those of other files.
    fn check(&self, file: &MomentFile, parts: &[Part]) -> Result<(), MergeError> {
        let is_other = |source: &Source| !std::ptr::eq(source.file, file);
        let held =
            parts.iter().find_map(|part| Some((part, self.parts.get(part).filter(|held| is_other(held))?)));
        if let Some((part, held)) = held {
            return Err(repeated(held.file, file, part.name()));
        }
        // Parts of one file are all of one division.
        let Some((other_part, other)) = self.parts.iter().find(|(_, source)| is_other(source)) else {
            return Ok(());
        };
        match parts.iter().find(|part| !part.is_beside(other_part)) {
            None => Ok(()),
            Some(part) => Err(MergeError::OtherDivision {
                first: other.file.path().to_owned(),
                first_shard: other_part.to_string(),
                other: file.path().to_owned(),
                other_shard: part.to_string(),
            }),
        }
    }
}

fn repeated(first: &MomentFile, other: &MomentFile, shard: Option<String>) -> MergeError {
    MergeError::Repeated { first: first.path().to_owned(), other: other.path().to_owned(), shard }
}

fn notices(files: &[MomentFile], runs: &[Run]) -> Vec<Notice> {
    let path = |file: &MomentFile| file.path().to_owned();
    let mut notices = Vec::new();
    let any_second = files.iter().any(MomentFile::has_second_moments);
    for file in files {
        if file.record().progress.is_some() {
            notices.push(Notice::Unfinished { path: path(file) });
        }
        if any_second && !file.has_second_moments() {
            notices.push(Notice::SecondMomentsDropped { path: path(file) });
        }
    }
    for run in runs {
        let numbers: BTreeSet<u64> = run.parts.keys().filter_map(Part::number).collect();
        let found = numbers.len() as u64;
        let shards = run.parts.keys().find_map(Part::of_how_many);
        let Some(expected) = shards.filter(|&shards| shards > found) else { continue };
        notices.push(Notice::MissingShards {
            path: path(run.first),
            found,
            expected,
            missing: super::shard::missing(&numbers, expected),
        });
    }
    notices
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingShards { path, found, expected, missing } => {
                write!(
                    formatter,
                    "only {found} of {expected} shards of the run of {} are here",
                    path.display()
                )?;
                match missing.as_slice() {
                    [] => Ok(()),
                    missing => {
                        let shown: Vec<String> =
                            missing.iter().take(8).map(|number| format!("{number}/{expected}")).collect();
                        let more = if missing.len() > shown.len() { ", …" } else { "" };
                        write!(formatter, "; missing: {}{more}", shown.join(", "))
                    }
                }
            }
            Self::Unfinished { path } => write!(
                formatter,
                "the run of {} has not finished; only the images it has come to are counted",
                path.display()
            ),
            Self::SecondMomentsDropped { path } => write!(
                formatter,
                "{} has no second moments, so those of the other files are left out",
                path.display()
            ),
        }
    }
}
