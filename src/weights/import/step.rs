//! What every importer makes of its file: the operations of a sequential network.

use super::array::Array;

/// One operation of a network in the order of the forward pass.
#[derive(Debug)]
pub(crate) struct Step {
    /// What the file calls it: a layer, a node, the prefix of its tensors. For messages and provenance.
    pub(crate) name: String,
    /// What it does.
    pub(crate) operation: Operation,
}

/// An operation; what changes nothing when a network is used (dropout, identity, casts) is no operation.
///
/// Maps are thought of as channels × rows × columns, whatever layout the file computes in: importers follow transposes and
/// say at [`Operation::Flatten`] which order the elements have there.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Convolution with stride 1 and the zero padding that keeps the extent; kernels of 3×3 or 1×1.
    Convolution {
        /// Four extents, see `axes`.
        weight: Array,
        /// Order of the weight's extents.
        axes: KernelAxes,
        /// \[outputs\]; zeros where there is none.
        bias: Option<Array>,
    },
    /// Fully connected layer: over the flattened map, or over the outputs of the dense layer before it.
    Dense {
        /// Two extents, see `axes`; or \[outputs, channels, side, side\] of a convolution over the whole grid, which needs no
        /// [`Operation::Flatten`] before it.
        weight: Array,
        /// Order of the weight's extents; not looked at where there are four.
        axes: DenseAxes,
        /// \[outputs\]; zeros where there is none.
        bias: Option<Array>,
    },
    /// y = scale·x + shift: batch normalisation, or a multiplication and an addition of constants. One value in all, or one a
    /// channel; after [`Operation::Flatten`] also one an element, in the order that was said there.
    Affine {
        /// Factors.
        scale: Vec<f64>,
        /// Summands.
        shift: Vec<f64>,
    },
    /// max(x, 0).
    Relu,
    /// 2×2 maximum with stride 2, a last odd row or column dropped.
    MaxPool,
    /// torchvision's adaptive average pool to `side` × `side`; a global average is `side` 1.
    AdaptiveAveragePool {
        /// Rows and columns that are left.
        side: usize,
    },
    /// Map to vector.
    Flatten(FlattenOrder),
    /// Exchanges red and blue of the network's input, before any other layer but [`Operation::Affine`].
    ReverseChannels,
    /// Softmax or another function of the logits that keeps their order; only at the end, and dropped.
    Softmax,
}

/// Order of the extents of a convolution's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelAxes {
    /// \[outputs, inputs, rows, columns\]: PyTorch, ONNX.
    OutputsInputsRowsColumns,
    /// \[rows, columns, inputs, outputs\]: Keras.
    RowsColumnsInputsOutputs,
}

/// Order of the extents of a dense layer's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DenseAxes {
    /// \[outputs, inputs\]: PyTorch.
    OutputsInputs,
    /// \[inputs, outputs\]: Keras, Lasagne.
    InputsOutputs,
}

/// The order in which a flattened map's elements follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlattenOrder {
    /// Channel by channel (C, H, W).
    ChannelsFirst,
    /// Position by position (H, W, C).
    ChannelsLast,
}

impl Operation {
    /// Batch normalisation as it is used after training:
    /// y = γ·(x − μ)/√(σ² + ε) + β (Ioffe & Szegedy 2015, algorithm 2).
    ///
    /// `gamma` and `beta` may be left out (1 and 0); the others have one value a channel.
    pub(crate) fn batch_normalisation(
        gamma: Option<&[f64]>,
        beta: Option<&[f64]>,
        mean: &[f64],
        variance: &[f64],
        epsilon: f64,
    ) -> Self {
        let scale: Vec<f64> = variance
            .iter()
            .enumerate()
            .map(|(channel, variance)| {
                gamma.map_or(1.0, |gamma| gamma[channel]) / (variance + epsilon).sqrt()
            })
            .collect();
        let shift = mean
            .iter()
            .zip(&scale)
            .enumerate()
            .map(|(channel, (mean, scale))| beta.map_or(0.0, |beta| beta[channel]) - mean * scale)
            .collect();
        Self::Affine { scale, shift }
    }
}
