//! Data that are the sum of a signal and a distractor, the filter that tells them apart, and the pattern of it.

use std::f64::consts::TAU;

use vggx::backend::LayerMoments;
use vggx::patterns::{Centering, Component, Outcome, solve_neuron};

pub type Vector = [f64; 2];

/// x = s + d with the signal s = a_s y, y uniform in \[−1, 1\], and the distractor d = a_d ε, ε ~ N(ν, σ²).
#[derive(Clone, Copy)]
pub struct LinearModel {
    /// a_s.
    pub signal: Vector,
    /// a_d, in another direction.
    pub distractor: Vector,
    /// ν.
    pub mean: f64,
    /// σ.
    pub deviation: f64,
}

/// One point of the data.
#[derive(Clone, Copy)]
pub struct Sample {
    pub y: f64,
    pub signal: Vector,
    /// x, the only thing that is seen.
    pub data: Vector,
}

/// What was learnt from samples of a model.
pub struct Scene {
    pub model: LinearModel,
    pub samples: Vec<Sample>,
    /// The filter w.
    pub filter: Vector,
    /// The linear pattern a.
    pub pattern: Vector,
}

/// Draws samples, learns the filter by least squares and solves its linear pattern.
pub fn learn(model: LinearModel, count: usize, seed: u64) -> Result<Scene, String> {
    let samples = model.draw(count, seed);
    let filter = least_squares(&samples);
    let pattern = solve(&moments(&samples, filter), filter, Component::Linear, Centering::Global)?;
    Ok(Scene { model, samples, filter, pattern })
}

impl LinearModel {
    pub fn draw(&self, count: usize, seed: u64) -> Vec<Sample> {
        let mut state = seed;
        let mut sample = || {
            let y = 2.0 * uniform(&mut state) - 1.0;
            // Box & Muller 1958; 1 − u is never 0.
            let radius = (-2.0 * (1.0 - uniform(&mut state)).ln()).sqrt();
            let epsilon = self.mean + self.deviation * radius * (TAU * uniform(&mut state)).cos();
            let signal = scaled(self.signal, y);
            Sample { y, signal, data: sum(signal, scaled(self.distractor, epsilon)) }
        };
        (0..count).map(|_| sample()).collect()
    }
}

/// The w that minimises Σ(wᵀx − y)², from the normal equations (Σxxᵀ) w = Σxy.
pub fn least_squares(samples: &[Sample]) -> Vector {
    let (mut xx, mut xy) = ([0.0; 3], [0.0; 2]);
    for Sample { data: [first, second], y, .. } in samples {
        for (sum, product) in xx.iter_mut().zip([first * first, first * second, second * second]) {
            *sum += product;
        }
        xy = sum(xy, [first * y, second * y]);
    }
    let determinant = xx[0] * xx[2] - xx[1] * xx[1];
    scaled([xx[2] * xy[0] - xx[1] * xy[1], xx[0] * xy[1] - xx[1] * xy[0]], 1.0 / determinant)
}

/// The moments of a dense layer of one neuron with the weights w and no bias, every sample a position.
///
/// A backend sums them in a network; here they are plain enough to be summed by hand.
pub fn moments(samples: &[Sample], filter: Vector) -> LayerMoments {
    let mut positive = Regime::default();
    let mut negative = Regime::default();
    for sample in samples {
        let response = dot(filter, sample.data);
        (if response > 0.0 { &mut positive } else { &mut negative }).add(sample.data, response);
    }
    LayerMoments {
        name: "classifier.0".to_owned(),
        shape: vec![1, 2],
        positions: positive.count + negative.count,
        x: sum(positive.x, negative.x).to_vec(),
        positive_count: vec![positive.count],
        positive_y: vec![positive.y],
        positive_yy: vec![positive.yy],
        negative_y: vec![negative.y],
        negative_yy: vec![negative.yy],
        positive_x: positive.x.to_vec(),
        positive_xy: positive.xy.to_vec(),
        negative_xy: negative.xy.to_vec(),
        second: None,
    }
}

/// Sums over the positions where the response is positive, or where it is not.
#[derive(Default)]
struct Regime {
    count: f64,
    y: f64,
    yy: f64,
    x: Vector,
    xy: Vector,
}

impl Regime {
    fn add(&mut self, data: Vector, response: f64) {
        self.count += 1.0;
        self.y += response;
        self.yy += response * response;
        self.x = sum(self.x, data);
        self.xy = sum(self.xy, scaled(data, response));
    }
}

/// The neuron's pattern, as the library solves it.
pub fn solve(
    moments: &LayerMoments,
    filter: Vector,
    component: Component,
    centering: Centering,
) -> Result<Vector, String> {
    let mut pattern = [0.0; 2];
    match solve_neuron(moments, 0, &filter, component, centering, &mut pattern).outcome {
        Outcome::Pattern => Ok(pattern),
        none => Err(format!("the neuron has no {component} pattern: {none:?}")),
    }
}

impl Scene {
    /// S_x(x) = x.
    pub fn identity(&self, data: Vector) -> Vector {
        data
    }

    /// S_w(x) = w wᵀx / wᵀw.
    pub fn filter(&self, data: Vector) -> Vector {
        scaled(self.filter, dot(self.filter, data) / dot(self.filter, self.filter))
    }

    /// S_a(x) = a wᵀx.
    pub fn linear(&self, data: Vector) -> Vector {
        scaled(self.pattern, dot(self.filter, data))
    }

    /// How far S_x, S_w and S_a miss the signal, as [`error`] has it.
    pub fn errors(&self) -> [f64; 3] {
        [
            error(&self.samples, |data| self.identity(data)),
            error(&self.samples, |data| self.filter(data)),
            error(&self.samples, |data| self.linear(data)),
        ]
    }
}

/// √(Σ|S(x) − s|² / Σ|s|²).
pub fn error(samples: &[Sample], estimate: impl Fn(Vector) -> Vector) -> f64 {
    let (mut missed, mut whole) = (0.0, 0.0);
    for sample in samples {
        let difference = sum(estimate(sample.data), scaled(sample.signal, -1.0));
        missed += dot(difference, difference);
        whole += dot(sample.signal, sample.signal);
    }
    (missed / whole).sqrt()
}

pub fn dot(left: Vector, right: Vector) -> f64 {
    left[0] * right[0] + left[1] * right[1]
}

pub fn sum(left: Vector, right: Vector) -> Vector {
    [left[0] + right[0], left[1] + right[1]]
}

pub fn scaled(vector: Vector, factor: f64) -> Vector {
    vector.map(|element| element * factor)
}

/// SplitMix64 (Steele, Lea & Flood 2014), in \[0, 1).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 * 2f64.powi(-53)
}
