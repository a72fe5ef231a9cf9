//! Moments and patterns of small networks of every shape against float64.
//!
//! A position whose z float32 puts on the other side of zero is a position of the other regime: with few positions, that alone
//! moves a pattern. So the images are those of which float32 can tell every mask and argmax ([`decisive_images`]):
//! then both sides sum the same positions, counts are equal, and what remains is rounding, which has bounds.

use vggx::backend::LayerMoments;
use vggx::weights::ElementType;

use crate::learned::{self, ALL, Images};
use crate::reference::{
    Positions, ReferenceCentering, ReferenceComponent, ReferenceLayer, ReferenceNetwork, Trace, cosine, norm,
    random_vgg,
};
use crate::support::{Case, decisive_images};

/// Error of a value of the forward pass over the root mean square of its layer: what [`decisive_images`] allows for too.
const FORWARD: f64 = 5e-6;
/// Error of a float32 sum of at most 4096 terms, over the sum of their magnitudes: each addition rounds by at most 2⁻²⁴ of the sum so
/// far. As a random walk that is 2⁻²⁴·√(4096/3)/√3 ≈ 1.3e-6 where all terms have one sign; thrice that.
/// Winograd's sums have a sixteenth of the terms and larger factors; their errors come out alike.
const SUM: f64 = 4e-6;
/// What is promised of every neuron that has enough positions.
const PROMISED: f64 = 1e-4;

/// The largest error over its bound, for the report.
#[derive(Default)]
struct Worst {
    moments: f64,
    patterns: f64,
    distance: f64,
    compared: usize,
    /// Neurons where rounding could explain a cosine below the promise, or decide whether there is a pattern.
    open: usize,
    without: usize,
}

/// What rounding does to a layer.
struct Rounding {
    /// Of an element of x.
    x: f64,
    /// Of y.
    y: f64,
}

fn agrees(name: &str, network: ReferenceNetwork, element: ElementType, batches: &[((usize, usize), usize)]) {
    let case = Case::new(network, element);
    let (mut drawn, mut images) = (Vec::new(), Vec::new());
    for (index, &(size, count)) in batches.iter().enumerate() {
        let batch = decisive_images(&case.network, size, count, 100 + index as u64);
        images.push(Images { size, pixels: batch.iter().map(|(pixels, _)| pixels.clone()).collect() });
        drawn.extend(batch.into_iter().map(|(pixels, trace)| (Case::input(&pixels), trace)));
    }
    let moments = learned::learn(&case.backend(2), &case.weights, &images);
    let pairs: Vec<(&[f64], &Trace)> = drawn.iter().map(|(input, trace)| (input.as_slice(), trace)).collect();
    let mut worst = Worst::default();
    let mut error_x = 0.0;
    for layer in case.network.parametric_layers() {
        let positions = case.network.positions(layer.index, &pairs);
        let rounding =
            Rounding { x: error_x, y: FORWARD * root_mean_square(&case.network, layer.index, &pairs) };
        let at = format!("{name}, layer {}", layer.index);
        compare_moments(&at, &moments.layers[layer.index], &positions, &rounding, &mut worst);
        compare_patterns(&at, &moments.layers[layer.index], &positions, layer.weight, &rounding, &mut worst);
        error_x = rounding.y;
    }
    println!(
        "{name}: {} patterns, worst 1 − cosine {:.1e}; {} without, {} open; moments within {:.2}, patterns within {:.2} of \
         their bounds",
        worst.compared, worst.distance, worst.without, worst.open, worst.moments, worst.patterns
    );
    // Regimes of very few positions.
    assert!(worst.compared > 40 * worst.open, "{name}: too many neurons are left open");
}

/// Of z in the layer, over all images.
fn root_mean_square(network: &ReferenceNetwork, index: usize, images: &[(&[f64], &Trace)]) -> f64 {
    let is_parametric = |layer: &&(usize, &ReferenceLayer)| {
        matches!(layer.1, ReferenceLayer::Convolution { .. } | ReferenceLayer::Dense { .. })
    };
    let layers: Vec<_> = network.layers.iter().enumerate().collect();
    let (at, _) = layers.iter().filter(is_parametric).nth(index).expect("counted");
    let count: usize = images.iter().map(|(_, trace)| trace.layers[*at].pre_activation.len()).sum();
    let norms: Vec<f64> = images.iter().map(|(_, trace)| norm(&trace.layers[*at].pre_activation)).collect();
    norm(&norms) / (count as f64).sqrt()
}

