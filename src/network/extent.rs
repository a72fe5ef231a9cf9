//! How large the maps between the layers are.

use super::Layer;

/// The size of a map of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// An input the network cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A max-pool would leave nothing of this image.
    #[error(
        "an input of {height}×{width} pixels is too small: the network halves it {pools} times; \
         the smallest that works is {smallest}×{smallest}"
    )]
    InputTooSmall {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// Max-pools of the network.
        pools: usize,
        /// The shortest side that leaves at least one position everywhere.
        smallest: usize,
    },
}

pub(super) fn extents(
    layers: &[Layer],
    channels: usize,
    height: usize,
    width: usize,
) -> Result<Vec<Extent>, NetworkError> {
    let pools = layers.iter().filter(|layer| matches!(layer, Layer::MaxPool)).count();
    let smallest =
        u32::try_from(pools).ok().and_then(|pools| 1usize.checked_shl(pools)).unwrap_or(usize::MAX);
    if height.min(width) < smallest {
        return Err(NetworkError::InputTooSmall { height, width, pools, smallest });
    }

    let mut extents = Vec::with_capacity(layers.len() + 1);
    let mut extent = Extent { height, width, channels };
    extents.push(extent);
    for layer in layers {
        extent = match layer {
            Layer::Convolution(convolution) => Extent { channels: convolution.outputs, ..extent },
            Layer::MaxPool => Extent { height: extent.height / 2, width: extent.width / 2, ..extent },
            Layer::AdaptiveAveragePool { side } => Extent { height: *side, width: *side, ..extent },
            Layer::Dense(dense) => Extent { height: 1, width: 1, channels: dense.outputs },
        };
        extents.push(extent);
    }
    Ok(extents)
}
