//! Sums stay accurate however many images there are: 10⁸ positions whose offsets are a hundred times their spread.
//!
//! Pixels are 94 or 106 plus a standard normal, image by image, and |w| = Σw = 1 (or −1), so that y is 94 or 106 (or the negative) with a
//! spread of 1. Each threshold lies 6 spreads from either, or beyond both, so that no rounding of z changes a regime. Patches at the border,
//! where padding takes a third of the offset away or more, fall into the regime of the darker images. So one regime of most neurons holds
//! nothing but positions with offset/spread = 106 in every element of x and in y.
//!
//! A few images are summed again and again: a sum that cannot tell makes the same errors again, and none average out.
//!
//! Layers of a few and of many input channels are summed by different algorithms. The many are copies of the three colours, made by a
//! first layer that rounds nothing, so that float64 knows the second one's patches too.

// Loops over indices read like the formulas.
#![allow(clippy::needless_range_loop)]

use rayon::prelude::*;
use vggx::backend::{Backend, Batch, LayerMoments, Moments, Pixels};
use vggx::weights::ElementType;

use crate::learned::{self, ALL};
use crate::reference::{
    Random, ReferenceCentering, ReferenceComponent, ReferenceLayer, ReferenceNetwork, norm,
};
use crate::support::Case;

const SIZE: (usize, usize) = (509, 515);
const AREA: usize = SIZE.0 * SIZE.1;
const IMAGES: usize = 4;
/// Means of the images, in turn.
const MEANS: [f64; 2] = [94.0, 106.0];
/// Signs and biases of the neurons: everything inside is positive; the bright images inside are; the same of −w, where it is negative.
const NEURONS: [(f64, f64); 4] = [(1.0, -80.0), (1.0, -100.0), (-1.0, 100.0), (-1.0, 80.0)];

/// The layer whose sums are judged: the first, or behind a layer that copies the colours into `copies` channels each.
fn network(copies: usize) -> ReferenceNetwork {
    let mut random = Random::new(81);
    let channels = 3 * copies;
    let mut weight = Vec::new();
    for (sign, _) in NEURONS {
        // What the neuron makes of a colour: a ninth for each tap, and noise that adds up to nothing in it.
        let mut colours = [[0.0; 9]; 3];
        for tap in 0..9 {
            let noise = [(); 3].map(|()| random.normal());
            for colour in 0..3 {
                colours[colour][tap] = noise[colour] - noise.iter().sum::<f64>() / 3.0;
            }
        }
        // 1 = |w|² = 27·(1/27)² + |noise|².
        let scale = (26.0_f64 / 27.0).sqrt() / norm(&colours.concat());
        let colours = colours.map(|taps| taps.map(|noise| sign * (noise * scale + 1.0 / 27.0)));
        // The copies share it unevenly.
        let shares: Vec<f64> = (0..copies).map(|_| 1.0 + 0.5 * random.normal()).collect();
        let total: f64 = shares.iter().sum();
        for channel in 0..channels {
            weight.extend(colours[channel % 3].map(|w| w * shares[channel / 3] / total));
        }
    }
    let bias = NEURONS.map(|(_, bias)| bias).to_vec();
    let judged = ReferenceLayer::Convolution { inputs: channels, outputs: NEURONS.len(), weight, bias };
    let mut layers = vec![judged, ReferenceLayer::MaxPool];
    if copies > 1 {
        let mut weight = vec![0.0; channels * 27];
        for channel in 0..channels {
            weight[(channel * 3 + channel % 3) * 9 + 4] = 1.0;
        }
        let bias = vec![0.0; channels];
        layers.insert(0, ReferenceLayer::Convolution { inputs: 3, outputs: channels, weight, bias });
    }
    ReferenceNetwork { layers }
}

/// \[images, 3, height, width\], dark and bright in turn.
fn pixels(batch: usize) -> Vec<f32> {
    let image = |image: usize| {
        let mut random = Random::new((82 + batch * IMAGES + image) as u64);
        (0..3 * AREA).map(|_| (MEANS[image % 2] + random.normal()) as f32).collect::<Vec<f32>>()
    };
    (0..IMAGES).into_par_iter().flat_map_iter(image).collect()
}

/// Float64 sums of one regime of one neuron, of x − 100 and y − 100·Σw.
#[derive(Clone)]
struct Sums {
    count: f64,
    y: f64,
    yy: f64,
    x: Vec<f64>,
    xy: Vec<f64>,
}

const SHIFT: f64 = 100.0;

