//! What comes of the inputs: written into the output folder, noted in the manifest, told.

use super::Options;
use crate::cli::exit::{Failure, print};
use crate::cli::images::input_name;
use crate::cli::progress::Progress;
use crate::explain::{ExplainError, Explained, Kind, Target};
use crate::images::{InputImage, Rgb8};
use crate::output::manifest::{ManifestWriter, Row};
use crate::output::resume::Resume;
use crate::output::run_record::Counts;
use crate::output::{Explanation, OutputError, Rendering, Writer};
use crate::pipeline::ImageBatch;
use rayon::prelude::*;
use std::error::Error;

/// The results of a run so far.
pub struct Results<'a> {
    options: &'a Options,
    writer: Writer,
    resume: &'a Resume,
    manifest: ManifestWriter,
    progress: Progress,
    counts: Counts,
}

impl<'a> Results<'a> {
    /// Those of no image yet, of `images`.
    pub fn new(options: &'a Options, writer: Writer, resume: &'a Resume, images: usize) -> Self {
        Results {
            options,
            writer,
            resume,
            manifest: ManifestWriter::new(resume),
            progress: Progress::new(images, options.quiet),
            counts: Counts { images: images as u64, done: 0, failed: 0, kept: 0 },
        }
    }

    /// Puts the manifest in place.
    pub fn finish(self) -> Result<Counts, Failure> {
        self.progress.finish();
        self.manifest.finish()?;
        Ok(self.counts)
    }

    /// An earlier run has done all for an input.
    pub fn keep(&mut self, position: u64, name: &str) -> Result<(), Failure> {
        self.manifest.keep(position, name);
        // Whoever reads the rows wants those of all inputs, whichever run explained them.
        if self.options.json
            && let Some(row) = self.resume.row(name)?
        {
            self.print(&serde_json::to_string(&row)?)?;
        }
        self.counts.kept += 1;
        self.progress.advance(1);
        Ok(())
    }

    /// Writes a batch; `explained` has a result for each image that was loaded, `positions` gives the places of all among
    /// the inputs.
    pub fn write(
        &mut self,
        positions: impl Iterator<Item = u64>,
        batch: ImageBatch,
        explained: Vec<Result<Explained, ExplainError>>,
    ) -> Result<(), Failure> {
        // Encoding pictures takes as long as a good part of the computing: all images of the batch at once.
        let loaded: Vec<(&InputImage, &Rgb8)> = batch.loaded().collect();
        let written: Vec<Result<Result<Row, OutputError>, ExplainError>> = loaded
            .into_par_iter()
            .zip(explained)
            .map(|((input, image), explained)| Ok(self.write_image(input, image, explained?)))
            .collect();
        let mut written = written.into_iter();
        // The entries first: the positions that are left are those of the batches to come.
        for ((input, image), position) in batch.entries.iter().zip(positions) {
            match image {
                Err(error) => self.refuse(position, input, &error.problem)?,
                // One for each image that was loaded, in the same order.
                Ok(_) => match written.next() {
                    Some(Ok(row)) => self.note(position, row?)?,
                    Some(Err(error)) => self.refuse(position, input, &error)?,
                    None => break,
                },
            }
        }
        Ok(())
    }

    /// Writes one image's explanations and gives its row.
    fn write_image(
        &self,
        input: &InputImage,
        image: &Rgb8,
        explained: Explained,
    ) -> Result<Row, OutputError> {
        let name = input_name(input);
        let kept = if self.options.overwrite { Vec::new() } else { self.resume.kept_methods(&name)? };
        let explanations: Vec<Explanation> = explained
            .explanations
            .into_iter()
            .map(|explanation| Explanation {
                method: explanation.method.to_string(),
                rendering: match explanation.method.kind() {
                    Kind::Signal => Rendering::Signal,
                    Kind::Attribution => Rendering::HeatMap,
                },
                height: image.height,
                width: image.width,
                values: explanation.values,
                scale_log2: explanation.scale_log2,
            })
            .collect();
        let files = self.writer.write(&input.stem(), &explanations, &kept)?;
        let mut row = Row::explained(name, files);
        row.target = Some(explained.target as u64);
        row.label = explained.label;
        if self.options.target == Target::Key {
            row.key = input.target.clone();
        }
        row.response = Some(f64::from(explained.response));
        row.probability = explained.probability;
        Ok(row)
    }

    fn note(&mut self, position: u64, row: Row) -> Result<(), Failure> {
        let row = self.manifest.append(position, row)?;
        self.counts.done += 1;
        self.print(&if self.options.json { serde_json::to_string(&row)? } else { describe(&row) })?;
        self.progress.advance(1);
        Ok(())
    }

    /// Tells that an input failed and goes on. The reason does not name the input: its name comes before it, or is the
    /// row's.
    fn refuse(&mut self, position: u64, input: &InputImage, reason: &dyn Error) -> Result<(), Failure> {
        let name = input_name(input);
        self.progress.line(&format!("error: {name}: {reason}"));
        let row = self.manifest.append(position, Row::failed(name, reason.to_string()))?;
        self.counts.failed += 1;
        if self.options.json {
            self.print(&serde_json::to_string(&row)?)?;
        }
        self.progress.advance(1);
        Ok(())
    }

    /// Tells something about the run that is no error.
    pub fn tell(&self, notice: &str) {
        if !self.options.quiet {
            self.progress.line(notice);
        }
    }

    fn print(&self, line: &str) -> Result<(), Failure> {
        self.progress.suspend(|| print(line))
    }
}

/// A row for people.
fn describe(row: &Row) -> String {
    let target = row.target.map_or_else(String::new, |target| target.to_string());
    let label = row.label.as_deref().map_or_else(String::new, |label| format!(" ({label})"));
    let response = match (row.probability, row.response) {
        (Some(probability), _) => format!(", probability {probability:.4}"),
        (None, Some(response)) => format!(", response {response:.4}"),
        (None, None) => String::new(),
    };
    format!("{}: target {target}{label}{response}", row.input)
}
