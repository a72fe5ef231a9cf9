//! Sums stay accurate however many images there are: 10⁸ positions whose offsets are a hundred times their spread.
//!
//! Pixels are 94 or 106 plus a standard normal, image by image, and |w| = Σw = 1 (or −1), so that y is 94 or 106 (or the negative) with a
//! spread of 1. Each threshold lies 6 spreads from either, or below both, so that no rounding of z changes a regime. Patches at the border,
//! where padding takes a third of the offset away or more, fall into the regime of the darker images. So one regime of most neurons holds
//! nothing but positions with offset/spread = 106 in every element of x and in y.
//!
//! A few images are summed again and again: a sum that cannot tell makes the same errors again, and none average out.

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
const FAN_IN: usize = 27;
const OUTPUTS: usize = 4;
const BATCHES: usize = 6;
const IMAGES: usize = 4;
const POSITIONS: usize = 100_000_000;
/// Added to a bright image and subtracted from a dark one.
const OFFSETS: [f64; 2] = [94.0, 106.0];

/// One convolution and the pool that a network ends with. Of each neuron Σw = |w| = 1, and every tap's sum over the channels is a
/// ninth; then the sign.
fn network() -> ReferenceNetwork {
    let mut random = Random::new(81);
    // Everything inside positive; bright inside positive; the same of −w, with the regimes changed.
    let neurons = [(1.0, -80.0), (1.0, -100.0), (-1.0, 100.0), (-1.0, 80.0)];
    let mut weight = vec![0.0; OUTPUTS * FAN_IN];
    for (w, (sign, _)) in weight.chunks_exact_mut(FAN_IN).zip(neurons) {
        for tap in 0..9 {
            let noise = [(); 3].map(|()| random.normal());
            let mean = noise.iter().sum::<f64>() / 3.0;
            for channel in 0..3 {
                w[channel * 9 + tap] = noise[channel] - mean;
            }
        }
        // 1 = |w|² = 27·(1/27)² + |noise|².
        let scale = (26.0_f64 / 27.0).sqrt() / norm(w);
        w.iter_mut().for_each(|w| *w = sign * (*w * scale + 1.0 / 27.0));
    }
    let bias = neurons.map(|(_, bias)| bias).to_vec();
    ReferenceNetwork {
        layers: vec![
            ReferenceLayer::Convolution { inputs: 3, outputs: OUTPUTS, weight, bias },
            ReferenceLayer::MaxPool,
        ],
    }
}

/// \[images, 3, height, width\], dark and bright in turn.
fn pixels(batch: usize) -> Vec<f32> {
    let image = |image: usize| {
        let mut random = Random::new((82 + batch * IMAGES + image) as u64);
        (0..3 * AREA).map(|_| (OFFSETS[image % 2] + random.normal()) as f32).collect::<Vec<f32>>()
    };
    (0..IMAGES).into_par_iter().flat_map_iter(image).collect()
}

/// Float64 sums of one regime of one neuron, of x − 100 and y − 100·Σw.
#[derive(Clone)]
struct Sums {
    count: f64,
    y: f64,
    yy: f64,
    x: [f64; FAN_IN],
    xy: [f64; FAN_IN],
}

/// Positive and negative.
type Regimes = [[Sums; 2]; OUTPUTS];

const NOTHING: Sums = Sums { count: 0.0, y: 0.0, yy: 0.0, x: [0.0; FAN_IN], xy: [0.0; FAN_IN] };
const SHIFT: f64 = 100.0;

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.count += other.count;
        self.y += other.y;
        self.yy += other.yy;
        for k in 0..FAN_IN {
            self.x[k] += other.x[k];
            self.xy[k] += other.xy[k];
        }
    }
}

/// Adds the rows of a batch: the nearest a z came to its threshold is returned.
fn sum(weight: &[f64], bias: &[f64], pixels: &[f32], regimes: &mut Regimes) -> f64 {
    let (height, width) = SIZE;
    let rows: Vec<(Regimes, f64)> = (0..IMAGES * height)
        .into_par_iter()
        .map(|row| {
            let (image, y) = (row / height, row % height);
            let planes = &pixels[image * 3 * AREA..][..3 * AREA];
            let mut regimes = [const { [NOTHING; 2] }; OUTPUTS];
            let mut closest = f64::INFINITY;
            for x in 0..width {
                let mut patch = [0.0; FAN_IN];
                for (k, value) in patch.iter_mut().enumerate() {
                    let (channel, ky, kx) = (k / 9, k % 9 / 3, k % 3);
                    if (1..=height).contains(&(y + ky)) && (1..=width).contains(&(x + kx)) {
                        *value = f64::from(planes[channel * AREA + (y + ky - 1) * width + x + kx - 1]);
                    }
                }
                for neuron in 0..OUTPUTS {
                    let w = &weight[neuron * FAN_IN..][..FAN_IN];
                    let (mut response, mut total) = (0.0, 0.0);
                    for k in 0..FAN_IN {
                        response += w[k] * patch[k];
                        total += w[k];
                    }
                    let z = response + bias[neuron];
                    closest = closest.min(z.abs());
                    let sums = &mut regimes[neuron][usize::from(z <= 0.0)];
                    let y = response - SHIFT * total;
                    sums.count += 1.0;
                    sums.y += y;
                    sums.yy += y * y;
                    for k in 0..FAN_IN {
                        sums.x[k] += patch[k] - SHIFT;
                        sums.xy[k] += (patch[k] - SHIFT) * y;
                    }
                }
            }
            (regimes, closest)
        })
        .collect();
    let mut closest = f64::INFINITY;
    for (row, row_closest) in &rows {
        closest = closest.min(*row_closest);
        for (regimes, row) in regimes.iter_mut().flatten().zip(row.iter().flatten()) {
            regimes.add(row);
        }
    }
    closest
}