impl Sums {
    fn nothing(fan_in: usize) -> Self {
        Sums { count: 0.0, y: 0.0, yy: 0.0, x: vec![0.0; fan_in], xy: vec![0.0; fan_in] }
    }

    fn add(&mut self, other: &Sums) {
        self.count += other.count;
        self.y += other.y;
        self.yy += other.yy;
        for k in 0..self.x.len() {
            self.x[k] += other.x[k];
            self.xy[k] += other.xy[k];
        }
    }
}

/// Positive and negative sums of every neuron, and the nearest that a z came to its threshold.
struct Expected {
    regimes: Vec<[Sums; 2]>,
    closest: f64,
}

impl Expected {
    fn nothing(fan_in: usize) -> Self {
        let regimes = NEURONS.map(|_| [Sums::nothing(fan_in), Sums::nothing(fan_in)]).to_vec();
        Expected { regimes, closest: f64::INFINITY }
    }

    fn add(&mut self, other: &Expected) {
        self.closest = self.closest.min(other.closest);
        for (sums, other) in self.regimes.iter_mut().flatten().zip(other.regimes.iter().flatten()) {
            sums.add(other);
        }
    }

    /// Adds a row of an image.
    fn add_row(&mut self, weight: &[f64], image: &[f32], y: usize) {
        let (height, width) = SIZE;
        let fan_in = weight.len() / NEURONS.len();
        let mut patch = vec![0.0; fan_in];
        for x in 0..width {
            for (k, value) in patch.iter_mut().enumerate() {
                let (colour, ky, kx) = (k / 9 % 3, k % 9 / 3, k % 3);
                let inside = (1..=height).contains(&(y + ky)) && (1..=width).contains(&(x + kx));
                let at = || colour * AREA + (y + ky - 1) * width + x + kx - 1;
                *value = if inside { f64::from(image[at()]) } else { 0.0 };
            }
            for (neuron, (_, bias)) in NEURONS.iter().enumerate() {
                let w = &weight[neuron * fan_in..][..fan_in];
                let response: f64 = w.iter().zip(&patch).map(|(w, x)| w * x).sum();
                let z = response + bias;
                self.closest = self.closest.min(z.abs());
                let sums = &mut self.regimes[neuron][usize::from(z <= 0.0)];
                let y = response - SHIFT * w.iter().sum::<f64>();
                sums.count += 1.0;
                sums.y += y;
                sums.yy += y * y;
                for k in 0..fan_in {
                    sums.x[k] += patch[k] - SHIFT;
                    sums.xy[k] += (patch[k] - SHIFT) * y;
                }
            }
        }
    }

    fn of(weight: &[f64], batches: &[Vec<f32>]) -> Self {
        let fan_in = weight.len() / NEURONS.len();
        let rows = |image: &[f32]| {
            let row = |y| {
                let mut row = Expected::nothing(fan_in);
                row.add_row(weight, image, y);
                row
            };
            (0..SIZE.0).into_par_iter().map(row).collect::<Vec<_>>()
        };
        let mut total = Expected::nothing(fan_in);
        for image in batches.iter().flat_map(|batch| batch.chunks_exact(3 * AREA)) {
            rows(image).iter().for_each(|row| total.add(row));
        }
        total
    }

    /// a from shifted sums: E\[xy\] − E\[x\]·ȳ does not change with a shift of y, and with one of x only by shift · (E\[y\] − ȳ).
    fn pattern(
        &self,
        weight: &[f64],
        neuron: usize,
        component: ReferenceComponent,
        centering: ReferenceCentering,
    ) -> Option<Vec<f64>> {
        let [positive, negative] = &self.regimes[neuron];
        let mut all = positive.clone();
        all.add(negative);
        let sums = match component {
            ReferenceComponent::Positive => positive,
            ReferenceComponent::Negative => negative,
            ReferenceComponent::Linear => &all,
        };
        let mean = match centering {
            ReferenceCentering::Global => all.y / all.count,
            ReferenceCentering::Regime => sums.y / sums.count,
        };
        let fan_in = sums.x.len();
        let numerator: Vec<f64> = (0..fan_in)
            .map(|k| sums.xy[k] - sums.x[k] * mean + SHIFT * (sums.y - sums.count * mean))
            .collect();
        let weight = &weight[neuron * fan_in..][..fan_in];
        let denominator: f64 = weight.iter().zip(&numerator).map(|(w, n)| w * n).sum();
        (denominator > 0.0).then(|| numerator.iter().map(|n| n / denominator).collect())
    }
}

