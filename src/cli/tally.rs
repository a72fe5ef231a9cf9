//! A run that adds batches of crops to sums: how far it has come, and what became of its inputs.

use super::exit::Failure;
use super::images::input_name;
use super::progress::Progress;
use crate::backend::{BackendError, Batch, Learner, Pixels};
use crate::images::InputImage;
use crate::pipeline::{LearningBatch, Position};

/// Batches that are loaded ahead of the one that is computed.
pub const AHEAD: usize = 2;

/// How far a run has come.
#[derive(Clone, Default)]
pub struct Tally {
    /// What comes next.
    pub position: Position,
    /// Crops that were summed.
    pub images: u64,
    /// Inputs that failed, with the reason.
    pub failed: Vec<(String, String)>,
}

impl Tally {
    /// Adds the crops of a batch to the sums.
    pub fn add(
        &mut self,
        learner: &mut dyn Learner,
        batch: &LearningBatch,
        progress: &Progress,
    ) -> Result<(), Failure> {
        for (input, error) in &batch.failed {
            progress.line(&format!("error: {}: {}", input_name(input), error.problem));
            self.fail(input, error.problem.to_string());
        }
        if let Some(first) = batch.crops.first() {
            let crops: Vec<&[u8]> = batch.crops.iter().map(|crop| &crop.pixels[..]).collect();
            let pixels = crops.concat();
            let images = Batch {
                images: batch.crops.len(),
                height: first.height,
                width: first.width,
                pixels: Pixels::Rgb8(&pixels),
            };
            let failures = learner.add(&images).map_err(|error| match error {
                BackendError::Network(_) => Failure::Run(format!("{error}; see --resize and --crop")),
                error => Failure::Run(error.to_string()),
            })?;
            self.images += failures.iter().filter(|failure| failure.is_none()).count() as u64;
            for (input, failure) in batch.owners.iter().zip(failures) {
                if let Some(failure) = failure
                    && self.fail_crop(input, failure.to_string())
                {
                    progress.line(&format!("error: {}: {failure}", input_name(input)));
                }
            }
        }
        self.position = batch.end;
        Ok(())
    }

    /// Notes that an input could not be read.
    fn fail(&mut self, input: &InputImage, reason: String) {
        self.failed.push((input_name(input), reason));
    }

    /// Notes that a crop of an input could not be learnt from; false where that is known of another crop.
    fn fail_crop(&mut self, input: &InputImage, reason: String) -> bool {
        let name = input_name(input);
        let new = !self.failed.iter().any(|(failed, _)| *failed == name);
        if new {
            self.failed.push((name, reason));
        }
        new
    }
}
