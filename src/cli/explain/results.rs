//! What comes of the inputs: written into the output folder, noted in the manifest, told.

use super::Options;
use super::compute::Passed;
use super::rows::{explanations, row};
use super::telling::Telling;
use crate::cli::exit::Failure;
use crate::cli::images::input_name;
use crate::explain::{ExplainError, Explained};
use crate::images::{InputImage, Rgb8};
use crate::output::manifest::{ManifestWriter, Row};
use crate::output::resume::Resume;
use crate::output::run_record::Counts;
use crate::output::{OutputError, Writer};
use crate::parallel;
use crate::pipeline::{Entry, Stage, Stages};
use std::error::Error;

/// The results of a run so far.
pub struct Results<'a> {
    options: &'a Options,
    writer: Writer,
    resume: &'a Resume,
    manifest: ManifestWriter,
    telling: Telling<'a>,
    counts: Counts,
}

impl<'a> Results<'a> {
    /// Those of no image yet, of `images`.
    pub fn new(
        options: &'a Options,
        writer: Writer,
        resume: &'a Resume,
        telling: Telling<'a>,
        images: usize,
    ) -> Self {
        Results {
            options,
            writer,
            resume,
            manifest: ManifestWriter::new(resume),
            telling,
            counts: Counts { images: images as u64, done: 0, failed: 0, kept: 0 },
        }
    }

    /// Puts the manifest in place.
    pub fn finish(self) -> Result<(Counts, Telling<'a>), Failure> {
        self.telling.finish();
        self.manifest.finish()?;
        Ok((self.counts, self.telling))
    }

    /// An earlier run has done all for an input.
    pub fn keep(&mut self, position: u64, name: &str) -> Result<(), Failure> {
        self.manifest.keep(position, name);
        // Whoever reads the rows wants those of all inputs, whichever run explained them.
        if self.options.json
            && let Some(row) = self.resume.row(name)?
        {
            self.telling.json(&row)?;
        }
        self.counts.kept += 1;
        self.telling.pass(1);
        Ok(())
    }

    /// Writes a batch; `positions` gives the places of all images among the inputs.
    pub fn write(
        &mut self,
        positions: impl Iterator<Item = u64>,
        stages: &Stages,
        passed: Passed<()>,
    ) -> Result<(), Failure> {
        let Passed { batch, explained, notices, waiting } = passed;
        notices.iter().for_each(|notice| self.telling.notice(notice));
        self.telling.waiting(waiting);
        // Encoding pictures takes as long as a good part of the computing: all images of the batch at once, each written
        // where it is made.
        let loaded: Vec<(&InputImage, &Rgb8)> = batch.loaded().collect();
        let write = |((input, image), explained): ((&InputImage, &Rgb8), Result<_, ExplainError>)| {
            Ok(self.write_image(input, image, explained?))
        };
        let written: Vec<Result<Result<Row, OutputError>, ExplainError>> =
            stages.time(Stage::Encode, || parallel::map(loaded.into_iter().zip(explained), write));
        let mut written = written.into_iter();
        // The entries first: the positions that are left are those of the batches to come.
        for (entry, position) in batch.entries.iter().zip(positions) {
            match entry {
                Entry::Mark(()) => {}
                Entry::Image(input, Err(error)) => self.refuse(position, input, &error.problem)?,
                // One for each image that was loaded, in the same order.
                Entry::Image(input, Ok(_)) => match written.next() {
                    Some(Ok(row)) => stages.time(Stage::Write, || self.note(position, row?))?,
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
        mut explained: Explained,
    ) -> Result<Row, OutputError> {
        let name = input_name(input);
        let kept = if self.options.overwrite { Vec::new() } else { self.resume.kept_methods(&name)? };
        let explanations = explanations(image, &mut explained);
        let files = self.writer.write(&input.stem(), &explanations, &kept)?;
        Ok(row(self.options, input, explained, files))
    }

    fn note(&mut self, position: u64, row: Row) -> Result<(), Failure> {
        let row = self.manifest.append(position, row)?;
        self.counts.done += 1;
        self.telling.explained(&row)
    }

    /// Tells that an input failed and goes on. The reason does not name the input: its name comes before it, or is the
    /// row's.
    fn refuse(&mut self, position: u64, input: &InputImage, reason: &dyn Error) -> Result<(), Failure> {
        let failed = Row::failed(input_name(input), reason.to_string());
        let row = self.manifest.append(position, failed)?;
        self.counts.failed += 1;
        self.telling.failed(&row)
    }
}
