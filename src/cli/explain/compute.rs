//! Images through the devices: loaded ahead, explained batch by batch, results in order.

use super::Options;
use super::prepare::Prepared;
use crate::backend::BackendError;
use crate::backend::cuda::device::DeviceError;
use crate::cli::exit::Failure;
use crate::explain::{ExplainError, Explained, Explainer, Input, Target};
use crate::output::run_record::PipelineRecord;
use crate::pipeline::{ImageBatch, Lanes, Loading, Stage, Stages, Step, batches, in_order};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The pipeline of a run, and where its time goes.
pub struct Pipeline {
    pub stages: Arc<Stages>,
    lanes: Lanes,
    loading: Loading,
    begun: Instant,
}

/// What came of the images of a batch that were loaded.
pub type Results = Vec<Result<Explained, ExplainError>>;

/// A batch that has passed the device.
pub struct Passed<Mark> {
    pub batch: ImageBatch<Mark>,
    pub explained: Results,
    /// What devices have to tell.
    pub notices: Vec<String>,
    /// Images that wait for the device, and how many may.
    pub waiting: (usize, usize),
}

impl Pipeline {
    /// For the devices of a call.
    pub fn new(options: &Options, prepared: &Prepared) -> Self {
        let backends = || prepared.explainers.iter().map(Explainer::backend);
        let computing: usize = backends().map(|backend| backend.concurrent_batches().max(1)).sum();
        let preferred = backends().map(|backend| backend.preferred_batch()).min().unwrap_or(1);
        let threads = options.network.device.thread_count();
        let stages = Arc::new(Stages::default());
        let loading = Loading {
            load: options.images.load(),
            threads,
            size: options.images.batch_size(options.batch, preferred),
            ahead: computing + 1,
            stages: stages.clone(),
        };
        Self { stages, lanes: Lanes { loading: threads, computing }, loading, begun: Instant::now() }
    }

    /// Explains all steps; `take` gets every batch in order.
    pub fn run<Mark: Send + 'static>(
        &self,
        steps: impl Iterator<Item = Step<Mark>> + Send + 'static,
        prepared: &Prepared,
        target: &Target,
        mut take: impl FnMut(Passed<Mark>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let batches = batches(steps, &self.loading);
        let fill = batches.fill();
        // What devices said on all threads.
        let failures = Mutex::new(Vec::new());
        let work = |worker: usize, batch: ImageBatch<Mark>| {
            let explainer = &prepared.explainers[worker % prepared.explainers.len()];
            let explained = self.stages.time(Stage::Compute, || explain(explainer, &batch, target));
            if let Err(ExplainError::Backend(BackendError::Device(error))) = &explained {
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(error.clone());
            }
            (batch, explained)
        };
        let ended = in_order(batches, self.lanes.computing, work, |(batch, explained)| {
            let notices = prepared.explainers.iter().flat_map(|explainer| explainer.backend().notices());
            let explained = explained.map_err(Stop::Batch)?;
            let (notices, waiting) = (notices.collect(), fill.now());
            take(Passed { batch, explained, notices, waiting }).map_err(Stop::Results)
        });
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.map_err(|stop| match stop {
            Stop::Results(failure) => failure,
            Stop::Batch(error) => batch_failure(&error, &failures),
        })
    }

    /// Where the time went.
    pub fn record(&self) -> PipelineRecord {
        let elapsed = self.begun.elapsed();
        let (busiest, share) = self.stages.bottleneck(&self.lanes, elapsed);
        PipelineRecord {
            elapsed: elapsed.as_secs_f64(),
            seconds: Stage::ALL
                .into_iter()
                .map(|stage| (stage.name().to_owned(), self.stages.seconds(stage)))
                .collect(),
            loading_threads: self.lanes.loading,
            batches_in_flight: self.lanes.computing,
            busiest: busiest.name().to_owned(),
            busy_share: share,
        }
    }
}

/// Why a run stops.
enum Stop {
    /// A batch could not be computed.
    Batch(ExplainError),
    /// Something could not be written or told.
    Results(Failure),
}

/// Explains the images of a batch that were loaded.
fn explain<Mark>(
    explainer: &Explainer,
    batch: &ImageBatch<Mark>,
    target: &Target,
) -> Result<Results, ExplainError> {
    let Some((_, first)) = batch.loaded().next() else { return Ok(Vec::new()) };
    let inputs: Vec<Input> = batch
        .loaded()
        .map(|(input, image)| Input { pixels: &image.pixels, key: input.target.as_deref() })
        .collect();
    explainer.explain((first.height, first.width), &inputs, target)
}

/// Why the run cannot go on, with what the device said to this batch and others.
fn batch_failure(error: &ExplainError, failures: &[DeviceError]) -> Failure {
    Failure::Run(match error {
        ExplainError::Backend(BackendError::Network(_)) => format!("{error}; see --resize and --crop"),
        ExplainError::Backend(BackendError::Device(error)) => {
            // A failed kernel ends the work of all threads, and only the one that launched it knows its name.
            let kernel = failures.iter().find(|failure| matches!(failure, DeviceError::Kernel { .. }));
            let error = kernel.unwrap_or(error);
            format!("{error}; what was done before is kept, and the same call goes on from there")
        }
        error => error.to_string(),
    })
}
