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
    /// Adds the crops of a batch to the sums. The inputs are those of the whole run, with their numbers, and each has so many crops.
    pub fn add(
        &mut self,
        learner: &mut dyn Learner,
        batch: &LearningBatch,
        (inputs, crops_each): (&[(u64, InputImage)], u32),
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
            if failures.iter().any(Option::is_some) {
                let owners = self.owners(inputs, crops_each, batch);
                for (input, failure) in owners.into_iter().zip(failures) {
                    if let Some(failure) = failure
                        && self.fail_crop(input, failure.to_string())
                    {
                        progress.line(&format!("error: {}: {failure}", input_name(input)));
                    }
                }
            }
        }
        self.position = batch.end;
        Ok(())
    }

    /// The inputs that the crops of a batch which begins at this position are of, in the order of the crops.
    fn owners<'a>(
        &self,
        inputs: &'a [(u64, InputImage)],
        crops_each: u32,
        batch: &LearningBatch,
    ) -> Vec<&'a InputImage> {
        let mut failed = batch.failed.iter().map(|(input, _)| input).peekable();
        let mut owners = Vec::with_capacity(batch.crops.len());
        let mut first_crop = self.position.crop;
        for (_, input) in inputs.iter().skip(self.position.input) {
            if owners.len() >= batch.crops.len() {
                break;
            }
            if failed.next_if(|failed| *failed == input).is_none() {
                let left = (crops_each - first_crop) as usize;
                let room = batch.crops.len() - owners.len();
                owners.extend(std::iter::repeat_n(input, left.min(room)));
            }
            first_crop = 0;
        }
        owners
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
