//! Patterns by their definition: every patch written out, means first, then centred sums.

use rayon::prelude::*;

use super::forward::Trace;
use super::network::{ReferenceLayer, ReferenceNetwork};

/// What one convolution or dense layer saw and said at all positions of some images; of a dense layer, one an image.
#[derive(Clone, Debug)]
pub struct Positions {
    /// Number of positions.
    pub count: usize,
    /// Weights of a neuron.
    pub fan_in: usize,
    /// Neurons.
    pub outputs: usize,
    /// The patches under the weights, `[count][fan_in]`, each in the order of a neuron's weights, zero padding included.
    pub x: Vec<f64>,
    /// wᵀx without the bias, `[count][outputs]`.
    pub y: Vec<f64>,
    /// wᵀx + b > 0, `[count][outputs]`.
    pub positive: Vec<bool>,
}

/// The estimators that are learnt from images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceComponent {
    /// Over the positions with wᵀx + b > 0.
    Positive,
    /// Over the others.
    Negative,
    /// Over all.
    Linear,
}

/// Which mean of y the two-component estimators subtract; the linear one knows one mean only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceCentering {
    /// Over all positions.
    Global,
    /// Over the regime's.
    Regime,
}

/// Plain sums over the positions, those of x and y `[outputs][fan_in]`, the others `[outputs]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceMoments {
    /// Σx over all positions, `[fan_in]`.
    pub x: Vec<f64>,
    pub positive: RegimeMoments,
    pub negative: RegimeMoments,
}

/// Of one regime.
#[derive(Clone, Debug, PartialEq)]
pub struct RegimeMoments {
    pub count: Vec<f64>,
    pub y: Vec<f64>,
    pub yy: Vec<f64>,
    pub x: Vec<f64>,
    pub xy: Vec<f64>,
}

impl ReferenceNetwork {
    /// All positions of the convolution or dense layer number `index` (from 0), of images and their traces in turn.
    pub fn positions(&self, index: usize, images: &[(&[f64], &Trace)]) -> Positions {
        let parametric: Vec<usize> = (0..self.layers.len())
            .filter(|&at| {
                matches!(self.layers[at], ReferenceLayer::Convolution { .. } | ReferenceLayer::Dense { .. })
            })
            .collect();
        let at = parametric[index];
        let (fan_in, outputs, weight) = match &self.layers[at] {
            ReferenceLayer::Convolution { inputs, outputs, weight, .. } => (inputs * 9, *outputs, weight),
            ReferenceLayer::Dense { inputs, outputs, weight, .. } => (*inputs, *outputs, weight),
            _ => unreachable!("filtered"),
        };
        let mut positions =
            Positions { count: 0, fan_in, outputs, x: Vec::new(), y: Vec::new(), positive: Vec::new() };
        for (image, trace) in images {
            let (input, shape) = match at {
                0 => (*image, trace.image_shape),
                _ => (trace.layers[at - 1].output.as_slice(), trace.layers[at - 1].shape),
            };
            let [_, height, width] = match &self.layers[at] {
                ReferenceLayer::Convolution { .. } => shape,
                _ => [shape[0], 1, 1],
            };
            for y in 0..height {
                for x in 0..width {
                    match &self.layers[at] {
                        ReferenceLayer::Convolution { .. } => {
                            push_patch(&mut positions.x, input, shape, y, x)
                        }
                        _ => positions.x.extend_from_slice(input),
                    }
                    for neuron in 0..outputs {
                        let z = trace.layers[at].pre_activation[(neuron * height + y) * width + x];
                        positions.positive.push(z > 0.0);
                    }
                }
            }
            positions.count += height * width;
        }
        positions.y = vec![0.0; positions.count * outputs];
        let patches = positions.x.par_chunks_exact(fan_in);
        positions.y.par_chunks_exact_mut(outputs).zip(patches).for_each(|(y, patch)| {
            for neuron in 0..outputs {
                y[neuron] = product(&weight[neuron * fan_in..][..fan_in], patch);
            }
        });
        positions
    }
}

