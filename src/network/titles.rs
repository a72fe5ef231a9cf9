//! What the literature calls the layers of a VGG.

use super::{Layer, Network};

impl Network {
    /// The names of the layers with weights as papers have them, in order: `conv1_1` and so on by block, then `fc6` for
    /// the first dense layer after five blocks.
    pub fn titles(&self) -> Vec<String> {
        let mut titles = Vec::new();
        let (mut block, mut layer_of_block) = (1, 0);
        for layer in &self.layers {
            match layer {
                Layer::Convolution(_) => {
                    layer_of_block += 1;
                    titles.push(format!("conv{block}_{layer_of_block}"));
                }
                Layer::MaxPool => (block, layer_of_block) = (block + 1, 0),
                Layer::AdaptiveAveragePool { .. } => {}
                Layer::Dense(_) => {
                    // Where the last convolutions have no max-pool they are a block all the same.
                    if layer_of_block > 0 {
                        (block, layer_of_block) = (block + 1, 0);
                    }
                    titles.push(format!("fc{block}"));
                    block += 1;
                }
            }
        }
        titles
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Convolution, Dense, Preprocessing};
    use super::*;

    #[test]
    fn layers_are_named_by_block() {
        let convolution = || Layer::Convolution(Convolution { name: String::new(), inputs: 1, outputs: 1 });
        let dense = || Layer::Dense(Dense { name: String::new(), inputs: 1, outputs: 1, relu: true });
        let titles = |layers| Network::new(layers, Preprocessing::default()).titles();
        let pooled = vec![
            convolution(),
            convolution(),
            Layer::MaxPool,
            convolution(),
            Layer::MaxPool,
            dense(),
            dense(),
        ];
        assert_eq!(titles(pooled), ["conv1_1", "conv1_2", "conv2_1", "fc3", "fc4"]);
        assert_eq!(titles(vec![convolution(), dense()]), ["conv1_1", "fc2"]);
    }
}
