//! What a network is: its layers, the extents of its maps and its preprocessing, described once and used by every
//! backend. Nothing here knows files or devices.

mod classes;
mod extent;
mod layer;
mod normalise;
mod preprocessing;
mod preprocessing_named;
mod titles;

pub use extent::{Extent, NetworkError};
pub use layer::{Convolution, Dense, Layer, ParametricLayer};
pub use preprocessing::{ChannelOrder, Preprocessing, PreprocessingError, PreprocessingOverrides};

/// Convolutions between two max-pools, for each plain VGG (Simonyan & Zisserman 2015, table 1: A, B, D, E).
pub(crate) const VARIANTS: [(&str, [usize; 5]); 4] = [
    ("vgg11", [1, 1, 2, 2, 2]),
    ("vgg13", [2, 2, 2, 2, 2]),
    ("vgg16", [2, 2, 3, 3, 3]),
    ("vgg19", [2, 2, 4, 4, 4]),
];

/// A plain VGG: convolutions and max-pools, then perhaps dense layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// `vgg11`, `vgg13`, `vgg16` or `vgg19` where the blocks of convolutions are theirs, whatever the widths, and
    /// `custom` otherwise.
    pub architecture: String,
    /// The layers in the order of the forward pass.
    pub layers: Vec<Layer>,
    /// What makes the network's input out of an image.
    pub preprocessing: Preprocessing,
}

impl Network {
    /// A network of these layers, its architecture recognised from the blocks of convolutions.
    pub fn new(layers: Vec<Layer>, preprocessing: Preprocessing) -> Self {
        Self { architecture: recognise(&layers).to_owned(), layers, preprocessing }
    }

    /// Channels of the input image: those the first parametric layer takes, 0 in a network that has none.
    pub fn input_channels(&self) -> usize {
        self.parametric().next().map_or(0, |(_, layer)| layer.inputs())
    }

    /// Whether dense layers follow the convolutions; a network without them is headless.
    pub fn has_classifier(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, Layer::Dense(_)))
    }

    /// Classes of the classifier, or channels of the last convolution in a headless network.
    pub fn outputs(&self) -> usize {
        self.parametric().last().map_or(0, |(_, layer)| layer.outputs())
    }

    /// The layers that have weights, in order, each with its index into [`Network::layers`].
    pub fn parametric(&self) -> impl Iterator<Item = (usize, ParametricLayer<'_>)> {
        self.layers.iter().enumerate().filter_map(|(index, layer)| match layer {
            Layer::Convolution(layer) => Some((index, ParametricLayer::Convolution(layer))),
            Layer::Dense(layer) => Some((index, ParametricLayer::Dense(layer))),
            Layer::MaxPool | Layer::AdaptiveAveragePool { .. } => None,
        })
    }

    /// The extent of the input of every layer, and last that of the network's output, for an image of `height` ×
    /// `width` pixels: `layers.len() + 1` values. A max-pool halves and floors. The first dense layer takes the map
    /// of the layer before it, flattened; the output of a dense layer is 1 × 1 × outputs.
    ///
    /// # Errors
    /// When a map would be left without positions; the message names the smallest input that works.
    pub fn extents(&self, height: usize, width: usize) -> Result<Vec<Extent>, NetworkError> {
        extent::extents(&self.layers, self.input_channels(), height, width)
    }
}

/// Names the VGG whose blocks of convolutions these are, or `custom`.
pub(crate) fn recognise(layers: &[Layer]) -> &'static str {
    let blocks = blocks(layers);
    VARIANTS.iter().find(|(_, variant)| blocks == variant).map_or("custom", |(name, _)| name)
}

/// The number of convolutions before each max-pool, and of those after the last one if there are any.
pub(crate) fn blocks(layers: &[Layer]) -> Vec<usize> {
    let mut blocks = Vec::new();
    let mut convolutions = 0;
    for layer in layers {
        match layer {
            Layer::Convolution(_) => convolutions += 1,
            Layer::MaxPool => blocks.push(std::mem::take(&mut convolutions)),
            Layer::AdaptiveAveragePool { .. } | Layer::Dense(_) => {}
        }
    }
    if convolutions > 0 {
        // No variant ends without a max-pool: a zero keeps this from being taken for one.
        blocks.extend([convolutions, 0]);
    }
    blocks
}
