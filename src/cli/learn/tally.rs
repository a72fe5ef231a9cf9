//! How far a run has come, and what became of its inputs.

use crate::cli::images::input_name;
use crate::images::InputImage;
use crate::pipeline::{LearningBatch, Position};

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
    /// The inputs that the crops of a batch which begins at this position are of, in the order of the crops.
    pub fn owners<'a>(
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
    pub fn fail(&mut self, input: &InputImage, reason: String) {
        self.failed.push((input_name(input), reason));
    }

    /// Notes that a crop of an input could not be learnt from; false where that is known of another crop.
    pub fn fail_crop(&mut self, input: &InputImage, reason: String) -> bool {
        let name = input_name(input);
        let new = !self.failed.iter().any(|(failed, _)| *failed == name);
        if new {
            self.failed.push((name, reason));
        }
        new
    }
}
