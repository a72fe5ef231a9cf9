//! The work that a layer needs: operations and bytes, without padding.

use crate::backend::profile::Way;
use crate::network::{Extent, Layer, Network};

/// Work of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Operations, a multiplication and an addition being two.
    pub flops: f64,
    /// Bytes that are read or written at least once.
    pub bytes: f64,
}

/// Operations of one pass over all layers, for one image.
pub fn pass_flops(network: &Network, extents: &[Extent]) -> f64 {
    network
        .parametric()
        .map(|(index, layer)| flops(&network.layers[index], extents[index], layer.fan_in()))
        .sum()
}

/// Work of the layer at `index` of the network's layers for `images` images, whose elements have `element` bytes.
///
/// Forward reads the input map, the operator and the bias, and writes the map (after a max-pool that follows, which is
/// fused) with a mask bit a value, after a pool two more bits for the argmax. Backward reads the signal at the layer's output and
/// the operator, and writes the signal at its input, four times as large where a pool lies below, and reads the bits there.
/// The image's side of the first layer's backward pass and the logits are float32.
pub fn work(
    network: &Network,
    extents: &[Extent],
    index: usize,
    way: Way,
    images: usize,
    element: usize,
) -> Work {
    let (images, element) = (images as f64, element as f64);
    let layer = &network.layers[index];
    let (input, output) = (extents[index], extents[index + 1]);
    let (inputs, outputs) = (values(input), values(output));
    let (fan_in, neurons) = match layer {
        Layer::Convolution(convolution) => (9 * convolution.inputs, convolution.outputs),
        Layer::Dense(dense) => (dense.inputs, dense.outputs),
        Layer::MaxPool | Layer::AdaptiveAveragePool { .. } => return Work { flops: 0.0, bytes: 0.0 },
    };
    let operator = fan_in as f64 * neurons as f64 * element;
    let pooled = |index: usize| matches!(network.layers.get(index), Some(Layer::MaxPool));
    let first = index == 0;
    let rectified = !matches!(layer, Layer::Dense(dense) if !dense.relu);
    // A dense layer takes its map flattened.
    let inputs = if matches!(layer, Layer::Dense(_)) { fan_in as f64 } else { inputs };
    let bytes = match way {
        Way::Forward => {
            let stored = if pooled(index + 1) { values(extents[index + 2]) } else { outputs };
            let bits = if pooled(index + 1) { 3.0 } else { 1.0 };
            let written = if rectified { element + bits / 8.0 } else { 4.0 };
            operator + 4.0 * neurons as f64 + images * (inputs * element + stored * written)
        }
        Way::Backward => {
            let below = index.checked_sub(1);
            let written = match below {
                _ if first => 4.0 * inputs,
                // Before the pool there were two rows and two columns each, and one more where the extent is odd.
                Some(below) if pooled(below) => values(extents[below]) * element + inputs * 3.0 / 8.0,
                Some(below) if matches!(network.layers[below], Layer::AdaptiveAveragePool { .. }) => {
                    inputs * element
                }
                _ => inputs * (element + 1.0 / 8.0),
            };
            operator + images * (outputs * element + written)
        }
    };
    Work { flops: images * flops(layer, input, fan_in), bytes }
}

/// Operations of a layer for one image.
fn flops(layer: &Layer, input: Extent, fan_in: usize) -> f64 {
    match layer {
        Layer::Convolution(layer) => {
            2.0 * fan_in as f64 * layer.outputs as f64 * input.height as f64 * input.width as f64
        }
        Layer::Dense(layer) => 2.0 * fan_in as f64 * layer.outputs as f64,
        Layer::MaxPool | Layer::AdaptiveAveragePool { .. } => 0.0,
    }
}

fn values(extent: Extent) -> f64 {
    extent.height as f64 * extent.width as f64 * extent.channels as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Convolution, Dense, Preprocessing};

    fn convolution(inputs: usize, outputs: usize) -> Layer {
        Layer::Convolution(Convolution { name: String::new(), inputs, outputs })
    }

    fn dense(inputs: usize, outputs: usize, relu: bool) -> Layer {
        Layer::Dense(Dense { name: String::new(), inputs, outputs, relu })
    }

    #[test]
    fn vgg16_has_the_operations_of_the_literature() {
        let mut layers = Vec::new();
        let mut channels = 3;
        for (count, width) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)] {
            for _ in 0..count {
                layers.push(convolution(channels, width));
                channels = width;
            }
            layers.push(Layer::MaxPool);
        }
        layers.push(Layer::AdaptiveAveragePool { side: 7 });
        layers.extend([dense(25_088, 4096, true), dense(4096, 4096, true), dense(4096, 1000, false)]);
        let network = Network::new(layers, Preprocessing::default());
        let extents = network.extents(224, 224).unwrap();
        // 15.347 GMAC in convolutions and 0.124 in dense layers.
        let gigaflops = pass_flops(&network, &extents) / 1e9;
        assert!((gigaflops - 2.0 * (15.347 + 0.124)).abs() < 0.01, "{gigaflops}");
    }

    #[test]
    fn bytes_are_counted_once() {
        // 4×6×3 → 4×6×8 → 2×3×8 → 1×1×8 (average) → 5.
        let layers = vec![
            convolution(3, 8),
            convolution(8, 8),
            Layer::MaxPool,
            convolution(8, 8),
            Layer::AdaptiveAveragePool { side: 1 },
            dense(8, 5, false),
        ];
        let network = Network::new(layers, Preprocessing::default());
        let extents = network.extents(4, 6).unwrap();
        let bytes = |index, way| work(&network, &extents, index, way, 10, 2).bytes;
        let (map, pooled, operator) = (24.0 * 8.0, 6.0 * 8.0, 2.0 * 9.0 * 64.0);
        assert_eq!(bytes(0, Way::Forward), 2.0 * 27.0 * 8.0 + 32.0 + 10.0 * (2.0 * 72.0 + map * 2.125));
        assert_eq!(bytes(0, Way::Backward), 2.0 * 27.0 * 8.0 + 10.0 * (4.0 * 72.0 + map * 2.0));
        // The pool that follows is fused: what is stored is the pooled map with 3 bits a value.
        assert_eq!(bytes(1, Way::Forward), operator + 32.0 + 10.0 * (2.0 * map + pooled * 2.375));
        assert_eq!(bytes(1, Way::Backward), operator + 10.0 * (2.0 * map + map * 2.125));
        // Below the third convolution lies the pool: the signal is scattered to the map under it.
        assert_eq!(bytes(3, Way::Backward), operator + 10.0 * (2.0 * pooled + 2.0 * map + pooled * 0.375));
        assert_eq!(bytes(5, Way::Forward), 80.0 + 20.0 + 10.0 * (2.0 * 8.0 + 4.0 * 5.0));
        assert_eq!(work(&network, &extents, 1, Way::Backward, 10, 2).flops, 10.0 * 2.0 * 72.0 * 8.0 * 24.0);
    }
}
