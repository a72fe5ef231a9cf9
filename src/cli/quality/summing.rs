//! Sums over images, made in memory.

use super::Options;
use super::source::Sums;
use crate::backend::Moments;
use crate::cli::exit::Failure;
use crate::cli::identity::{FAILED, Sampling, run};
use crate::cli::images::{ImageOptions, leave_repeated_out};
use crate::cli::progress::Progress;
use crate::cli::tally::{AHEAD, Tally};
use crate::images::{InputImage, Shard, Survey};
use crate::patterns::MomentRecord;
use crate::pipeline::{Crops, learning_batches};
use crate::setup::OpenedDevice;
use crate::weights::Weights;
use serde_json::json;
use std::ffi::OsString;
use std::sync::Arc;

/// Sums over images: opens the device when the first are made.
pub struct Summing<'a> {
    pub options: &'a Options,
    pub weights: &'a Arc<Weights>,
    opened: Option<OpenedDevice>,
    /// Inputs that failed so far.
    pub failed: usize,
}

impl<'a> Summing<'a> {
    pub fn new(options: &'a Options, weights: &'a Arc<Weights>) -> Self {
        Summing { options, weights, opened: None, failed: 0 }
    }

    /// Images that inputs name.
    pub fn find(given: &[OsString]) -> Result<Vec<InputImage>, Failure> {
        ImageOptions::find(given, leave_repeated_out)
    }

    /// Sums over a share of images; `what` says what for. Refused when memory is short before any image is read.
    pub fn sum(
        &mut self,
        what: &str,
        images: &[InputImage],
        shard: Shard,
        second_moments: bool,
    ) -> Result<Sums, Failure> {
        let options = self.options;
        let asked = options.batch.map(usize::from);
        let first = self.opened.is_none();
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => options.device.open(self.weights, asked)?,
        };
        let opened = self.opened.insert(opened);
        let OpenedDevice { backend, device, precision, notice } = &*opened;
        let inputs: Vec<(u64, InputImage)> =
            (0..).zip(images.iter().cloned()).filter(|&(number, _)| shard.holds(number)).collect();
        if inputs.is_empty() {
            return Err(Failure::Run(format!(
                "there are no images {what}: {} are too few; name more",
                images.len()
            )));
        }
        let mut progress = Progress::new(Some(inputs.len()), options.quiet);
        if first {
            notice.iter().for_each(|notice| progress.notice(notice));
        }
        progress.notice(&format!("{} images {what}", inputs.len()));
        let moments = Moments::allocate(self.weights.network(), second_moments)?;
        let mut learner = backend.learn(moments)?;
        let crops = options.crops.map(|count| Crops { count, seed: options.seed });
        let size = options.images.batch_size(options.batch, backend.preferred_learning_batch());
        let mut tally = Tally::default();
        let batches = learning_batches(
            inputs,
            options.images.load(),
            crops,
            options.device.thread_count(),
            size,
            AHEAD,
            tally.position,
        );
        for batch in batches {
            tally.add(&mut *learner, &batch, &progress)?;
            backend.notices().iter().for_each(|notice| progress.notice(notice));
            progress.advance(batch.finished + batch.failed.len());
        }
        progress.finish();
        if tally.images == 0 {
            return Err(Failure::Run(format!("every input {what} failed, each for the reason given above")));
        }
        self.failed += tally.failed.len();
        let sampling = Sampling { images: &options.images, crops: options.crops, seed: options.seed, shard };
        let mut run = run(&sampling, &Survey::of(images), self.weights, (device, precision));
        if !tally.failed.is_empty() {
            run.insert(FAILED.to_owned(), json!(tally.failed.len()));
        }
        Ok(Sums::Made(learner.into_moments()?, MomentRecord { images: tally.images, run, progress: None }))
    }
}