/// ‖a − a′‖/‖a′‖ of all patterns, at most 10⁻⁶.
///
/// The linear pattern's numerator holds (ȳ₊ − ȳ₋)·Σ₊x, as the negative patches are all less the positive ones. An error of Σ₊x that is
/// `left_over` relative to it is allowed there.
fn compare(moments: &LayerMoments, weight: &[f64], expected: &Expected, left_over: f64) {
    let mut compared = 0;
    for neuron in 0..NEURONS.len() {
        for (component, centering) in ALL {
            let [positive, negative] = &expected.regimes[neuron];
            let expected = expected.pattern(weight, neuron, component, centering);
            let got = learned::pattern(moments, weight, neuron, component, centering);
            let (Some(got), Some(expected)) = (&got, &expected) else {
                // Globally centred, y of the border lies on the other side of the mean than its sign says.
                assert!(got.is_none() && expected.is_none(), "neuron {neuron}, {component:?}, {centering:?}");
                continue;
            };
            let difference: Vec<f64> = got.iter().zip(expected).map(|(got, exact)| got - exact).collect();
            let error = norm(&difference) / norm(expected);
            let mut bound = 1e-6;
            if component == ReferenceComponent::Linear {
                let (means, count) =
                    (positive.y / positive.count - negative.y / negative.count, positive.count);
                let x: Vec<f64> = positive.x.iter().map(|x| x + SHIFT * count).collect();
                // a = numerator / Σ(y − ȳ)².
                let y = positive.y + negative.y;
                let squares = positive.yy + negative.yy - y * y / (positive.count + negative.count);
                bound += left_over * means.abs() * norm(&x) / (norm(expected) * squares);
            }
            println!("neuron {neuron}, {component:?}, {centering:?}: {error:.1e} of {bound:.1e}");
            assert!(error <= bound, "neuron {neuron}, {component:?}, {centering:?}: {error:e} of {bound:e}");
            compared += 1;
        }
    }
    assert!(compared >= 3 * NEURONS.len(), "{compared} patterns compared");
}

fn keeps_six_digits(copies: usize, batches: usize, positions: usize, left_over: f64) {
    let case = Case::new(network(copies), ElementType::F32);
    let layer = case.network.parametric_layers().len() - 1;
    // Rounded to float32, as the engine has them.
    let weight = case.network.parametric_layers()[layer].weight;
    let batches: Vec<Vec<f32>> = (0..batches).map(pixels).collect();
    let expected = Expected::of(weight, &batches);
    assert!(expected.closest > 0.01, "a z of {:e} leaves its regime open", expected.closest);
    let [bright, _] = &expected.regimes[1];
    let mean = bright.y / bright.count;
    let spread = (bright.yy / bright.count - mean * mean).sqrt();
    assert!((SHIFT + mean) / spread > 100.0, "mean {}, spread {spread}", SHIFT + mean);

    let backend = case.backend(0);
    let mut learner = backend.learn(Moments::zeros(case.weights.network(), false)).expect("memory");
    let mut add_all = || {
        for pixels in &batches {
            let pixels = Pixels::Normalised(pixels);
            let batch = Batch { images: IMAGES, height: SIZE.0, width: SIZE.1, pixels };
            let failures = learner.add(&batch).expect("can run");
            assert!(failures.iter().all(Option::is_none));
        }
        learner.moments().expect("a CPU does not fail").layers[layer].clone()
    };
    let once = (batches.len() * IMAGES * AREA) as f64;
    let rounds = (positions as f64 / once).ceil();
    let first = add_all();
    let mut last = first.clone();
    for _ in 1..rounds as usize {
        last = add_all();
    }
    for (moments, rounds) in [(&first, 1.0), (&last, rounds)] {
        assert_eq!(moments.positions, rounds * once);
        for (neuron, [positive, _]) in expected.regimes.iter().enumerate() {
            assert_eq!(moments.positive_count[neuron], rounds * positive.count, "neuron {neuron}");
        }
        println!("{copies} copies, {:.2e} positions", moments.positions);
        compare(moments, weight, &expected, left_over);
    }
}

#[test]
fn a_hundred_million_offset_positions_keep_six_digits() {
    keeps_six_digits(1, 6, 100_000_000, 0.0);
}

/// Σ₊x may be as wrong as one rounding to float32.
#[test]
fn offset_positions_of_many_channels_keep_six_digits() {
    keeps_six_digits(7, 2, 4_000_000, 2f64.powi(-24));
}
