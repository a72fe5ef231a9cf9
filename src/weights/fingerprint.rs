//! Telling weights apart without keeping them.

use serde::{Deserialize, Serialize};

use super::error::shape_text;
use super::tensor::Tensor;
use crate::hash;
use crate::parallel;

/// Relative difference of norms, and difference of projections relative to the norm, up to which two copies are the
/// same weights. Rounding to bfloat16 moves a projection by about 0.1 % of the norm, other weights by about 140 %.
const TOLERANCE: f64 = 0.01;

/// Elements summed as one piece of work. Fixed, so that the sums do not depend on the number of cores.
const SUMMED: usize = 1 << 16;

/// What identifies a network's weights: of each layer with weights, in order, the shape, the L2 norm and one random
/// projection. Names, biases and the element type are not part of it, so copies with timm's names, or in float16 or
/// bfloat16, match.
///
/// Its text, stored under `fingerprint` in pattern files, is JSON:
/// `{"version":1,"layers":[{"shape":[64,3,3,3],"norm":2.5,"projection":-0.3}, …]}`.
///
/// The projection is Σᵢ sᵢ·wᵢ over the weights in row-major order, as float64. The sign sᵢ is −1 where bit i mod 64 of
/// h(⌊i/64⌋) is set and +1 elsewhere; h(n) is the n-th output, from 0, of SplitMix64 seeded with 0 (Steele, Lea &
/// Flood 2014): with all arithmetic modulo 2⁶⁴, z = (n + 1)·0x9E3779B97F4A7C15,
/// z = (z ⊕ z≫30)·0xBF58476D1CE4E5B9, z = (z ⊕ z≫27)·0x94D049BB133111EB, h = z ⊕ z≫31.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    layers: Vec<LayerFingerprint>,
}

/// One layer's part of a [`Fingerprint`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFingerprint {
    /// `[outputs, inputs, 3, 3]` or `[outputs, inputs]`.
    pub shape: Vec<usize>,
    /// Square root of the sum of squared weights.
    pub norm: f64,
    /// Sum of the weights under fixed random signs.
    pub projection: f64,
}

#[derive(Deserialize)]
struct Document {
    layers: Vec<LayerFingerprint>,
}

/// A text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// Not JSON, or not of the right structure.
    #[error("it cannot be read ({0})")]
    Structure(String),
    /// A version this program does not know.
    #[error("it has version {found}, and this program knows version 1; a newer vggx may read it")]
    Version {
        /// The version stated.
        found: u32,
    },
    /// A negative norm.
    #[error("the norm of layer {layer} is negative")]
    Norm {
        /// Number of the layer with weights, from 0.
        layer: usize,
    },
}

