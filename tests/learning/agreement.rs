//! Moments and patterns of small networks of every shape against float64.
//!
//! A position whose z float32 puts on the other side of zero is a position of the other regime: with few positions, that alone
//! moves a pattern. So the images are those of which float32 can tell every mask and argmax ([`decisive_images`]):
//! then both sides sum the same positions, counts are equal, and what remains is rounding, which has bounds.

use vggx::backend::LayerMoments;
use vggx::weights::ElementType;

use crate::learned::{self, ALL, Images};
use crate::reference::{
    Positions, ReferenceCentering, ReferenceComponent, ReferenceLayer, ReferenceNetwork, RegimeMoments, Trace,
    cosine, norm, random_vgg,
};
use crate::support::{Case, decisive_images};

/// Error of a value of the forward pass over the root mean square of its layer: what [`decisive_images`] allows for too.
const FORWARD: f64 = 5e-6;
/// Error of a float32 sum of at most 4096 terms, over the sum of their magnitudes: each addition rounds by at most 2⁻²⁴ of the sum so
/// far. As a random walk that is 2⁻²⁴·√(4096/3)/√3 ≈ 1.3e-6 where all terms have one sign; thrice that.
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

fn agrees(
    name: &str,
    network: ReferenceNetwork,
    element: ElementType,
    batches: &[((usize, usize), usize)],
) {
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
        compare_patterns(
            &at,
            &moments.layers[layer.index],
            &positions,
            layer.weight,
            &rounding,
            &mut worst,
        );
        error_x = rounding.y;
    }
    println!(
        "{name}: {} patterns, worst 1 − cosine {:.1e}; {} without, {} open; moments within {:.2}, patterns within {:.2} of \
         their bounds",
        worst.compared, worst.distance, worst.without, worst.open, worst.moments, worst.patterns
    );
    assert!(worst.compared > 100 * worst.open, "{name}: too many neurons are left open");
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
    let count = positions.count as f64;
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
    check("x", &moments.x, &exact.x, &|k| count * rounding.x + SUM * absolute.x[k]);
    check("positive.count", &moments.positive_count, &exact.positive.count, &|_| 0.0);
    let fan_in = positions.fan_in;
    let mut regime = |what: &str,
                      [y, yy, xy]: [&[f64]; 3],
                      x: Option<&[f64]>,
                      exact: &RegimeMoments,
                      absolute: &RegimeMoments| {
        let count = |neuron: usize| exact.count[neuron];
        check(&format!("{what}.y"), y, &exact.y, &|neuron| {
            count(neuron) * rounding.y + SUM * absolute.y[neuron]
        });
        check(&format!("{what}.yy"), yy, &exact.yy, &|neuron| {
            2.0 * rounding.y * absolute.y[neuron]
                + count(neuron) * rounding.y.powi(2)
                + SUM * absolute.yy[neuron]
        });
        // Σ₋x is Σx − Σ₊x, of which each has its error; that of Σ₋xy holds Σ₋x·(c − b).
        let error_x = |k: usize| match x {
            Some(_) => count(k / fan_in) * rounding.x + SUM * absolute.x[k],
            None => {
                positions.count as f64 * rounding.x
                    + SUM * (absolute.x[k] + positions_absolute(positions, k % fan_in))
            }
        };
        if let Some(x) = x {
            check(&format!("{what}.x"), x, &exact.x, &error_x);
        }
        check(&format!("{what}.xy"), xy, &exact.xy, &|k| {
            let neuron = k / fan_in;
            if count(neuron) == 0.0 {
                return 0.0;
            }
            rounding.x * absolute.y[neuron]
                + rounding.y * absolute.x[k]
                + count(neuron) * rounding.x * rounding.y
                + SUM * absolute.xy[k]
                + SUM * absolute.x[k] * absolute.y[neuron] / count(neuron)
                + error_x(k) * absolute.y[neuron] / count(neuron)
        });
    };
    regime(
        "positive",
        [&moments.positive_y, &moments.positive_yy, &moments.positive_xy],
        Some(&moments.positive_x),
        &exact.positive,
        &absolute.positive,
    );
    regime(
        "negative",
        [&moments.negative_y, &moments.negative_yy, &moments.negative_xy],
        None,
        &exact.negative,
        &absolute.negative,
    );
}

fn positions_absolute(positions: &Positions, k: usize) -> f64 {
    positions.x.iter().skip(k).step_by(positions.fan_in).map(|x| x.abs()).sum()
}