fn compare_moments(
    at: &str,
    moments: &LayerMoments,
    positions: &Positions,
    rounding: &Rounding,
    worst: &mut Worst,
) {
    assert_eq!(moments.positions, positions.count as f64, "{at}: positions");
    let (exact, absolute) = (positions.moments(), positions.absolute_moments());
    let count_all = positions.count as f64;
    let mut check = |what: &str, got: &[f64], exact: &[f64], bound: &dyn Fn(usize) -> f64| {
        assert_eq!(got.len(), exact.len(), "{at}: {what}");
        for (index, (got, exact)) in got.iter().zip(exact).enumerate() {
            let (error, bound) = ((got - exact).abs(), bound(index));
            assert!(error <= bound, "{at}: {what}[{index}]: {got} for {exact}, bound {bound:e}");
            if bound > 0.0 {
                worst.moments = worst.moments.max(error / bound);
            }
        }
    };
    check("x", &moments.x, &exact.x, &|k| count_all * rounding.x + SUM * absolute.x[k]);
    check("positive.count", &moments.positive_count, &exact.positive.count, &|_| 0.0);
    let fan_in = positions.fan_in;
    for (what, y, yy, x, xy, exact, size) in [
        (
            "positive",
            &moments.positive_y,
            &moments.positive_yy,
            Some(&moments.positive_x),
            &moments.positive_xy,
            &exact.positive,
            &absolute.positive,
        ),
        (
            "negative",
            &moments.negative_y,
            &moments.negative_yy,
            None,
            &moments.negative_xy,
            &exact.negative,
            &absolute.negative,
        ),
    ] {
        let count = &exact.count;
        check(&format!("{what}.y"), y, &exact.y, &|j| count[j] * rounding.y + SUM * size.y[j]);
        check(&format!("{what}.yy"), yy, &exact.yy, &|j| {
            2.0 * rounding.y * size.y[j] + count[j] * rounding.y.powi(2) + SUM * size.yy[j]
        });
        let error_x = |k: usize| count[k / fan_in] * rounding.x + SUM * size.x[k];
        if let Some(x) = x {
            check(&format!("{what}.x"), x, &exact.x, &error_x);
        }
        // Σxy = Σxg + (c − b)·Σx with |g| ≤ |y| + |c − b| and |c − b| the mean of y. Σ₋x is Σx − Σ₊x, and has the errors of both.
        let error_x = |k: usize| match x {
            Some(_) => error_x(k),
            None => error_x(k) + 2.0 * (count_all * rounding.x + SUM * absolute.x[k % fan_in]),
        };
        check(&format!("{what}.xy"), xy, &exact.xy, &|k| {
            let j = k / fan_in;
            let mean_y = size.y[j] / count[j].max(1.0);
            let products = rounding.x * size.y[j]
                + rounding.y * size.x[k]
                + count[j] * rounding.x * rounding.y
                + SUM * (size.xy[k] + mean_y * size.x[k]);
            if count[j] == 0.0 { 0.0 } else { products + mean_y * error_x(k) }
        });
    }
}

