//! The patterns that the authors of PatternNet published: an archive of one array a layer, without names.

use std::path::Path;

use super::pattern_file::LayerPatterns;
use super::{Component, PatternError};
use crate::weights::import::Array;
use crate::weights::{Stored, WeightError, Weights};

/// Gives every layer its positive pattern: the n-th array to the n-th layer with weights. Reads all of them.
///
/// # Errors
/// When there are more or fewer arrays than layers, or one has another shape than its layer's weight.
pub(super) fn layers(
    path: &Path,
    arrays: Vec<Array>,
    weights: &Weights,
) -> Result<Vec<LayerPatterns>, PatternError> {
    let expected = weights.network().parametric().count();
    if arrays.len() != expected {
        return Err(PatternError::Count {
            path: path.to_owned(),
            found: arrays.len(),
            weights: weights.path().to_owned(),
            expected,
        });
    }
    weights
        .network()
        .parametric()
        .zip(arrays)
        .map(|((_, layer), array)| {
            let (shape, expected) = (array.shape().to_vec(), layer.weight_shape());
            if shape != expected {
                return Err(PatternError::Shape {
                    path: path.to_owned(),
                    tensor: array.name().to_owned(),
                    found: shape,
                    weights: weights.path().to_owned(),
                    expected,
                });
            }
            let (name, element) = (format!("{}.{}", layer.name(), Component::Positive), array.element());
            let bytes = array.into_bytes().map_err(|problem| WeightError::new(path, problem))?;
            let positive = Stored::new(name, element, expected, shape, bytes);
            Ok(LayerPatterns { name: layer.name().to_owned(), components: [Some(positive), None, None] })
        })
        .collect()
}
