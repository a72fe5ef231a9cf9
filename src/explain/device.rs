//! Weights on a device.

use super::operators::Operators;
use crate::backend::BackendError;
use crate::backend::cpu::Cpu;
use crate::weights::Weights;
use std::sync::Arc;

/// Prepares the forward pass of `weights` on the CPU, on `threads` threads (0: all cores). The weights are finite
/// ([`Weights::check_finite`] was called).
///
/// # Errors
/// When the network is not one that the CPU backend runs, or threads cannot be started.
pub fn on_cpu(weights: &Arc<Weights>, threads: usize) -> Result<Cpu, BackendError> {
    let network = weights.network().clone();
    let biases = (0..network.parametric().count()).map(|layer| weights.bias(layer).to_vec()).collect();
    Cpu::new(network, Arc::new(Operators::forward(weights.clone())), biases, threads)
}
