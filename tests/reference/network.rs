//! The network: a list of layers, each with its own parameters.

/// One layer. A convolution is always 3×3, stride 1, zero padding 1, and is followed by its ReLU.
#[derive(Clone, Debug)]
pub enum ReferenceLayer {
    /// `weight` is `[outputs, inputs, 3, 3]`, `bias` is `[outputs]`.
    Convolution { inputs: usize, outputs: usize, weight: Vec<f64>, bias: Vec<f64> },
    /// 2×2, stride 2; an odd extent loses its last row or column.
    MaxPool,
    /// torch's adaptive average pool to `side` × `side`; its windows may overlap.
    AdaptiveAveragePool { side: usize },
    /// `weight` is `[outputs, inputs]`, `bias` is `[outputs]`; `relu` says whether a ReLU follows.
    Dense { inputs: usize, outputs: usize, weight: Vec<f64>, bias: Vec<f64>, relu: bool },
}

/// A network with a classifier ends with a dense layer, a headless one with a max-pool.
#[derive(Clone, Debug)]
pub struct ReferenceNetwork {
    /// In the order of the forward pass.
    pub layers: Vec<ReferenceLayer>,
}

/// What the operator of one convolution or dense layer is made from.
#[derive(Clone, Copy, Debug)]
pub struct ParametricLayer<'network> {
    /// Its number among the convolution and dense layers, from 0.
    pub index: usize,
    /// The number of its neurons, the first axis of `weight`.
    pub outputs: usize,
    /// The weights of all neurons, one neuron after the other.
    pub weight: &'network [f64],
}

impl ReferenceNetwork {
    /// Whether the network ends with its final map instead of logits.
    pub fn is_headless(&self) -> bool {
        !matches!(self.layers.last(), Some(ReferenceLayer::Dense { .. }))
    }

    /// The convolution and dense layers in order.
    pub fn parametric_layers(&self) -> Vec<ParametricLayer<'_>> {
        self.layers
            .iter()
            .filter_map(|layer| match layer {
                ReferenceLayer::Convolution { outputs, weight, .. }
                | ReferenceLayer::Dense { outputs, weight, .. } => Some((*outputs, weight)),
                ReferenceLayer::MaxPool | ReferenceLayer::AdaptiveAveragePool { .. } => None,
            })
            .enumerate()
            .map(|(index, (outputs, weight))| ParametricLayer { index, outputs, weight })
            .collect()
    }

    /// One operator a convolution or dense layer, each shaped like the layer's weight.
    ///
    /// The operator of the gradient, deconvnet and guided backprop is `|layer| layer.weight.to_vec()`; that of
    /// PatternNet is the stored pattern, `|layer| patterns[layer.index].clone()`; `operators.rs` has the others.
    pub fn operators(&self, operator: impl FnMut(ParametricLayer<'_>) -> Vec<f64>) -> Vec<Vec<f64>> {
        self.parametric_layers().into_iter().map(operator).collect()
    }
}
