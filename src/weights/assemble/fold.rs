//! Constants before and after a layer, folded into its weight and bias in float64 and rounded once.

use super::affine::Affine;
use crate::parallel;

/// A layer's weight and bias with the constants around it in them:
/// α·(w·(s⊙x + t) + b) + β = (α·w⊙s)·x + α·(b + w·t) + β, neuron by neuron.
///
/// `weight` is \[outputs, inputs, taps\], row-major; `before` has a value for every input, `after` one for every output. Where a
/// convolution pads with zeros, `before` must have no shift.
pub(super) fn fold(
    weight: &[f32],
    bias: &[f32],
    taps: usize,
    before: Option<&Affine>,
    after: Option<&Affine>,
) -> (Vec<f32>, Vec<f32>) {
    let outputs = bias.len();
    let fan_in = weight.len() / outputs.max(1);
    let mut folded = vec![0.0; weight.len()];
    let biases = parallel::map(folded.chunks_mut(fan_in.max(1)).enumerate(), |(output, row)| {
        let (factor, summand) = after.map_or((1.0, 0.0), |after| (after.scale[output], after.shift[output]));
        let mut sum = f64::from(bias[output]);
        for (index, (folded, &weight)) in row.iter_mut().zip(&weight[output * fan_in..]).enumerate() {
            let weight = f64::from(weight);
            let (scale, shift) =
                before.map_or((1.0, 0.0), |before| (before.scale[index / taps], before.shift[index / taps]));
            sum += weight * shift;
            *folded = (factor * weight * scale) as f32;
        }
        (factor * sum + summand) as f32
    });
    (folded, biases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folded_layer_computes_what_the_three_did() {
        // Two neurons, three inputs.
        let (weight, bias) = ([1.0, -2.0, 0.5, 3.0, 0.25, -1.0], [0.5, -4.0]);
        let before = Affine { scale: vec![2.0, -1.0, 0.5], shift: vec![1.0, 3.0, -2.0] };
        let after = Affine { scale: vec![-3.0, 0.125], shift: vec![7.0, 1.0] };
        let (folded, folded_bias) = fold(&weight, &bias, 1, Some(&before), Some(&after));
        let input = [1.5, -2.5, 4.0];
        for neuron in 0..2 {
            let row = |weights: &[f32]| weights[3 * neuron..3 * neuron + 3].to_vec();
            let between: f64 = (0..3)
                .map(|i| f64::from(row(&weight)[i]) * (before.scale[i] * input[i] + before.shift[i]))
                .sum::<f64>()
                + f64::from(bias[neuron]);
            let expected = after.scale[neuron] * between + after.shift[neuron];
            let got: f64 = (0..3).map(|i| f64::from(row(&folded)[i]) * input[i]).sum::<f64>()
                + f64::from(folded_bias[neuron]);
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
        // With nothing around it the layer stays as it is.
        assert_eq!(fold(&weight, &bias, 1, None, None), (weight.to_vec(), bias.to_vec()));
    }

    #[test]
    fn all_taps_of_an_input_have_its_factor() {
        let weight: Vec<f32> = (0..18).map(|value| value as f32).collect();
        let before = Affine { scale: vec![2.0, 3.0], shift: vec![0.0, 0.0] };
        let (folded, _) = fold(&weight, &[0.0], 9, Some(&before), None);
        let expected: Vec<f32> = (0..18).map(|i| i as f32 * if i < 9 { 2.0 } else { 3.0 }).collect();
        assert_eq!(folded, expected);
    }
}