/// Compares every pattern, its direction within a bound that rounding explains and within what is promised.
///
/// Of the numerator Σ(x − x̄)(y − ȳ), rounding of x and y and of the sums moves at most
/// δ = n·(δx·√K·rms(y − ȳ) + rms‖x − x̄‖·δy + 4·10⁻⁶·rms‖x‖·rms(y − ȳ)) (Cauchy and Schwarz); globally centred, the same
/// holds with x̄ = 0. Σ₋x is Σx − Σ₊x: what rounding leaves of Σ₊x enters wherever Σ₋x does, times what a pilot of the negative
/// positions differs from ȳ. With r = δ/‖numerator‖ the angle is at most asin r.
fn compare_patterns(
    at: &str,
    moments: &LayerMoments,
    positions: &Positions,
    weight: &[f64],
    rounding: &Rounding,
    worst: &mut Worst,
) {
    let fan_in = positions.fan_in;
    for neuron in 0..positions.outputs {
        let w = &weight[neuron * fan_in..][..fan_in];
        for (component, centering) in ALL {
            let at = format!("{at}, neuron {neuron}, {component:?}, {centering:?}");
            let got = learned::pattern(moments, weight, neuron, component, centering);
            let chosen = positions.of(component, neuron);
            if chosen.len() < 2 {
                assert_eq!(got, None, "{at}: {} positions", chosen.len());
                worst.without += 1;
                continue;
            }
            let numerator = Numerator::of(positions, &chosen, neuron, component, centering);
            let error = numerator.error(rounding);
            let denominator: f64 = w.iter().zip(&numerator.values).map(|(w, n)| w * n).sum();
            let margin = (denominator - 1e-10 * numerator.squares).abs();
            if margin <= norm(w) * error {
                worst.open += 1;
                continue;
            }
            let expected = positions.pattern(weight, neuron, component, centering);
            assert_eq!(got.is_some(), expected.is_some(), "{at}: whether there is a pattern");
            let (Some(got), Some(expected)) = (got, expected) else {
                worst.without += 1;
                continue;
            };
            let product: f64 = w.iter().zip(&got).map(|(w, a)| w * a).sum();
            let size: f64 = w.iter().zip(&got).map(|(w, a)| (w * a).abs()).sum();
            assert!((product - 1.0).abs() <= 1e-13 * size, "{at}: wᵀa = {product}");
            let distance = 1.0 - cosine(&got, &expected);
            let sine = error / norm(&numerator.values);
            // 1 − √(1 − r²), and what float64 leaves.
            let bound = sine * sine / (1.0 + (1.0 - sine * sine).max(0.0).sqrt()) + 1e-14;
            assert!(distance <= bound, "{at}: 1 − cosine {distance:e}, bound {bound:e}");
            worst.patterns = worst.patterns.max((distance / bound).sqrt());
            if bound > PROMISED {
                worst.open += 1;
                continue;
            }
            worst.compared += 1;
            worst.distance = worst.distance.max(distance);
        }
    }
}

/// Σ(x − x̄)(y − ȳ) over some positions, and what its rounding is in proportion to.
struct Numerator {
    count: f64,
    values: Vec<f64>,
    /// Σy².
    squares: f64,
    /// Root mean squares of y − ȳ, ‖x − x̄‖ and ‖x‖.
    y: f64,
    x: f64,
    whole_x: f64,
    /// Σ₊‖x‖ times the largest |y − ȳ| of a negative position, where Σ₋x takes part.
    left_over: f64,
}

impl Numerator {
    fn of(
        positions: &Positions,
        chosen: &[usize],
        neuron: usize,
        component: ReferenceComponent,
        centering: ReferenceCentering,
    ) -> Self {
        let fan_in = positions.fan_in;
        let is_global = component != ReferenceComponent::Linear && centering == ReferenceCentering::Global;
        let (mean_x, mean_y) = match is_global {
            true => (vec![0.0; fan_in], positions.mean_y(0..positions.count, neuron)),
            false => (positions.mean_x(chosen), positions.mean_y(chosen.iter().copied(), neuron)),
        };
        let (mut values, mut squares, mut sums) = (vec![0.0; fan_in], 0.0, [0.0; 3]);
        for &at in chosen {
            let y = positions.y[at * positions.outputs + neuron];
            squares += y * y;
            sums[0] += (y - mean_y).powi(2);
            for k in 0..fan_in {
                let x = positions.x[at * fan_in + k];
                values[k] += (x - mean_x[k]) * (y - mean_y);
                sums[1] += (x - mean_x[k]).powi(2);
                sums[2] += x * x;
            }
        }
        let count = chosen.len() as f64;
        let [y, x, whole_x] = sums.map(|sum| (sum / count).sqrt());
        let mut left_over = 0.0;
        if component != ReferenceComponent::Positive {
            let positive = positions.of(ReferenceComponent::Positive, neuron);
            let sum: f64 = positive.iter().map(|&at| norm(&positions.x[at * fan_in..][..fan_in])).sum();
            let negative = positions.of(ReferenceComponent::Negative, neuron).into_iter();
            let pilots = negative.map(|at| (positions.y[at * positions.outputs + neuron] - mean_y).abs());
            left_over = sum * pilots.fold(0.0, f64::max);
        }
        Numerator { count, values, squares, y, x, whole_x, left_over }
    }

    fn error(&self, rounding: &Rounding) -> f64 {
        let root_fan_in = (self.values.len() as f64).sqrt();
        self.count * (rounding.x * root_fan_in * self.y + self.x * rounding.y + SUM * self.whole_x * self.y)
            + SUM * self.left_over
    }
}

