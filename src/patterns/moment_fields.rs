//! What a moment file holds of each layer, and which values its sums can have.

use crate::backend::{LAGS, LayerMoments};
use crate::network::{Convolution, Dense, ParametricLayer};

/// The largest whole number up to which float64 counts one by one.
const LARGEST_COUNT: f64 = (1u64 << 53) as f64;

/// The names and shapes of [`LayerMoments::fields`] for a layer with a weight of this shape, without taking the memory
/// of a layer. None where it is no weight of a network.
pub(super) fn field_shapes(weight: &[usize], second: bool) -> Vec<(&'static str, Vec<usize>)> {
    let (outputs, inputs) = match *weight {
        [outputs, inputs] | [outputs, inputs, 3, 3] => (outputs, inputs),
        _ => return Vec::new(),
    };
    let mut fields = vec![
        ("positions", vec![]),
        ("x", weight[1..].to_vec()),
        ("positive.count", vec![outputs]),
        ("positive.y", vec![outputs]),
        ("positive.yy", vec![outputs]),
        ("negative.y", vec![outputs]),
        ("negative.yy", vec![outputs]),
        ("positive.x", weight.to_vec()),
        ("positive.xy", weight.to_vec()),
        ("negative.xy", weight.to_vec()),
    ];
    if second && weight.len() == 4 {
        let products = |name, lags| (name, vec![lags, inputs, inputs]);
        fields.extend([
            products("xx.map", LAGS.len()),
            products("xx.top", 3),
            products("xx.bottom", 3),
            products("xx.left", 3),
            products("xx.right", 3),
            products("xx.corners", 4),
        ]);
    } else if second {
        fields.push(("xx", vec![inputs.saturating_add(1).saturating_mul(inputs) / 2]));
    }
    fields
}

/// Whether a tensor of this name, the layer's name and a dot included, belongs to Σxxᵀ.
pub(super) fn is_second(tensor: &str) -> bool {
    tensor.ends_with(".xx") || tensor.rsplit_once('.').is_some_and(|(before, _)| before.ends_with(".xx"))
}

/// Moments of a layer of this name and weight, without positions.
pub(super) fn no_positions(name: &str, weight: &[usize], second: bool) -> LayerMoments {
    let (name, outputs, inputs) = (name.to_owned(), weight[0], weight[1]);
    if weight.len() == 4 {
        let layer = Convolution { name, inputs, outputs };
        LayerMoments::zeros(ParametricLayer::Convolution(&layer), second)
    } else {
        let layer = Dense { name, inputs, outputs, relu: false };
        LayerMoments::zeros(ParametricLayer::Dense(&layer), second)
    }
}

/// The first value of a field that no sum over `positions` positions can have: its index, and what is wrong with it.
pub(super) fn impossible(field: &str, positions: f64, values: &[f64]) -> Option<(usize, &'static str)> {
    let whole = |value: f64, most: f64| value >= 0.0 && value <= most && value.fract() == 0.0;
    // Written so that a NaN is impossible everywhere.
    let (possible, problem): (&dyn Fn(f64) -> bool, _) = match field {
        "positions" => (&|value| whole(value, LARGEST_COUNT), "is no number of positions"),
        "positive.count" => (&|value| whole(value, positions), "is no number of the layer's positions"),
        "positive.yy" | "negative.yy" => {
            (&|value| value >= 0.0 && value.is_finite(), "is no finite sum of squares")
        }
        // Without early exit and calls, so that the loop vectorises.
        _ if values.iter().fold(true, |finite, value| finite & value.is_finite()) => return None,
        _ => (&f64::is_finite, "is not finite"),
    };
    values.iter().position(|value| !possible(*value)).map(|index| (index, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_sums() {
        for weight in [&[2, 3, 3, 3][..], &[4, 5], &[1, 1, 3, 3], &[1, 1]] {
            for second in [false, true] {
                let moments = no_positions("a.b", weight, second);
                assert_eq!(moments.shape, weight);
                let expected: Vec<_> =
                    moments.fields().into_iter().map(|field| (field.name, field.shape)).collect();
                assert_eq!(field_shapes(weight, second), expected);
                for (name, _) in expected {
                    assert_eq!(is_second(&format!("features.0.{name}")), name.starts_with("xx"), "{name}");
                }
            }
        }
    }

    #[test]
    fn impossible_values_are_found() {
        let cases: &[(&str, f64, bool)] = &[
            ("positions", 3.0, true),
            ("positions", -1.0, false),
            ("positions", 2.5, false),
            ("positions", 1e300, false),
            ("positive.count", 5.0, true),
            ("positive.count", 6.0, false),
            ("positive.count", 0.5, false),
            ("positive.count", -1.0, false),
            ("positive.yy", 0.0, true),
            ("positive.yy", -1e-300, false),
            ("negative.yy", f64::INFINITY, false),
            ("positive.y", -3.0, true),
            ("x", f64::NEG_INFINITY, false),
            ("positive.xy", f64::MAX, true),
        ];
        for &(field, value, possible) in cases {
            assert_eq!(impossible(field, 5.0, &[1.0, value]).is_none(), possible, "{field} {value}");
        }
        for field in ["positions", "positive.count", "positive.yy", "negative.y", "xx.map"] {
            let found = impossible(field, 5.0, &[1.0, f64::NAN]);
            assert_eq!(found.map(|(index, _)| index), Some(1), "{field}");
        }
    }
}
