//! What comes of the units: written into shards, noted in their rows, told.

use super::super::Options;
use super::super::compute::Passed;
use super::super::rows::{explanations, row};
use super::super::telling::Telling;
use super::losses::Losses;
use super::steps::{Mark, Work};
use super::totals::{self, Totals};
use crate::cli::exit::Failure;
use crate::cli::images::input_name;
use crate::explain::{ExplainError, Explained};
use crate::images::units::Source;
use crate::images::{InputImage, Rgb8};
use crate::output::manifest::Row;
use crate::output::run_record::{Counts, Times};
use crate::output::shards::{Encoded, Made, Marker, ShardCounts, ShardSet, ShardWriter};
use crate::output::{OutputError, path_text};
use crate::parallel;
use crate::pipeline::{Entry, ImageBatch, Stage, Stages};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Units so far.
#[derive(Clone, Copy, Default)]
pub struct UnitCounts {
    pub all: u64,
    pub of_share: u64,
}

/// The results of a run so far.
pub struct Results<'a> {
    options: &'a Options,
    set: &'a ShardSet,
    /// In words.
    device: String,
    telling: Telling<'a>,
    counts: Counts,
    units: UnitCounts,
    open: Option<Open>,
    totals: Totals,
    /// Of shards that this run has finished.
    finished: totals::Work,
    /// Of shards that were there.
    kept: totals::Work,
    begun: Instant,
}

/// The shard that is being written.
struct Open {
    work: Arc<Work>,
    writer: ShardWriter,
    losses: Losses,
}

/// What was made of an image: its row, and its pictures and arrays.
type Output = Result<Result<(Row, Encoded), OutputError>, ExplainError>;

impl<'a> Results<'a> {
    /// Those of no image yet.
    pub fn new(
        options: &'a Options,
        set: &'a ShardSet,
        device: String,
        telling: Telling<'a>,
        totals: Totals,
    ) -> Self {
        Results {
            options,
            set,
            device,
            telling,
            counts: Counts::default(),
            units: UnitCounts::default(),
            open: None,
            totals,
            finished: totals::Work::default(),
            kept: totals::Work::default(),
            begun: Instant::now(),
        }
    }

    /// What came of all.
    pub fn finish(self) -> (Counts, UnitCounts, Telling<'a>) {
        self.telling.finish();
        (self.counts, self.units, self.telling)
    }

    /// The end of a run that was asked to stop. The shard at hand leaves nothing.
    pub fn interrupted(&mut self) -> Failure {
        self.telling.finish();
        let dropped = match self.open.take() {
            Some(open) => format!(", {} is left to be done again", path_text(&open.work.unit.stem)),
            None => String::new(),
        };
        let rest = match self.options.overwrite {
            false => "the same call goes on with the shards that are not finished",
            true => {
                "the same call begins anew; shards of earlier runs that it has not come to are still there"
            }
        };
        let images = self.counts.done + self.counts.failed;
        Failure::Interrupted(format!("stopped after {images} images{dropped}; {rest}"))
    }

    /// Writes a batch.
    pub fn take(&mut self, stages: &Stages, passed: Passed<Mark>) -> Result<(), Failure> {
        let Passed { batch, explained, notices, waiting } = passed;
        notices.iter().for_each(|notice| self.telling.notice(notice));
        self.telling.waiting(waiting);
        self.telling.expect(self.totals.images(), self.left());
        let made = stages.time(Stage::Encode, || self.encode(&batch, explained));
        let mut made = made.into_iter();
        for entry in batch.entries {
            match entry {
                Entry::Mark(mark) => stages.time(Stage::Write, || self.pass(mark))?,
                Entry::Image(input, Err(error)) => {
                    if let Some(open) = &mut self.open {
                        open.losses.count(&error.problem);
                    }
                    self.refuse(&input, error.problem.to_string())?;
                }
                // One for each image that was loaded, in the same order.
                Entry::Image(input, Ok(_)) => match made.next() {
                    Some(Ok(encoded)) => {
                        let (row, encoded) = encoded?;
                        stages.time(Stage::Write, || self.append(&row, Some(&encoded)))?;
                        self.counts.done += 1;
                        self.telling.explained(&row)?;
                    }
                    Some(Err(error)) => self.refuse(&input, error.to_string())?,
                    None => break,
                },
            }
        }
        Ok(())
    }

    /// The time that is left, where it can be known.
    fn left(&self) -> Option<Duration> {
        let mut done = self.finished;
        if self.totals.images().is_some() {
            // Those of the shard at hand, too.
            done.images = self.counts.images.saturating_sub(self.kept.images);
        }
        self.totals.left(done, self.kept, self.begun.elapsed())
    }