impl Fingerprint {
    /// Reads all of the weights, on all cores.
    pub(crate) fn of<'a>(weights: impl Iterator<Item = Tensor<'a>>) -> Self {
        let layers = weights
            .map(|weight| {
                let (squares, projection) = sums(weight);
                LayerFingerprint { shape: weight.shape().to_vec(), norm: squares.sqrt(), projection }
            })
            .collect();
        Self { layers }
    }

    /// Reads a fingerprint from the text in a file's metadata.
    ///
    /// # Errors
    /// When it is not JSON of the documented structure.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let structure = |error: serde_json::Error| FingerprintError::Structure(error.to_string());
        // The version comes first: another version may have another structure.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text).map_err(structure)?;
        if version != 1 {
            return Err(FingerprintError::Version { found: version });
        }
        let document: Document = serde_json::from_str(text).map_err(structure)?;
        // JSON has no NaN and serde_json refuses numbers beyond float64, so everything is finite.
        if let Some(layer) = document.layers.iter().position(|layer| layer.norm < 0.0) {
            return Err(FingerprintError::Norm { layer });
        }
        Ok(Self { layers: document.layers })
    }

    /// The text for a file's metadata. That of weights that are not finite cannot be parsed.
    pub fn to_text(&self) -> String {
        serde_json::json!({ "version": 1, "layers": self.layers }).to_string()
    }

    /// A short name for these shapes, norms and projections, to their last bit, and for the bytes of `more`; for records.
    /// Not a hash of the weights themselves, but any change of a weight that a float64 sum can see changes it: unlike
    /// [`Fingerprint::matches`] it tells a float16 copy from the original.
    pub(crate) fn digest(&self, more: &[&[u8]]) -> String {
        let text = self.to_text();
        // Stable for ever, and nothing here is secret.
        let bytes = std::iter::once(text.as_bytes()).chain(more.iter().copied()).flatten().copied();
        format!("{:016x}", hash::extend(hash::EMPTY, bytes))
    }

    /// Layer by layer, in order.
    pub fn layers(&self) -> &[LayerFingerprint] {
        &self.layers
    }

    /// Whether both are of the same weights, up to rounding to float16 or bfloat16: equal shapes, norms within 1 % of
    /// the larger, projections within 1 % of that norm. Weights that are not finite match nothing.
    pub fn matches(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }

    /// Why they do not match, or `None` if they do.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self.layers.len() != other.layers.len() {
            return Some(format!("{} and {} layers with weights", self.layers.len(), other.layers.len()));
        }
        self.layers.iter().zip(&other.layers).enumerate().find_map(|(number, (left, right))| {
            let reason = left.difference(right)?;
            Some(format!("layer {} of those with weights: {reason}", number + 1))
        })
    }
}

impl LayerFingerprint {
    fn difference(&self, other: &Self) -> Option<String> {
        if self.shape != other.shape {
            return Some(format!("shapes {} and {}", shape_text(&self.shape), shape_text(&other.shape)));
        }
        let allowed = TOLERANCE * self.norm.max(other.norm);
        // Written so that a NaN is a difference.
        let close = |left: f64, right: f64| (left - right).abs() <= allowed && allowed.is_finite();
        if !close(self.norm, other.norm) {
            return Some(format!("norms {:.6e} and {:.6e}", self.norm, other.norm));
        }
        if !close(self.projection, other.projection) {
            return Some(format!(
                "projections {:.6e} and {:.6e}, norm {:.6e}",
                self.projection, other.projection, self.norm
            ));
        }
        None
    }
}

/// The sum of squares and the projection of a tensor.
fn sums(tensor: Tensor<'_>) -> (f64, f64) {
    let pieces = tensor.len().div_ceil(SUMMED);
    let partial = parallel::map_with(
        0..pieces,
        || vec![0.0; SUMMED],
        |buffer, piece| {
            let start = piece * SUMMED;
            let values = &mut buffer[..SUMMED.min(tensor.len() - start)];
            tensor.read(start, values);
            piece_sums(start, values)
        },
    );
    partial.iter().fold((0.0, 0.0), |sum, piece| (sum.0 + piece.0, sum.1 + piece.1))
}

/// `start` is a multiple of 64. Eight sums side by side let the loops vectorise.
fn piece_sums(start: usize, values: &[f32]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut squares, mut projections) = ([0.0f64; LANES], [0.0f64; LANES]);
    for (block, values) in values.chunks(64).enumerate() {
        let signs = split_mix((start / 64 + block) as u64);
        for (row, values) in values.chunks(LANES).enumerate() {
            let signs = signs >> (row * LANES);
            for (lane, value) in values.iter().enumerate() {
                let sign = ((signs >> lane) & 1) << 63;
                let value = f64::from(*value);
                squares[lane] += value * value;
                projections[lane] += f64::from_bits(value.to_bits() ^ sign);
            }
        }
    }
    (squares.iter().sum(), projections.iter().sum())
}

/// The `counter`-th output of SplitMix64 seeded with 0.
fn split_mix(counter: u64) -> u64 {
    let mut state = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::split_mix;

    /// First outputs of `java.util.SplittableRandom` and Vigna's splitmix64.c for seed 0.
    #[test]
    fn split_mix_is_the_published_generator() {
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(1), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(split_mix(2), 0x06c4_5d18_8009_454f);
    }
}
