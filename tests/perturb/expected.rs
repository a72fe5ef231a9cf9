//! Curves as their definition has them, in float64, one image and copy at a time.

use vggx::evaluate::perturb::{Curve, Mode, Order, Replacement};
use vggx::explain::{Kind, Method};
use vggx::network::Preprocessing;

use crate::reference::{Random, Trace};
use crate::support::Case;

/// An image cut into patches.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub height: usize,
    pub width: usize,
    pub side: usize,
}

impl Cut {
    pub fn patches(self) -> usize {
        self.height.div_ceil(self.side) * self.width.div_ceil(self.side)
    }

    /// The patch of a value of \[channels, height, width\].
    pub fn patch_of(self, value: usize) -> usize {
        let (row, column) = (value / self.width % self.height, value % self.width);
        row / self.side * self.width.div_ceil(self.side) + column / self.side
    }

    /// The sum over each patch.
    pub fn sums(self, map: &[f64], absolute: bool) -> Vec<f64> {
        let mut sums = vec![0.0; self.patches()];
        for (at, value) in map.iter().enumerate() {
            sums[self.patch_of(at)] += if absolute { value.abs() } else { *value };
        }
        sums
    }
}

/// SplitMix64's output for a state.
fn scatter(state: u64) -> u64 {
    Random::new(state).next_u64()
}

/// Patches in the order of the curve: by relevance, or by 64 bits each that belong to the image's name.
pub fn order(
    case: &Case,
    cut: Cut,
    curve: Curve,
    traced: (&Trace, &[f64]),
    seed: u64,
    name: &str,
) -> Vec<usize> {
    let (trace, input) = traced;
    let mut patches: Vec<usize> = (0..cut.patches()).collect();
    match curve {
        Curve::Random => {
            let stream = name.bytes().fold(scatter(seed), |stream, byte| scatter(stream ^ u64::from(byte)));
            let mut random = Random::new(stream);
            let keys: Vec<u64> = patches.iter().map(|_| random.next_u64()).collect();
            patches.sort_by_key(|&patch| keys[patch]);
        }
        Curve::Method(method, order) => {
            let sums = relevance(case, cut, method, trace, input);
            // Stable: equal ones stay in scan order.
            patches.sort_by(|&one, &other| match order {
                Order::Most => sums[other].total_cmp(&sums[one]),
                Order::Least => sums[one].total_cmp(&sums[other]),
            });
        }
    }
    patches
}

/// The relevance in each patch.
pub fn relevance(case: &Case, cut: Cut, method: Method, trace: &Trace, input: &[f64]) -> Vec<f64> {
    let map = case.expected(method, trace, input, trace.top1());
    cut.sums(&map, method.kind() == Kind::Signal)
}

/// The image with all patches replaced; noise is taken from the engine, which only it can know.
pub fn replaced(
    replacement: Replacement,
    input: &[f64],
    cut: Cut,
    preprocessing: &Preprocessing,
    seed: u64,
    name: &str,
) -> Vec<f64> {
    let plane = cut.height * cut.width;
    (0..input.len())
        .map(|at| {
            let channel = at / plane;
            match replacement {
                Replacement::Mean => {
                    let own = (0..input.len())
                        .filter(|&other| other / plane == channel && cut.patch_of(other) == cut.patch_of(at));
                    let values: Vec<f64> = own.map(|other| input[other]).collect();
                    values.iter().sum::<f64>() / values.len() as f64
                }
                Replacement::Black => {
                    -f64::from(preprocessing.mean[channel]) / f64::from(preprocessing.std[channel])
                }
                Replacement::DatasetMean => 0.0,
                Replacement::Blur => {
                    let (mut sum, mut total) = (0.0, 0.0);
                    let (y, x) = (at / cut.width % cut.height, at % cut.width);
                    for v in y.saturating_sub(5)..(y + 6).min(cut.height) {
                        for u in x.saturating_sub(5)..(x + 6).min(cut.width) {
                            let square = (v.abs_diff(y).pow(2) + u.abs_diff(x).pow(2)) as f64;
                            let weight = (-square / 50.0).exp();
                            sum += weight * input[channel * plane + v * cut.width + u];
                            total += weight;
                        }
                    }
                    sum / total
                }
                Replacement::Noise => {
                    let image: Vec<f32> = input.iter().map(|&value| value as f32).collect();
                    let size = (cut.height, cut.width);
                    let noise = replacement.image(&image, size, preprocessing, seed, name);
                    f64::from(noise.expect("noise")[at])
                }
            }
        })
        .collect()
}

/// f after each count of patches.
pub fn curve(
    case: &Case,
    cut: Cut,
    mode: Mode,
    (input, filling): (&[f64], &[f64]),
    order: &[usize],
    counts: &[usize],
    target: usize,
) -> Vec<f64> {
    let whole = case.network.forward(input, cut.height, cut.width).responses[target];
    let value = |&count: &usize| {
        let turned = &order[..count];
        let altered: Vec<f64> = (0..input.len())
            .map(|at| {
                let had_its_turn = turned.contains(&cut.patch_of(at));
                let is_replaced = had_its_turn != (mode == Mode::Insertion);
                if is_replaced { filling[at] } else { input[at] }
            })
            .collect();
        let responses = case.network.forward(&altered, cut.height, cut.width).responses;
        if case.network.is_headless() {
            return responses[target] / whole;
        }
        let largest = responses.iter().fold(f64::NEG_INFINITY, |largest, &response| largest.max(response));
        let total: f64 = responses.iter().map(|response| (response - largest).exp()).sum();
        (responses[target] - largest).exp() / total
    };
    counts.iter().map(value).collect()
}
