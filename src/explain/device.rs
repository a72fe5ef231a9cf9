//! Weights on a device.

use super::operators::Operators;
use crate::backend::BackendError;
use crate::backend::cpu::Cpu;
use crate::backend::cuda::{Cuda, CudaOptions};
use crate::threads::Threads;
use crate::weights::Weights;
use std::sync::Arc;

/// Prepares the forward pass of `weights` on the CPU, on `threads` threads (0: all cores). The weights are finite
/// ([`Weights::check_finite`] was called).
///
/// # Errors
/// When the network is not one that the CPU backend runs, or threads cannot be started.
pub fn on_cpu(weights: &Arc<Weights>, threads: usize) -> Result<Cpu, BackendError> {
    Cpu::new(
        weights.network().clone(),
        Arc::new(Operators::forward(weights.clone())),
        biases(weights),
        threads,
    )
}

/// As [`on_cpu`], on threads that are there.
pub(crate) fn on_cpu_threads(weights: &Arc<Weights>, threads: Arc<Threads>) -> Result<Cpu, BackendError> {
    Cpu::on_threads(
        weights.network().clone(),
        Arc::new(Operators::forward(weights.clone())),
        biases(weights),
        threads,
    )
}

/// Prepares the forward pass of `weights` on a CUDA device. The weights are finite ([`Weights::check_finite`] was
/// called).
///
/// # Errors
/// When this build, the driver or the device cannot run it, or the device has too little memory.
pub fn on_cuda(weights: &Arc<Weights>, options: &CudaOptions) -> Result<Cuda, BackendError> {
    Cuda::new(
        weights.network().clone(),
        Arc::new(Operators::forward(weights.clone())),
        biases(weights),
        options,
    )
}

/// As [`on_cuda`], with threads that are there for what the host does.
pub(crate) fn on_cuda_threads(
    weights: &Arc<Weights>,
    options: &CudaOptions,
    threads: Arc<Threads>,
) -> Result<Cuda, BackendError> {
    Cuda::on_threads(
        weights.network().clone(),
        Arc::new(Operators::forward(weights.clone())),
        biases(weights),
        options,
        threads,
    )
}

/// One vector a parametric layer.
fn biases(weights: &Weights) -> Vec<Vec<f32>> {
    (0..weights.network().parametric().count()).map(|layer| weights.bias(layer).to_vec()).collect()
}
