//! Moments that are at hand one layer at a time.

use std::borrow::Cow;

use crate::backend::{LayerMoments, Moments};

/// Moments of a network, layer by layer: in memory, in a file, or in several that are added while they are read. Only
/// one layer need be in memory at a time; the first dense layer of VGG16 alone takes 2.5 GB.
pub trait LayerSource: Sync {
    /// Number of layers with weights.
    fn layer_count(&self) -> usize;

    /// The moments of a layer, from 0 in the order of [`Network::parametric`](crate::network::Network::parametric).
    ///
    /// # Panics
    /// When there is no such layer.
    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments>;

    /// Positions that were summed of a layer, without reading it where that can be.
    ///
    /// # Panics
    /// When there is no such layer.
    fn positions(&self, layer: usize) -> f64 {
        self.layer(layer).positions
    }

    /// Whether every layer has Σxxᵀ.
    fn has_second_moments(&self) -> bool;

    /// Checksums of the files that the sums are in; none of sums in memory.
    fn checksums(&self) -> Vec<u32> {
        Vec::new()
    }

    /// All layers, in memory.
    fn read(&self) -> Moments {
        let layers = (0..self.layer_count()).map(|layer| self.layer(layer).into_owned()).collect();
        Moments { layers }
    }
}

impl LayerSource for Moments {
    fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        Cow::Borrowed(&self.layers[layer])
    }

    fn has_second_moments(&self) -> bool {
        self.has_second()
    }
}

impl<S: LayerSource + ?Sized> LayerSource for &S {
    fn layer_count(&self) -> usize {
        (**self).layer_count()
    }

    fn layer(&self, layer: usize) -> Cow<'_, LayerMoments> {
        (**self).layer(layer)
    }

    fn positions(&self, layer: usize) -> f64 {
        (**self).positions(layer)
    }

    fn has_second_moments(&self) -> bool {
        (**self).has_second_moments()
    }

    fn checksums(&self) -> Vec<u32> {
        (**self).checksums()
    }
}