    /// Makes rows, pictures and arrays of all images of a batch at once.
    fn encode(
        &self,
        batch: &ImageBatch<Mark>,
        explained: Vec<Result<Explained, ExplainError>>,
    ) -> Vec<Output> {
        let mut work = self.open.as_ref().map(|open| &open.work);
        let mut images: Vec<(&Arc<Work>, &InputImage, &Rgb8)> = Vec::new();
        for entry in &batch.entries {
            match entry {
                Entry::Mark(Mark::Begin(begun)) => work = Some(begun),
                Entry::Image(input, Ok(image)) => images.extend(work.map(|work| (work, input, image))),
                _ => {}
            }
        }
        let encode =
            |((work, input, image), explained): ((&Arc<Work>, &InputImage, &Rgb8), Result<Explained, _>)| {
                let mut explained = explained?;
                let explanations = explanations(image, &mut explained);
                let encoded = self.set.encode(&work.unit.stem, &input.stem(), &explanations);
                Ok(encoded.map(|mut encoded| {
                    let files = std::mem::take(&mut encoded.files);
                    (row(self.options, input, explained, files), encoded)
                }))
            };
        parallel::map(images.into_iter().zip(explained), encode)
    }

    fn append(&mut self, row: &Row, encoded: Option<&Encoded>) -> Result<(), Failure> {
        // Images come between the marks of their unit.
        if let Some(open) = &mut self.open {
            open.writer.append(row, encoded)?;
        }
        self.counts.images += 1;
        Ok(())
    }

    /// Notes that an image failed and goes on.
    fn refuse(&mut self, input: &InputImage, reason: String) -> Result<(), Failure> {
        let row = Row::failed(input_name(input), reason);
        self.append(&row, None)?;
        self.counts.failed += 1;
        self.telling.failed(&row)
    }

    /// Does what a mark says.
    fn pass(&mut self, mark: Mark) -> Result<(), Failure> {
        match mark {
            Mark::Begin(work) => {
                let writer = ShardWriter::begin(self.set, &work.unit.stem)?;
                self.open = Some(Open { work, writer, losses: Losses::default() });
            }
            Mark::End(error) => {
                let Some(open) = self.open.take() else { return Ok(()) };
                self.end(open, error.map(|error| error.to_string()))?;
            }
            Mark::Kept(work, marker) => {
                self.kept.add(work);
                let ShardCounts { images, done, failed } = marker.counts;
                self.counts.images += images;
                self.counts.kept += done;
                self.counts.failed += failed;
                self.telling.pass(images);
                self.count_unit();
                self.telling.event("shard", shard_event(&marker, true))?;
            }
            Mark::Elsewhere => self.units.all += 1,
            Mark::Stop(reason) => return Err(Failure::Run(reason)),
            Mark::Interrupted => return Err(self.interrupted()),
        }
        Ok(())
    }

    fn count_unit(&mut self) {
        self.units.all += 1;
        self.units.of_share += 1;
    }

    /// Puts a shard in place.
    fn end(&mut self, open: Open, error: Option<String>) -> Result<(), Failure> {
        let Open { work, writer, losses } = open;
        let name = work.unit.name();
        let lost = losses.text(writer.images());
        if let Some(error) = &error {
            self.telling.error(&format!("{name}: {error}"));
            // The shard itself is an input that failed.
            self.counts.images += 1;
            self.counts.failed += 1;
        }
        let input = match &work.unit.source {
            Source::Archive(_) => name.clone(),
            Source::Images(images) => {
                let path = |image: Option<&InputImage>| image.map_or_else(String::new, input_name);
                format!("{} to {}", path(images.first()), path(images.last()))
            }
            Source::Noise { .. } => "noise".to_owned(),
        };
        let made = Made {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.device.clone(),
            times: Times::new(work.started, work.clock.elapsed()),
        };
        let marker = writer.finish(self.set, (input, work.content.clone()), error.or(lost), made)?;
        self.finished.add(totals::Work::of(&work.unit));
        self.count_unit();
        self.tell_shard(&marker)
    }

    fn tell_shard(&self, marker: &Marker) -> Result<(), Failure> {
        let ShardCounts { images, failed, .. } = marker.counts;
        let mut line = format!("{}: {images} images", marker.shard);
        if failed > 0 {
            line.push_str(&format!(", {failed} failed"));
        }
        if marker.error.is_some() {
            line.push_str(", not read whole");
        }
        self.telling.for_people(&format!("{line}, {:.1} s", marker.made.times.seconds))?;
        self.telling.event("shard", shard_event(marker, false))
    }
}

/// A shard for scripts.
fn shard_event(marker: &Marker, kept: bool) -> Value {
    json!({
        "shard": marker.shard,
        "input": marker.input,
        "error": marker.error,
        "counts": marker.counts,
        "files": marker.files,
        "times": marker.made.times,
        "kept": kept,
    })
}
