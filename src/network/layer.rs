//! The layers a VGG is made of.

/// One step of a network, in the order of the forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// 3×3 convolution, bias and ReLU.
    Convolution(Convolution),
    /// 2×2 maximum with stride 2; an odd last row or column is dropped, as in torchvision.
    MaxPool,
    /// torchvision's adaptive average pool to `side` × `side` positions.
    AdaptiveAveragePool {
        /// Rows and columns of the pooled map.
        side: usize,
    },
    /// Fully connected layer; the first one flattens its input channel by channel (C, H, W).
    Dense(Dense),
}

/// 3×3 convolution with stride 1, zero padding 1, a bias and a ReLU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// torchvision's name without the suffix: `features.0`.
    pub name: String,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
}

/// Fully connected layer with a bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dense {
    /// torchvision's name without the suffix: `classifier.0`, also for files with timm's names.
    pub name: String,
    /// Elements of the flattened input.
    pub inputs: usize,
    /// Neurons.
    pub outputs: usize,
    /// Whether a ReLU follows: true on all dense layers but the last.
    pub relu: bool,
}

/// A layer that has weights, borrowed from its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParametricLayer<'a> {
    /// A convolution.
    Convolution(&'a Convolution),
    /// A dense layer.
    Dense(&'a Dense),
}

impl<'a> ParametricLayer<'a> {
    /// torchvision's name without the suffix, such as `features.0` or `classifier.3`.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Convolution(layer) => &layer.name,
            Self::Dense(layer) => &layer.name,
        }
    }

    /// Input channels of a convolution, input elements of a dense layer.
    pub fn inputs(&self) -> usize {
        match self {
            Self::Convolution(layer) => layer.inputs,
            Self::Dense(layer) => layer.inputs,
        }
    }

    /// Neurons: output channels of a convolution, outputs of a dense layer.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Convolution(layer) => layer.outputs,
            Self::Dense(layer) => layer.outputs,
        }
    }

    /// Weights of one neuron: K = 9·inputs for a convolution, `inputs` for a dense layer.
    pub fn fan_in(&self) -> usize {
        match self {
            Self::Convolution(layer) => 9 * layer.inputs,
            Self::Dense(layer) => layer.inputs,
        }
    }

    /// `[outputs, inputs, 3, 3]` for a convolution, `[outputs, inputs]` for a dense layer.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self {
            Self::Convolution(layer) => vec![layer.outputs, layer.inputs, 3, 3],
            Self::Dense(layer) => vec![layer.outputs, layer.inputs],
        }
    }
}
