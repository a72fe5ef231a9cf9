//! What a run tells while it goes on: progress on standard error, rows and events on standard output.

use super::Options;
use super::compute::Pipeline;
use super::rows::describe;
use crate::cli::exit::{Failure, print};
use crate::cli::progress::Progress;
use crate::output::manifest::Row;
use crate::output::run_record::{PipelineRecord, RunRecord};
use crate::pipeline::Stage;
use serde_json::{Value, json};
use std::time::Duration;

/// Progress, rows and events.
pub struct Telling<'a> {
    options: &'a Options,
    pipeline: &'a Pipeline,
    progress: Progress,
    /// Images that wait for the device, and how many may.
    waiting: (usize, usize),
    errors: u64,
    /// Whether people hear of every image; millions of lines serve nobody.
    every_image: bool,
}

impl<'a> Telling<'a> {
    /// Of a run over images of a number that may be known.
    pub fn new(
        options: &'a Options,
        pipeline: &'a Pipeline,
        images: Option<usize>,
        every_image: bool,
    ) -> Self {
        let progress = Progress::new(images, options.quiet);
        Self { options, pipeline, progress, waiting: (0, 0), errors: 0, every_image }
    }

    /// How many images wait for the device, and how many may.
    pub fn waiting(&mut self, waiting: (usize, usize)) {
        self.waiting = waiting;
    }

    /// How many images there are in all and how much time is left, where that is known.
    pub fn expect(&mut self, images: Option<u64>, left: Option<Duration>) {
        self.progress.expect(images.and_then(|images| usize::try_from(images).ok()), left);
    }

    /// Tells something about the run that is no error.
    pub fn notice(&self, text: &str) {
        self.progress.notice(text);
    }

    /// Images that an earlier run has done.
    pub fn pass(&mut self, images: u64) {
        self.progress.pass(usize::try_from(images).unwrap_or(usize::MAX));
    }

    /// Tells of an image that was explained.
    pub fn explained(&mut self, row: &Row) -> Result<(), Failure> {
        if self.options.json {
            self.json(row)?;
        } else if self.every_image {
            self.line(&describe(row))?;
        }
        self.advance(1)
    }

    /// Tells of an image that could not be explained.
    pub fn failed(&mut self, row: &Row) -> Result<(), Failure> {
        self.error(&format!("{}: {}", row.input, row.error.as_deref().unwrap_or_default()));
        if self.options.json {
            self.json(row)?;
        }
        self.advance(1)
    }

    /// Tells what went wrong with an input.
    pub fn error(&mut self, text: &str) {
        self.errors += 1;
        self.progress.line(&format!("error: {text}"));
    }

    /// A row or an event for scripts.
    pub fn json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string(value)?)
    }

    /// An event for scripts. Where every image is told, scripts read rows alone.
    pub fn event(&self, name: &str, mut event: Value) -> Result<(), Failure> {
        if !self.options.json || self.every_image {
            return Ok(());
        }
        if let Some(object) = event.as_object_mut() {
            object.insert("event".to_owned(), json!(name));
        }
        self.json(&event)
    }

    /// A line for people on standard output, where scripts do not read it.
    pub fn for_people(&self, line: &str) -> Result<(), Failure> {
        if self.options.json { Ok(()) } else { self.line(line) }
    }

    fn line(&self, line: &str) -> Result<(), Failure> {
        self.progress.suspend(|| print(line))
    }

    fn advance(&mut self, images: usize) -> Result<(), Failure> {
        let (waiting, room) = self.waiting;
        let (pipeline, errors) = (self.pipeline, self.errors);
        let detail = || {
            let PipelineRecord { busiest, busy_share, .. } = pipeline.record();
            let errors = if errors > 0 { format!(", {errors} errors") } else { String::new() };
            format!("; {waiting}/{room} images wait, {busiest} busy {:.0} %{errors}", 100.0 * busy_share)
        };
        let Some(snapshot) = self.progress.advance_with(images, detail) else { return Ok(()) };
        let PipelineRecord { busiest, busy_share, .. } = pipeline.record();
        let event = json!({
            "images": snapshot.done,
            "total": snapshot.total,
            "images_per_second": snapshot.rate,
            "seconds_left": snapshot.left.map(|left| left.as_secs_f64()),
            "waiting": waiting,
            "room": room,
            "busiest": busiest,
            "busy_share": busy_share,
            "errors": errors,
        });
        self.event("progress", event)
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.progress.finish();
    }

    /// What became of the run, and where its time went.
    pub fn summary(&self, record: &RunRecord, place: &str) -> Result<(), Failure> {
        let counts = record.counts;
        let mut parts = vec![format!("{} explained", counts.done)];
        if counts.kept > 0 {
            parts.push(format!("{} kept from an earlier run", counts.kept));
        }
        if counts.failed > 0 {
            parts.push(format!("{} failed", counts.failed));
        }
        let rate = counts.done as f64 / record.times.seconds.max(f64::MIN_POSITIVE);
        let rate = if counts.done > 1 { format!(", {rate:.1} images a second") } else { String::new() };
        self.notice(&format!("{}{place}, {:.1} s{rate}", parts.join(", "), record.times.seconds));
        if let (Some(pipeline), 2..) = (&record.pipeline, counts.done) {
            let of = |stage: Stage| pipeline.seconds.get(stage.name()).copied().unwrap_or(0.0);
            let seconds: Vec<String> =
                Stage::ALL.iter().map(|&stage| format!("{} {:.1} s", stage.name(), of(stage))).collect();
            self.notice(&format!(
                "time of all threads: {}; busiest: {} ({:.0} %)",
                seconds.join(", "),
                pipeline.busiest,
                100.0 * pipeline.busy_share
            ));
        }
        self.event(
            "summary",
            json!({ "counts": record.counts, "times": record.times, "pipeline": record.pipeline }),
        )
    }
}
