//! From units of work to what goes through the pipeline: the images of those that are to be done, between marks.

use super::refuse::beside_input;
use super::totals;
use crate::cli::interrupt::Interrupt;
use crate::images::samples::Samples;
use crate::images::units::Source;
use crate::images::{ArchiveError, FindError, Shard, Unit};
use crate::output::path_text;
use crate::output::shards::{Marker, ShardSet};
use crate::pipeline::Step;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What passes between images.
pub enum Mark {
    /// The images of a unit follow.
    Begin(Arc<Work>),
    /// All its images have passed; with why it could not be read to its end.
    End(Option<ArchiveError>),
    /// An earlier run has done a unit.
    Kept(totals::Work, Box<Marker>),
    /// A unit of another share was passed over.
    Elsewhere,
    /// Nothing can follow.
    Stop(String),
    /// The run was asked to stop.
    Interrupted,
}

/// A unit that is to be done.
pub struct Work {
    pub unit: Unit,
    /// As [`Unit::content`] gave it when the work began.
    pub content: String,
    /// When the first image was looked for.
    pub started: SystemTime,
    pub clock: Instant,
}

/// Which units are to be done.
pub struct Origin {
    pub shard: Shard,
    pub max_pixels: u64,
    pub set: Arc<ShardSet>,
    pub interrupt: Interrupt,
}

/// The steps of all units of a share.
pub struct Steps {
    units: Box<dyn Iterator<Item = Result<Unit, FindError>> + Send>,
    origin: Origin,
    /// Of the unit at hand.
    samples: Option<Samples>,
    ready: VecDeque<Mark>,
    /// Output names so far.
    stems: HashSet<String>,
    ended: bool,
}

impl Steps {
    pub fn new(units: Box<dyn Iterator<Item = Result<Unit, FindError>> + Send>, origin: Origin) -> Self {
        let (ready, stems) = (VecDeque::new(), HashSet::new());
        Self { units, origin, samples: None, ready, stems, ended: false }
    }

    /// Begins with a unit.
    fn begin(&mut self, unit: Unit) -> Result<(), String> {
        let set = &self.origin.set;
        if let Source::Archive(archive) = &unit.source {
            beside_input(&archive.path, set.folder()).map_err(|error| error.to_string())?;
        }
        set.refuse_reserved(&unit.stem, &unit.name()).map_err(|error| error.to_string())?;
        let stem = path_text(&unit.stem);
        if !self.stems.insert(stem.clone()) {
            return Err(format!(
                "{} and a shard before it would both be written to {stem}.*: rename one, or use two output folders",
                unit.name()
            ));
        }
        if !self.origin.shard.holds(unit.number) {
            self.ready.push_back(Mark::Elsewhere);
            return Ok(());
        }
        let content = unit.content();
        let finished = self.origin.set.finished(&unit.stem, &content).map_err(|error| error.to_string())?;
        if let Some(marker) = finished {
            self.ready.push_back(Mark::Kept(totals::Work::of(&unit), Box::new(marker)));
            return Ok(());
        }
        let (started, clock) = (SystemTime::now(), Instant::now());
        let samples = unit.samples(self.origin.max_pixels);
        self.ready.push_back(Mark::Begin(Arc::new(Work { unit, content, started, clock })));
        match samples {
            Ok(samples) => self.samples = Some(samples),
            Err(error) => self.ready.push_back(Mark::End(Some(error))),
        }
        Ok(())
    }
}

impl Iterator for Steps {
    type Item = Step<Mark>;

    fn next(&mut self) -> Option<Step<Mark>> {
        loop {
            if let Some(mark) = self.ready.pop_front() {
                return Some(Step::Mark(mark));
            }
            if !self.ended && self.origin.interrupt.requested() {
                self.ended = true;
                self.samples = None;
                return Some(Step::Mark(Mark::Interrupted));
            }
            if let Some(samples) = &mut self.samples {
                match samples.next() {
                    Some(Ok(sample)) => return Some(Step::Image(sample)),
                    Some(Err(error)) => self.ready.push_back(Mark::End(Some(error))),
                    None => self.ready.push_back(Mark::End(None)),
                }
                self.samples = None;
                continue;
            }
            if self.ended {
                return None;
            }
            let begun = match self.units.next() {
                // A list that was cut short by a signal makes no unit.
                Some(_) if self.origin.interrupt.requested() => continue,
                Some(Ok(unit)) => self.begin(unit),
                Some(Err(error)) => Err(error.to_string()),
                None => {
                    self.ended = true;
                    Ok(())
                }
            };
            if let Err(reason) = begun {
                self.ready.push_back(Mark::Stop(reason));
                self.ended = true;
            }
        }
    }
}
