//! Moments of several files, added.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::shard::{Part, identity};
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

/// The files of one run.
#[derive(Debug)]
struct Run<'a> {
    identity: Map<String, Value>,
    parts: Vec<(Part, &'a MomentFile)>,
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

    /// Images of all files, and their runs: a single file's run as it is. Of several files of one run that run, with all
    /// shards in a list under `shard`; of several runs a list of them under `runs`.
    pub fn record(&self) -> MomentRecord {
        let images = self.files.iter().map(|file| file.record().images).sum();
        if let [file] = self.files {
            return file.record().clone();
        }
        let mut runs: Vec<Map<String, Value>> = self.runs.iter().map(Run::record).collect();
        let run = match (runs.pop(), runs.is_empty()) {
            (Some(run), true) => run,
            (last, _) => {
                runs.extend(last);
                Map::from_iter([("runs".to_owned(), json!(runs))])
            }
        };
        MomentRecord { images, run, progress: None }
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

    fn has_second_moments(&self) -> bool {
        self.second
    }
}

impl Run<'_> {
    fn record(&self) -> Map<String, Value> {
        let mut run = self.identity.clone();
        // What does not tell runs apart is recorded where all parts agree.
        if let Some((_, first)) = self.parts.first() {
            for (key, value) in &first.record().run {
                if self.parts.iter().all(|(_, file)| file.record().run.get(key) == Some(value)) {
                    run.insert(key.clone(), value.clone());
                }
            }
        }
        let shards: Vec<String> = self.parts.iter().filter_map(|(part, _)| part.name()).collect();
        if shards.len() > 1 {
            run.insert("shard".to_owned(), json!(shards));
        }
        run
    }
}

/// Files by their run, in the order of the first file of each.
fn runs(files: &[MomentFile]) -> Result<Vec<Run<'_>>, MergeError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut checksums: BTreeMap<u32, &MomentFile> = BTreeMap::new();
    for file in files {
        let run = &file.record().run;
        let (identity, part) = (identity(run), Part::of(run));
        let repeated = |first: &MomentFile| MergeError::Repeated {
            first: first.path().to_owned(),
            other: file.path().to_owned(),
            shard: part.name(),
        };
        // Of moments that do not say what their run was, only a copy can be told.
        if let Some(first) = checksums.insert(file.checksum(), file) {
            return Err(repeated(first));
        }
        let known = runs.iter_mut().find(|known| known.identity == identity && !identity.is_empty());
        let Some(known) = known else {
            runs.push(Run { identity, parts: vec![(part, file)] });
            continue;
        };
        for (other_part, other) in &known.parts {
            if *other_part == part {
                return Err(repeated(other));
            }
            if other_part.of_how_many() != part.of_how_many() {
                return Err(MergeError::OtherDivision {
                    first: other.path().to_owned(),
                    first_shard: other_part.to_string(),
                    other: file.path().to_owned(),
                    other_shard: part.to_string(),
                });
            }
        }
        known.parts.push((part, file));
    }
    Ok(runs)
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
        let Some((part, file)) = run.parts.first() else { continue };
        let Some(expected) = part.of_how_many().filter(|&shards| shards > run.parts.len() as u64) else {
            continue;
        };
        let numbers: Vec<u64> = run.parts.iter().filter_map(|(part, _)| part.number()).collect();
        notices.push(Notice::MissingShards {
            path: path(file),
            found: run.parts.len() as u64,
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
