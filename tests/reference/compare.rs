//! How far another implementation is from this one.

use super::forward::{LayerTrace, Trace, pooled_source};

/// The Euclidean norm. Scaled by the largest value first, since squares of 1e29 are no problem but those of 1e200 are.
pub fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let sum: f64 = values.iter().map(|v| (v / largest).powi(2)).sum();
    largest * sum.sqrt()
}

/// The cosine of the angle between two arrays. Two zero arrays agree (1); a zero and a non-zero one do not (0). Anything
/// that is not finite gives NaN, which fails every comparison with a bound.
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths");
    if a.iter().chain(b).any(|v| !v.is_finite()) {
        return f64::NAN;
    }
    let (length_a, length_b) = (norm(a), norm(b));
    match (length_a == 0.0, length_b == 0.0) {
        (true, true) => 1.0,
        (false, false) => a.iter().zip(b).map(|(x, y)| (x / length_a) * (y / length_b)).sum(),
        _ => 0.0,
    }
}

/// How the masks or argmaxes of another implementation differ from the reference's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disagreement {
    /// The number of values that differ.
    pub count: usize,
    /// The number of values compared.
    pub of: usize,
    /// The worst of those that differ: the distance from the decision (|z|, or the gap between the two pool
    /// candidates), over the root mean square of the layer. Rounding explains it only where it is small; 0 where
    /// nothing differs.
    pub worst_margin: f64,
}

/// Compares the mask of another implementation with that of `layer`: differences are honest only near z = 0.
pub fn mask_disagreement(layer: &LayerTrace, mask: &[bool]) -> Disagreement {
    assert_eq!(layer.mask.len(), mask.len(), "mask");
    let mut margins = Vec::new();
    for ((&ours, &theirs), z) in layer.mask.iter().zip(mask).zip(&layer.pre_activation) {
        if ours != theirs {
            margins.push(z.abs());
        }
    }
    disagreement(&margins, mask.len(), &layer.pre_activation)
}

/// Compares the argmaxes of another implementation with those of the max-pool number `index` of `trace.layers`:
/// differences are honest only between candidates that are nearly equal.
pub fn argmax_disagreement(trace: &Trace, index: usize, argmax: &[u8]) -> Disagreement {
    let pool = &trace.layers[index];
    assert_eq!(pool.argmax.len(), argmax.len(), "argmax");
    let unpooled = &trace.layers[index - 1];
    let [channels, rows, columns] = pool.shape;
    let mut margins = Vec::new();
    for c in 0..channels {
        for y in 0..rows {
            for x in 0..columns {
                let at = (c * rows + y) * columns + x;
                if argmax[at] != pool.argmax[at] {
                    assert!(argmax[at] < 4, "argmax {} at {at}", argmax[at]);
                    let chosen = pooled_source(unpooled.shape, c, y, x, argmax[at]);
                    margins.push(pool.output[at] - unpooled.output[chosen]);
                }
            }
        }
    }
    disagreement(&margins, argmax.len(), &unpooled.output)
}

fn disagreement(margins: &[f64], of: usize, layer: &[f64]) -> Disagreement {
    let root_mean_square = norm(layer) / (layer.len().max(1) as f64).sqrt();
    let worst = margins.iter().fold(0.0_f64, |m, v| m.max(*v));
    Disagreement {
        count: margins.len(),
        of,
        worst_margin: if worst == 0.0 { 0.0 } else { worst / root_mean_square },
    }
}