/// a from shifted sums: E\[xy\] − E\[x\]·ȳ does not change with a shift of y, and with one of x only by shift · (E\[y\] − ȳ).
fn expected(
    weight: &[f64],
    [positive, negative]: &[Sums; 2],
    component: ReferenceComponent,
    centering: ReferenceCentering,
) -> Option<Vec<f64>> {
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
    let numerator: Vec<f64> =
        (0..FAN_IN).map(|k| sums.xy[k] - sums.x[k] * mean + SHIFT * (sums.y - sums.count * mean)).collect();
    let denominator: f64 = weight.iter().zip(&numerator).map(|(w, n)| w * n).sum();
    (denominator > 0.0).then(|| numerator.iter().map(|n| n / denominator).collect())
}

/// ‖a − a′‖/‖a′‖, the largest over all patterns.
fn worst_error(moments: &LayerMoments, weight: &[f64], regimes: &Regimes, round: &str) -> f64 {
    let (mut worst, mut compared) = (0.0_f64, 0);
    for neuron in 0..OUTPUTS {
        for (component, centering) in ALL {
            let w = &weight[neuron * FAN_IN..][..FAN_IN];
            let expected = expected(w, &regimes[neuron], component, centering);
            let got = learned::pattern(moments, weight, neuron, component, centering);
            let (Some(got), Some(expected)) = (&got, &expected) else {
                // Globally centred, y of the border lies on the other side of the mean than its sign says.
                assert!(got.is_none() && expected.is_none(), "neuron {neuron}, {component:?}, {centering:?}");
                continue;
            };
            let difference: Vec<f64> = got.iter().zip(expected).map(|(got, exact)| got - exact).collect();
            let error = norm(&difference) / norm(expected);
            println!("{round}: neuron {neuron}, {component:?}, {centering:?}: {error:.1e}");
            worst = worst.max(error);
            compared += 1;
        }
    }
    assert!(compared >= 3 * OUTPUTS, "{compared} patterns compared");
    worst
}

#[test]
fn a_hundred_million_offset_positions_keep_six_digits() {
    let case = Case::new(network(), ElementType::F32);
    let ReferenceLayer::Convolution { weight, bias, .. } = &case.network.layers[0] else { unreachable!() };
    let batches: Vec<Vec<f32>> = (0..BATCHES).map(pixels).collect();
    let mut regimes = [const { [NOTHING; 2] }; OUTPUTS];
    let closest =
        batches.iter().map(|batch| sum(weight, bias, batch, &mut regimes)).fold(f64::INFINITY, f64::min);
    // The forward pass rounds z by some 10⁻⁴.
    assert!(closest > 0.01, "a z of {closest:e} leaves its regime open");
    let [bright, _] = &regimes[1];
    let spread = |sum: f64, squares: f64| (squares / bright.count - (sum / bright.count).powi(2)).sqrt();
    let offset = SHIFT + bright.y / bright.count;
    assert!(offset / spread(bright.y, bright.yy) > 100.0, "offset {offset}");

    let backend = case.backend(0);
    let mut learner = backend.learn(Moments::zeros(case.weights.network(), false)).expect("memory");
    let mut add_all = || {
        for pixels in &batches {
            let pixels = Pixels::Normalised(pixels);
            let batch = Batch { images: IMAGES, height: SIZE.0, width: SIZE.1, pixels };
            let failures = learner.add(&batch).expect("can run");
            assert!(failures.iter().all(Option::is_none));
        }
        learner.moments().expect("a CPU does not fail").layers[0].clone()
    };
    let rounds = POSITIONS.div_ceil(BATCHES * IMAGES * AREA);
    let first = add_all();
    let mut last = first.clone();
    for _ in 1..rounds {
        last = add_all();
    }
    assert_eq!(first.positions, (BATCHES * IMAGES * AREA) as f64);
    assert_eq!(last.positions, rounds as f64 * first.positions);
    assert!(last.positions >= POSITIONS as f64);
    for (neuron, [positive, _]) in regimes.iter().enumerate() {
        assert_eq!(first.positive_count[neuron], positive.count);
        assert_eq!(last.positive_count[neuron], rounds as f64 * positive.count);
    }
    let once = worst_error(&first, weight, &regimes, "once");
    let often = worst_error(&last, weight, &regimes, &format!("{rounds} times"));
    println!("{:.2e} positions: once {once:.1e}, {rounds} times {often:.1e}", last.positions);
    assert!(once <= 1e-6, "after {} positions: {once:e}", first.positions);
    assert!(often <= 1e-6, "after {} positions: {often:e}", last.positions);
}