const ODD: (usize, usize) = (33, 47);
const SQUARE: (usize, usize) = (37, 37);
const TALL: (usize, usize) = (64, 32);

#[test]
fn vgg11_with_a_classifier() {
    let blocks: [&[usize]; 5] = [&[8], &[16], &[24, 24], &[17, 40], &[40, 33]];
    let network = random_vgg(11, 3, &blocks, Some((2, &[29, 15, 7])));
    agrees("vgg11", network, ElementType::F32, &[(ODD, 3), (SQUARE, 33), (TALL, 1)]);
}

#[test]
fn vgg13_headless() {
    let blocks: [&[usize]; 5] = [&[3, 5], &[20, 7], &[24, 16], &[16, 24], &[40, 21]];
    agrees("vgg13", random_vgg(13, 3, &blocks, None), ElementType::F32, &[(ODD, 3), (SQUARE, 1), (TALL, 2)]);
}

#[test]
fn vgg16_with_a_classifier_on_a_grid_larger_than_its_map() {
    let blocks: [&[usize]; 5] = [&[8, 16], &[16, 20], &[24, 24, 24], &[32, 32, 32], &[40, 40, 19]];
    let network = random_vgg(16, 3, &blocks, Some((3, &[31, 9])));
    agrees("vgg16", network, ElementType::F32, &[(SQUARE, 3), (ODD, 1)]);
}

#[test]
fn vgg19_headless_and_with_one_dense_layer() {
    let blocks: [&[usize]; 5] =
        [&[6, 16], &[16, 16], &[24, 24, 24, 24], &[31, 32, 33, 32], &[40, 40, 40, 24]];
    agrees("vgg19", random_vgg(19, 3, &blocks, None), ElementType::F32, &[(ODD, 3)]);
    let network = random_vgg(20, 3, &blocks, Some((1, &[11])));
    agrees("vgg19 and a dense layer", network, ElementType::F32, &[(TALL, 3)]);
}

#[test]
fn half_precision_files_are_learnt_with_their_rounded_values() {
    for element in [ElementType::F16, ElementType::Bf16] {
        let network = random_vgg(23, 3, &[&[8, 16], &[24, 24], &[16, 12]], Some((2, &[13, 5])));
        agrees(&format!("{element}"), network, element, &[((23, 19), 3)]);
    }
}

/// More input channels and more neurons than are summed in one product, with remainders.
#[test]
fn wide_layers() {
    let network = random_vgg(29, 3, &[&[70, 130], &[131, 65]], Some((3, &[71, 3])));
    agrees("130 → 131 → 65", network, ElementType::F32, &[((13, 11), 3), ((12, 12), 2)]);
}

/// More positions than one float32 sum holds, in one batch.
#[test]
fn many_positions() {
    let network = random_vgg(30, 3, &[&[5, 7], &[9]], None);
    agrees("many positions", network, ElementType::F32, &[((91, 93), 3)]);
}

/// The smallest maps, and batches of many images.
#[test]
fn small_images_alone_and_in_batches_of_33() {
    for (seed, widths) in [(31, [16, 20]), (32, [5, 18]), (33, [18, 5])] {
        for classifier in [None, Some((2, &[7, 4][..]))] {
            let network = random_vgg(seed, 3, &[&widths], classifier);
            let batches = [((2, 2), 1), ((3, 5), 33), ((7, 13), 33), ((2, 2), 33), ((7, 13), 1)];
            agrees(&format!("{widths:?}, {classifier:?}"), network, ElementType::F32, &batches);
        }
    }
}

/// Biases that silence some neurons and never let others rest; and everything in between.
#[test]
fn neurons_that_are_never_always_or_rarely_active() {
    let mut network = random_vgg(35, 3, &[&[12, 16], &[14]], Some((2, &[12, 5])));
    for layer in &mut network.layers {
        if let ReferenceLayer::Convolution { bias, .. } | ReferenceLayer::Dense { bias, .. } = layer {
            for (neuron, bias) in bias.iter_mut().enumerate() {
                *bias = [-40.0, 40.0, -4.0, 4.0, *bias, -6.0, 6.0][neuron % 7];
            }
        }
    }
    agrees("never, always, rarely", network, ElementType::F32, &[((17, 19), 7), ((8, 9), 33)]);
}
