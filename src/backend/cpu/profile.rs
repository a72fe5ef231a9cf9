//! Times the parts of passes on the CPU, within passes that run as always.

use super::Cpu;
use super::convolution::ConvolutionOperator;
use super::gemm::{self, Accumulate, Matrix};
use super::laps::Laps;
use crate::backend::profile::{
    Hardware, KernelTime, Part, PartTime, PartsRequest, Profiler, Way, largest_response, median,
};
use crate::backend::{BackendError, PassId, Trace};
use crate::parallel;
use std::time::Instant;

/// Rows of a product that a task computes.
const PRODUCT_ROWS: usize = 128;

impl Profiler for Cpu {
    fn hardware(&self) -> Hardware {
        Hardware {
            name: format!("CPU, {} threads, {}", self.threads.current_num_threads(), gemm::description()),
            element: "f32",
            element_bytes: size_of::<f32>(),
            repeats: 5,
            product_side: 2048,
            copy_bytes: 256 << 20,
        }
    }

    fn time_parts(&self, request: &PartsRequest) -> Result<Vec<PartTime>, BackendError> {
        let mut samples: Vec<(Part, Way, Vec<f64>)> = Vec::new();
        // The first round fills the workspace and does not count.
        for round in 0..=request.repeats.max(1) {
            let parts = self.threads.install(|| self.time_round(request))?;
            if round == 1 {
                samples = parts.iter().map(|&(part, way, _)| (part, way, Vec::new())).collect();
            }
            for ((_, _, seconds), (_, _, lap)) in samples.iter_mut().zip(parts) {
                seconds.push(lap);
            }
        }
        let time = |(part, way, seconds): (Part, Way, Vec<f64>)| PartTime {
            part,
            way,
            kernel: match part {
                Part::Layer(layer) => self.kernel_of(layer, request.pass, way).to_owned(),
                Part::Step { .. } => String::new(),
            },
            seconds: median(seconds),
            tried: Vec::new(),
        };
        Ok(samples.into_iter().map(time).collect())
    }

    fn time_product(&self, side: usize, repeats: usize) -> Result<Vec<KernelTime>, BackendError> {
        // Random in [-1, 1): a linear congruential generator is as good as any here.
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let a: Vec<f32> = (0..side * side).map(|_| random()).collect();
        let b: Vec<f32> = (0..side * side).map(|_| random()).collect();
        let mut c = vec![0.0; side * side];
        let mut seconds = Vec::new();
        for round in 0..=repeats.max(1) {
            let began = Instant::now();
            self.threads.install(|| {
                let rows = c.chunks_mut(PRODUCT_ROWS * side).zip(a.chunks(PRODUCT_ROWS * side));
                parallel::each(rows, |(c, a)| {
                    let shape = (a.len() / side, side, side);
                    let (a, b) = (Matrix { values: a, stride: side }, Matrix { values: &b, stride: side });
                    gemm::multiply(shape, a, b, c, side, Accumulate::Replace);
                });
            });
            if round > 0 {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
        Ok(vec![KernelTime { kernel: gemm::description().to_owned(), seconds: median(seconds) }])
    }

    fn time_copy(&self, bytes: usize, repeats: usize) -> Result<f64, BackendError> {
        let from = vec![1u8; bytes];
        let mut to = vec![0u8; bytes];
        let piece = bytes.div_ceil(self.threads.current_num_threads()).max(1);
        let mut seconds = Vec::new();
        for round in 0..=repeats.max(1) {
            let began = Instant::now();
            self.threads.install(|| {
                let pieces = to.chunks_mut(piece).zip(from.chunks(piece));
                parallel::each(pieces, |(to, from)| to.copy_from_slice(from));
            });
            if round > 0 {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
        Ok(median(seconds))
    }
}

impl Cpu {
    /// One forward and one backward pass with the time of each part.
    fn time_round(&self, request: &PartsRequest) -> Result<Vec<(Part, Way, f64)>, BackendError> {
        let mut laps = Laps::begin();
        let trace = self.run_forward(&request.batch, &mut laps)?;
        let forward = laps.into_parts().into_iter().map(|(part, seconds)| (part, Way::Forward, seconds));
        let mut laps = Laps::begin();
        let targets: Vec<usize> =
            (0..request.batch.images).map(|image| largest_response(trace.responses(image))).collect();
        trace
            .run_backward(&self.passes.get(request.pass), &targets, &mut laps)
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let backward = laps.into_parts().into_iter().map(|(part, seconds)| (part, Way::Backward, seconds));
        Ok(forward.chain(backward).collect())
    }

    fn kernel_of(&self, layer: usize, pass: PassId, way: Way) -> &'static str {
        let forward = || self.stages.get(layer).map(|stage| stage.operator.algorithm());
        let backward = || self.passes.get(pass).operators.get(layer).map(ConvolutionOperator::algorithm);
        let algorithm = match way {
            Way::Forward => forward(),
            Way::Backward => backward(),
        };
        algorithm.unwrap_or("rows")
    }
}