/// Channel, row, column of the 3×3 around a position; zeros outside the map.
fn push_patch(
    patches: &mut Vec<f64>,
    map: &[f64],
    [channels, height, width]: [usize; 3],
    y: usize,
    x: usize,
) {
    for c in 0..channels {
        for ky in 0..3 {
            for kx in 0..3 {
                let inside = (1..=height).contains(&(y + ky)) && (1..=width).contains(&(x + kx));
                patches.push(if inside { map[(c * height + y + ky - 1) * width + x + kx - 1] } else { 0.0 });
            }
        }
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Positions {
    /// Takes the regimes from somebody else's z = y + b, `[count][outputs]`.
    pub fn with_regimes_of(mut self, z: &[f32]) -> Self {
        assert_eq!(z.len(), self.positive.len(), "z");
        self.positive = z.iter().map(|&z| z > 0.0).collect();
        self
    }

    /// The positions that a component of a neuron is summed over.
    pub fn of(&self, component: ReferenceComponent, neuron: usize) -> Vec<usize> {
        (0..self.count)
            .filter(|&at| match component {
                ReferenceComponent::Positive => self.positive[at * self.outputs + neuron],
                ReferenceComponent::Negative => !self.positive[at * self.outputs + neuron],
                ReferenceComponent::Linear => true,
            })
            .collect()
    }

    /// The mean of a neuron's y over some positions.
    pub fn mean_y(&self, positions: impl ExactSizeIterator<Item = usize>, neuron: usize) -> f64 {
        let count = positions.len() as f64;
        positions.map(|at| self.y[at * self.outputs + neuron]).sum::<f64>() / count
    }

    /// The mean patch over some positions.
    pub fn mean_x(&self, positions: &[usize]) -> Vec<f64> {
        let mut mean = vec![0.0; self.fan_in];
        for &at in positions {
            for k in 0..self.fan_in {
                mean[k] += self.x[at * self.fan_in + k];
            }
        }
        mean.iter().map(|sum| sum / positions.len() as f64).collect()
    }

    /// A neuron's pattern a with wᵀa = 1, `[fan_in]`; `None` where it has none.
    ///
    /// With E over the positions of the component, a = (E\[xy\] − E\[x\]·ȳ) / wᵀ(E\[xy\] − E\[x\]·ȳ). There is none of fewer than two
    /// positions, or where the denominator is at most 10⁻¹⁰·E\[y²\].
    pub fn pattern(
        &self,
        weight: &[f64],
        neuron: usize,
        component: ReferenceComponent,
        centering: ReferenceCentering,
    ) -> Option<Vec<f64>> {
        assert_eq!(weight.len(), self.outputs * self.fan_in, "weight");
        let chosen = self.of(component, neuron);
        if chosen.len() < 2 {
            return None;
        }
        // E[xy] − E[x]·ȳ = E[(x − x̄)(y − ȳ)] where ȳ is the mean over the same positions, E[x(y − ȳ)] for any ȳ.
        let (mean_x, mean_y) = match (component, centering) {
            (ReferenceComponent::Linear, _) | (_, ReferenceCentering::Regime) => {
                (self.mean_x(&chosen), self.mean_y(chosen.iter().copied(), neuron))
            }
            (_, ReferenceCentering::Global) => (vec![0.0; self.fan_in], self.mean_y(0..self.count, neuron)),
        };
        let mut numerator = vec![0.0; self.fan_in];
        let mut squares = 0.0;
        for &at in &chosen {
            let y = self.y[at * self.outputs + neuron];
            let x = &self.x[at * self.fan_in..][..self.fan_in];
            squares += y * y;
            for k in 0..self.fan_in {
                numerator[k] += (x[k] - mean_x[k]) * (y - mean_y);
            }
        }
        let denominator = product(&weight[neuron * self.fan_in..][..self.fan_in], &numerator);
        (denominator > 1e-10 * squares).then(|| numerator.iter().map(|sum| sum / denominator).collect())
    }

    /// The plain sums.
    pub fn moments(&self) -> ReferenceMoments {
        self.sums(|value| value)
    }

    /// The same sums of |x| and |y|: what rounding errors of the plain ones are in proportion to.
    pub fn absolute_moments(&self) -> ReferenceMoments {
        self.sums(f64::abs)
    }

    fn sums(&self, value: impl Fn(f64) -> f64 + Sync) -> ReferenceMoments {
        let mut x = vec![0.0; self.fan_in];
        for patch in self.x.chunks_exact(self.fan_in) {
            for k in 0..self.fan_in {
                x[k] += value(patch[k]);
            }
        }
        let regime = |component| {
            let neurons: Vec<_> = (0..self.outputs)
                .into_par_iter()
                .map(|neuron| {
                    let chosen = self.of(component, neuron);
                    let (mut y_sum, mut yy_sum) = (0.0, 0.0);
                    let (mut x_sum, mut xy_sum) = (vec![0.0; self.fan_in], vec![0.0; self.fan_in]);
                    for &at in &chosen {
                        let y = value(self.y[at * self.outputs + neuron]);
                        y_sum += y;
                        yy_sum += y * y;
                        for k in 0..self.fan_in {
                            let x = value(self.x[at * self.fan_in + k]);
                            x_sum[k] += x;
                            xy_sum[k] += x * y;
                        }
                    }
                    (chosen.len() as f64, y_sum, yy_sum, x_sum, xy_sum)
                })
                .collect();
            RegimeMoments {
                count: neurons.iter().map(|neuron| neuron.0).collect(),
                y: neurons.iter().map(|neuron| neuron.1).collect(),
                yy: neurons.iter().map(|neuron| neuron.2).collect(),
                x: neurons.iter().flat_map(|neuron| neuron.3.iter().copied()).collect(),
                xy: neurons.iter().flat_map(|neuron| neuron.4.iter().copied()).collect(),
            }
        };
        ReferenceMoments {
            x,
            positive: regime(ReferenceComponent::Positive),
            negative: regime(ReferenceComponent::Negative),
        }
    }
}
