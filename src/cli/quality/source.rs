//! The sets that patterns, v and ρ are from: sums in files, or made here of images.

use crate::backend::Moments;
use crate::cli::exit::Failure;
use crate::cli::identity::difference;
use crate::cli::moments::check_preprocessing;
use crate::output::path_text;
use crate::patterns::{LayerSource, Merged, MomentFile, MomentRecord};
use crate::weights::Weights;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// Sums over a set of images.
pub enum Sums {
    /// In files.
    Files(Vec<MomentFile>),
    /// Made here.
    Made(Moments, MomentRecord),
}

/// Sums that can be read, and what they are of.
pub struct Source<'a> {
    pub layers: Box<dyn LayerSource + 'a>,
    pub description: Description,
}

/// What a set is, in the file that is written.
#[derive(Clone, Serialize)]
pub struct Description {
    /// Images or crops.
    pub images: u64,
    /// The files that the sums are in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<String>,
    /// Options and inputs.
    pub run: Map<String, Value>,
}

impl Sums {
    /// Those of files, which are checked whole; without second moments, and where they cannot be merged, they are refused.
    pub fn open<P: AsRef<Path>>(paths: &[P], weights: &Weights) -> Result<Self, Failure> {
        let files = paths
            .iter()
            .map(|path| {
                let file = MomentFile::open(path.as_ref(), weights)?;
                if !file.has_second_moments() {
                    return Err(Failure::Run(format!(
                        "{} has no second moments; make it again with `vggx learn --second-moments`",
                        path_text(path.as_ref())
                    )));
                }
                check_preprocessing(&file, weights)?;
                Ok(file)
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        Merged::new(&files)?;
        Ok(Sums::Files(files))
    }

    /// What can be read of them; `warn` hears what the user should know.
    pub fn source(&self, mut warn: impl FnMut(&str)) -> Result<Source<'_>, Failure> {
        Ok(match self {
            Sums::Files(files) => {
                let merged = Merged::new(files)?;
                merged.notices().iter().for_each(|notice| warn(&notice.to_string()));
                let MomentRecord { images, run, .. } = merged.record();
                let moments = files.iter().map(|file| path_text(file.path())).collect();
                Source { layers: Box::new(merged), description: Description { images, moments, run } }
            }
            Sums::Made(moments, MomentRecord { images, run, .. }) => Source {
                layers: Box::new(moments),
                description: Description { images: *images, moments: Vec::new(), run: run.clone() },
            },
        })
    }
}

impl Source<'_> {
    /// Whether two sets are known to have images in common.
    pub fn overlaps(&self, other: &Source) -> bool {
        let (checksums, others) = (self.layers.checksums(), other.layers.checksums());
        checksums.iter().any(|checksum| others.contains(checksum)) || self.is_of_run(&other.description.run)
    }

    /// Whether the set is what a run, as it is recorded, summed over.
    pub fn is_of_run(&self, run: &Map<String, Value>) -> bool {
        !run.is_empty() && difference(&self.description.run, run).is_none()
    }
}
