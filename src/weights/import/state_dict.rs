//! Tensors by name, without a word on how they are connected: safetensors files and PyTorch's `state_dict`.

use std::collections::BTreeMap;

use super::array::Array;

/// What such a file holds.
#[derive(Debug, Default)]
pub(crate) struct StateDict {
    /// Tensors by name. Those that no network is computed from (`num_batches_tracked`) may be left out.
    pub(crate) tensors: BTreeMap<String, Array>,
    /// The texts beside them.
    pub(crate) metadata: BTreeMap<String, String>,
    /// What a user should be told.
    pub(crate) notes: Vec<String>,
}
