//! A network's layers as the devices run them: stages of convolution, ReLU and perhaps a pool, then dense layers.

use super::{BackendError, OperatorSource};
use crate::network::{Layer, Network};

/// A network whose layers follow each other as in a VGG.
pub(super) struct Chain {
    pub stages: Vec<ConvolutionStage>,
    pub classifier: Option<Classifier>,
}

/// A convolution with its ReLU and the max-pool that may follow.
pub(super) struct ConvolutionStage {
    /// Number among the parametric layers.
    pub layer: usize,
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    pub pool: bool,
}

/// The dense layers behind an adaptive average pool to a `side` × `side` grid; at least one.
pub(super) struct Classifier {
    pub side: usize,
    pub layers: Vec<DenseStage>,
}

/// A dense layer and whether a ReLU follows.
pub(super) struct DenseStage {
    /// Number among the parametric layers.
    pub layer: usize,
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    pub relu: bool,
}

impl Chain {
    /// Lays the network out, and checks what the passes take for granted: every layer takes what the one before it
    /// gives, biases fit, and the forward operators have no gain.
    pub fn new(
        network: &Network,
        weights: &dyn OperatorSource,
        biases: &[Vec<f32>],
        device: &'static str,
    ) -> Result<Self, BackendError> {
        let unsupported = |reason: String| BackendError::Unsupported { device, reason };
        check(network, weights, biases).map_err(unsupported)?;
        lay_out(network).map_err(|reason| unsupported(reason.to_owned()))
    }

    /// Responses of the network.
    pub fn outputs(&self) -> usize {
        match &self.classifier {
            Some(classifier) => classifier.layers[classifier.layers.len() - 1].outputs,
            None => self.stages[self.stages.len() - 1].outputs,
        }
    }
}

fn lay_out(network: &Network) -> Result<Chain, &'static str> {
    let mut stages: Vec<ConvolutionStage> = Vec::new();
    let mut classifier: Option<Classifier> = None;
    let mut layer = 0;
    for part in &network.layers {
        match part {
            Layer::Convolution(convolution) if classifier.is_none() => {
                stages.push(ConvolutionStage {
                    layer,
                    name: convolution.name.clone(),
                    inputs: convolution.inputs,
                    outputs: convolution.outputs,
                    pool: false,
                });
                layer += 1;
            }
            Layer::MaxPool => match stages.last_mut() {
                Some(stage) if !stage.pool && classifier.is_none() => stage.pool = true,
                _ => return Err("a max-pool does not follow a convolution"),
            },
            Layer::AdaptiveAveragePool { side } if classifier.is_none() && !stages.is_empty() => {
                classifier = Some(Classifier { side: *side, layers: Vec::new() });
            }
            Layer::Dense(dense) => {
                let Some(classifier) = &mut classifier else {
                    return Err("a dense layer does not follow an adaptive average pool");
                };
                classifier.layers.push(DenseStage {
                    layer,
                    name: dense.name.clone(),
                    inputs: dense.inputs,
                    outputs: dense.outputs,
                    relu: dense.relu,
                });
                layer += 1;
            }
            _ => return Err("its layers do not follow each other as in a VGG"),
        }
    }
    if stages.is_empty() || classifier.as_ref().is_some_and(|classifier| classifier.layers.is_empty()) {
        return Err("it has no convolution, or a pool without dense layers");
    }
    Ok(Chain { stages, classifier })
}

fn check(network: &Network, weights: &dyn OperatorSource, biases: &[Vec<f32>]) -> Result<(), String> {
    let mut channels = 3;
    let mut parametric = 0;
    let last = network.layers.len().saturating_sub(1);
    for (index, layer) in network.layers.iter().enumerate() {
        let (name, inputs, outputs) = match layer {
            Layer::Convolution(convolution) => (&convolution.name, convolution.inputs, convolution.outputs),
            Layer::Dense(dense) => {
                if dense.relu == (index == last) {
                    return Err(format!(
                        "a ReLU must follow every dense layer but the last; see {}",
                        dense.name
                    ));
                }
                (&dense.name, dense.inputs, dense.outputs)
            }
            Layer::MaxPool => continue,
            Layer::AdaptiveAveragePool { side } => {
                channels = side.saturating_mul(*side).saturating_mul(channels);
                continue;
            }
        };
        if inputs != channels || outputs == 0 {
            return Err(format!("layer {name} takes {inputs} inputs, but gets {channels}"));
        }
        if biases.get(parametric).is_none_or(|bias| bias.len() != outputs) {
            return Err(format!("the bias of layer {name} does not have {outputs} values"));
        }
        if weights.gain_log2(parametric) != 0 {
            return Err(format!("the forward operator of layer {name} has a gain"));
        }
        channels = outputs;
        parametric += 1;
    }
    Ok(())
}
