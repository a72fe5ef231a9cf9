//! Whole batches: from pixels in the host's memory to results there.

use super::BenchError;
use crate::backend::profile::{largest_response, median};
use crate::backend::{Backend, BackendError, Batch, PassId};
use crate::explain::Method;
use std::thread;
use std::time::Instant;

/// Rounds should last so long that filling and draining the device does not matter, in seconds.
const ROUND: f64 = 0.25;
/// Batches a thread runs in a round at most.
const LARGEST_ROUND: usize = 64;

/// How many images a second come through.
#[derive(Clone, Debug, PartialEq)]
pub struct Throughput {
    /// `None`: the forward pass alone.
    pub method: Option<Method>,
    /// Images a second, forward and backward where there is a method; the median over rounds.
    pub images_per_second: f64,
    /// Milliseconds of one batch alone, median.
    pub batch_milliseconds: f64,
    /// Batches that were under way at a time.
    pub concurrent: usize,
    /// Operations of one image.
    pub flops: f64,
}

impl Throughput {
    /// TFLOP/s.
    pub fn tflops(&self) -> f64 {
        self.images_per_second * self.flops / 1e12
    }
}

/// Measures the forward pass, or explanations by a method. `flops` are those of one batch.
pub fn measure(
    backend: &dyn Backend,
    batch: &Batch,
    method: Option<(Method, PassId)>,
    repeats: usize,
    flops: f64,
) -> Result<Throughput, BenchError> {
    let pass = method.map(|(_, pass)| pass);
    // Warms up: memory, graphs, clocks.
    run(backend, batch, pass)?;
    let alone = timed(repeats, || run(backend, batch, pass))?;
    let concurrent = backend.concurrent_batches().max(1);
    // As many batches a thread as make a round long enough; one suffices where nothing overlaps.
    let batches = match concurrent {
        1 => 1,
        _ => ((ROUND / (alone * concurrent as f64)).ceil() as usize).clamp(1, LARGEST_ROUND),
    };
    let round = || {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..concurrent)
                .map(|_| scope.spawn(|| (0..batches).try_for_each(|_| run(backend, batch, pass))))
                .collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    };
    let seconds = match concurrent {
        1 => alone,
        _ => {
            round()?;
            timed(repeats, round)? / (concurrent * batches) as f64
        }
    };
    Ok(Throughput {
        method: method.map(|(method, _)| method),
        images_per_second: batch.images as f64 / seconds,
        batch_milliseconds: 1e3 * alone,
        concurrent,
        flops: flops / batch.images as f64,
    })
}

/// The median time of some work.
fn timed(repeats: usize, mut work: impl FnMut() -> Result<(), BackendError>) -> Result<f64, BackendError> {
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let began = Instant::now();
        work()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    Ok(median(seconds))
}

/// One batch, explained for the outputs that responded most.
fn run(backend: &dyn Backend, batch: &Batch, pass: Option<PassId>) -> Result<(), BackendError> {
    let trace = backend.forward(batch)?;
    let mut targets = Vec::with_capacity(batch.images);
    for image in 0..batch.images {
        if let Some(failure) = trace.failure(image) {
            return Err(failure);
        }
        targets.push(largest_response(trace.responses(image)));
    }
    if let Some(pass) = pass {
        for relevance in trace.backward(pass, &targets) {
            relevance?;
        }
    }
    Ok(())
}
