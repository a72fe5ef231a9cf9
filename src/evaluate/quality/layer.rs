//! All neurons of a layer, block by block.

use std::ops::Range;

use rayon::prelude::*;

use super::candidate::Candidate;
use super::covariance::Covariance;
use super::directions::{Direction, dot, read};
use super::error::QualityError;
use super::factor::Factor;
use super::functional::{BASIS, Products, one_component, two_component};
use super::report::Reason;
use crate::backend::LayerMoments;
use crate::patterns::Component;
use crate::weights::Tensor;

/// Values of a block of neurons, \[neurons, K\]: 64 MiB.
const BLOCK: usize = 1 << 23;

/// Neurons of a block.
pub fn block(fan_in: usize) -> usize {
    (BLOCK / fan_in.max(1)).max(1)
}

/// E\[y²\], or |w|² times the mean variance of the inputs, relative to which a variance of y is none.
const CONSTANT: f64 = 1e-10;

/// ρ where it could be evaluated, and ρ in sample; or why there is neither.
pub type Neuron = Result<(Option<f64>, f64), Reason>;

/// Sums of a layer that are read neuron by neuron.
pub struct NeuronSums<'a>(&'a LayerMoments);

impl<'a> NeuronSums<'a> {
    /// Of Σx, Σy, Σy² and Σ₊xy alone.
    pub fn new(moments: &'a LayerMoments) -> Self {
        NeuronSums(moments)
    }

    /// E\[y₊\].
    fn active_mean(&self, neuron: usize) -> f64 {
        self.0.positive_y[neuron] / self.0.positions
    }

    /// cov\[x, y₊\] of some neurons, \[K\] each, one after the other.
    fn with_active(&self, neurons: Range<usize>) -> Vec<f64> {
        let (fan_in, positions) = (self.0.fan_in(), self.0.positions);
        let mut values = self.0.positive_xy[neurons.start * fan_in..neurons.end * fan_in].to_vec();
        values.par_chunks_mut(fan_in).zip(neurons).for_each(|(values, neuron)| {
            let active = self.active_mean(neuron);
            for (value, x) in values.iter_mut().zip(&self.0.x) {
                *value = (*value - x * active) / positions;
            }
        });
        values
    }

    /// var y₊ from wᵀcov\[x, y₊\] = E\[y₊²\] − E\[y\]E\[y₊\], so that both come of the same sums. The one of all y is taken as
    /// their sum too: an offset of y cancels.
    fn active_variance(&self, neuron: usize, response: f64) -> f64 {
        let active = self.active_mean(neuron);
        let all = active + self.0.negative_y[neuron] / self.0.positions;
        response + active * (all - active)
    }

    /// E\[y²\].
    fn mean_square(&self, neuron: usize) -> f64 {
        (self.0.positive_yy[neuron] + self.0.negative_yy[neuron]) / self.0.positions
    }
}

/// A layer's weights and what was made of its moments.
pub struct Layer<'a> {
    pub number: usize,
    pub weight: Tensor<'a>,
    /// Of the set that v is fitted on.
    pub factor: Factor,
    pub fitted: NeuronSums<'a>,
    /// Of the set that ρ is taken on, where it is another one.
    pub evaluated: Option<(Covariance<'a>, NeuronSums<'a>)>,
}

/// The directions of an estimator: one, or a₋ and a₊.
enum Directions<'a> {
    None,
    One(Direction<'a>),
    Two([Direction<'a>; 2]),
}

/// v of some neurons in the form ũᵀx − τ y₊, and the correlation in sample.
struct Functionals {
    /// \[neurons, K\].
    linear: Vec<f64>,
    tau: Vec<f64>,
    correlations: Vec<Result<f64, Reason>>,
}

/// What all estimators of a block of neurons share.
struct Block {
    neurons: Range<usize>,
    /// w, \[neurons, K\].
    weights: Vec<f64>,
    /// var y on the set that v is fitted on.
    variances: Vec<f64>,
    /// Why a neuron has no ρ, whatever the estimator.
    undefined: Vec<Option<Reason>>,
    /// cov\[x, y₊\] and Σ⁻¹ of it on the set that v is fitted on, where an estimator has two components.
    with_active: Option<(Vec<f64>, Vec<f64>)>,
}

impl<'a> Layer<'a> {
    fn fan_in(&self) -> usize {
        self.weight.shape()[1..].iter().product()
    }

    /// The neurons' ρ, by estimator. `mean_variance` is that of the inputs of the set that v is fitted on.
    ///
    /// # Errors
    /// When an estimator has no patterns of this layer.
    pub fn measure(
        &self,
        name: &str,
        candidates: &[Candidate<'a>],
        mean_variance: f64,
    ) -> Result<Vec<Vec<Neuron>>, QualityError> {
        let directions: Vec<Directions> =
            candidates.iter().map(|&candidate| self.directions(name, candidate)).collect::<Result<_, _>>()?;
        let two = directions.iter().any(|directions| matches!(directions, Directions::Two(_)));
        let outputs = self.weight.shape()[0];
        let mut neurons: Vec<Vec<Neuron>> = vec![Vec::with_capacity(outputs); candidates.len()];
        let size = block(self.fan_in());
        for first in (0..outputs).step_by(size) {
            let block = self.block(first..outputs.min(first + size), two, mean_variance);
            let evaluation = self
                .evaluated
                .as_ref()
                .map(|(covariance, sums)| Evaluation::new(covariance, sums, &block, self.fan_in()));
            for (directions, neurons) in directions.iter().zip(&mut neurons) {
                let functionals = match directions {
                    Directions::None => {
                        neurons.extend(
                            block
                                .undefined
                                .iter()
                                .map(|undefined| Err(undefined.unwrap_or(Reason::NoDistractor))),
                        );
                        continue;
                    }
                    Directions::One(direction) => self.one(&block, *direction),
                    Directions::Two(directions) => self.two(&block, *directions),
                };
                neurons.extend(match &evaluation {
                    Some(evaluation) => evaluation.rho(&functionals),
                    None => functionals
                        .correlations
                        .iter()
                        .map(|correlation| {
                            correlation.map(|correlation| (Some(1.0 - correlation), 1.0 - correlation))
                        })
                        .collect(),
                });
            }
        }
        Ok(neurons)
    }

    fn directions(&self, name: &str, candidate: Candidate<'a>) -> Result<Directions<'a>, QualityError> {
        let pattern = |patterns: &'a crate::patterns::Patterns, component| {
            let tensor = patterns.tensor(component, self.number);
            tensor
                .map(Direction::Pattern)
                .ok_or_else(|| QualityError::NoPattern { layer: name.to_owned(), component })
        };
        Ok(match candidate {
            Candidate::Identity => Directions::None,
            Candidate::Random { seed } => Directions::One(Direction::Random { seed }),
            Candidate::Filter => Directions::One(Direction::Filter),
            Candidate::Linear(patterns) => Directions::One(pattern(patterns, Component::Linear)?),
            Candidate::TwoComponent { patterns, .. } => Directions::Two([
                pattern(patterns, Component::Negative)?,
                pattern(patterns, Component::Positive)?,
            ]),
        })
    }

    fn block(&self, neurons: Range<usize>, two: bool, mean_variance: f64) -> Block {
        let fan_in = self.fan_in();
        let weights = read(self.weight, neurons.clone(), fan_in);
        let variances = self.factor.variances(&weights);
        let with_active = two.then(|| {
            let covariances = self.fitted.with_active(neurons.clone());
            let mut solved = covariances.clone();
            self.factor.solve(&mut solved);
            (covariances, solved)
        });
        let why = |((neuron, weight), variance): ((usize, &[f64]), &f64)| {
            let length = dot(weight, weight);
            let scale = self.fitted.mean_square(neuron).max(length * mean_variance);
            if length == 0.0 {
                Some(Reason::NoWeights)
            } else if *variance > CONSTANT * scale && variance.is_finite() {
                // With one input d = x − a w x = 0.
                (fan_in == 1).then_some(Reason::NoDistractor)
            } else {
                Some(Reason::ConstantResponse)
            }
        };
        let undefined = neurons.clone().zip(weights.chunks(fan_in)).zip(&variances).map(why).collect();
        Block { neurons, weights, variances, undefined, with_active }
    }

    fn scaled(&self, block: &Block, direction: Direction) -> (Vec<f64>, Vec<bool>) {
        direction.scaled(self.number, block.neurons.clone(), &block.weights, self.fan_in())
    }

    /// One component: v = Σ⁻¹a.
    fn one(&self, block: &Block, direction: Direction) -> Functionals {
        let fan_in = self.fan_in();
        let (directions, held) = self.scaled(block, direction);
        let mut linear = directions.clone();
        self.factor.solve(&mut linear);
        let neuron = |(index, linear): (usize, &mut [f64])| {
            let reason = block.undefined[index].or((!held[index]).then_some(Reason::NoPattern));
            if let Some(reason) = reason {
                linear.fill(0.0);
                return Err(reason);
            }
            let range = index * fan_in..(index + 1) * fan_in;
            let inverse = dot(linear, &directions[range.clone()]);
            // What the ridge takes from aᵀΣ⁻¹a, in first order.
            let ridge = self.factor.added * dot(linear, linear);
            // ũ, with the sign that makes the correlation positive: w − Σ⁻¹a / (aᵀΣ⁻¹a).
            for (value, weight) in linear.iter_mut().zip(&block.weights[range]) {
                *value = weight - *value / inverse;
            }
            Ok(one_component(inverse + ridge, block.variances[index]))
        };
        let correlations = linear.par_chunks_mut(fan_in).enumerate().map(neuron).collect();
        Functionals { tau: vec![0.0; block.neurons.len()], linear, correlations }
    }

    /// Two components, a₋ and a₊.
    fn two(&self, block: &Block, directions: [Direction; 2]) -> Functionals {
        let fan_in = self.fan_in();
        let Some((with_active, with_active_solved)) = &block.with_active else {
            // Blocks have it when an estimator has two components.
            return Functionals { linear: Vec::new(), tau: Vec::new(), correlations: Vec::new() };
        };
        let [(negative, has_negative), (mut difference, has_positive)] =
            directions.map(|direction| self.scaled(block, direction));
        difference.iter_mut().zip(&negative).for_each(|(positive, negative)| *positive -= negative);
        let solve = |directions: &[f64]| {
            let mut solved = directions.to_vec();
            self.factor.solve(&mut solved);
            solved
        };
        let (negative_solved, difference_solved) = (solve(&negative), solve(&difference));
        let vectors = [&negative, &difference, with_active];
        let solved = [&negative_solved, &difference_solved, with_active_solved];
        let mut linear = vec![0.0; negative.len()];
        let neuron = |(index, linear): (usize, &mut [f64])| {
            let held = has_negative[index] && has_positive[index];
            let reason = block.undefined[index].or((!held).then_some(Reason::NoPattern));
            if let Some(reason) = reason {
                return (0.0, Err(reason));
            }
            let range = index * fan_in..(index + 1) * fan_in;
            let [[negative, difference, active], [negative_solved, difference_solved, active_solved]] =
                [vectors, solved].map(|of| of.map(|values| &values[range.clone()]));
            let weight = &block.weights[range];
            let shared = dot(negative_solved, difference) / dot(negative_solved, negative);
            let [apart, apart_solved] =
                [(difference, negative), (difference_solved, negative_solved)].map(|(from, take)| {
                    from.iter().zip(take).map(|(from, take)| from - shared * take).collect::<Vec<f64>>()
                });
            let columns = [negative, &apart, active];
            let basis = [negative_solved, &apart_solved, active_solved];
            let response = dot(weight, active);
            let products = Products {
                covariance: symmetric(basis.map(|a| {
                    std::array::from_fn(|j| dot(a, columns[j]) - self.factor.added * dot(a, basis[j]))
                })),
                with_response: std::array::from_fn(|i| {
                    dot(weight, columns[i]) - self.factor.added * dot(weight, basis[i])
                }),
                with_active: basis.map(|vector| dot(vector, active)),
                constraint: basis.map(|vector| dot(vector, negative)),
                tau: basis.map(|vector| dot(vector, difference)),
                response,
                variance: block.variances[index],
                active_variance: self.fitted.active_variance(block.neurons.start + index, response),
            };
            let best = two_component(&products);
            let constraint = dot(&best.weights, &products.constraint);
            for (column, value) in linear.iter_mut().enumerate() {
                *value =
                    dot(&best.weights, &basis.map(|vector| vector[column])) - constraint * weight[column];
            }
            (dot(&best.weights, &products.tau), Ok(best.correlation))
        };
        let (tau, correlations) = linear.par_chunks_mut(fan_in).enumerate().map(neuron).unzip();
        Functionals { linear, tau, correlations }
    }
}

/// Takes rounding errors out of a matrix that is symmetric but for them.
fn symmetric(matrix: [[f64; BASIS]; BASIS]) -> [[f64; BASIS]; BASIS] {
    std::array::from_fn(|i| std::array::from_fn(|j| (matrix[i][j] + matrix[j][i]) / 2.0))
}

/// What the functionals of a block of neurons are evaluated with.
struct Evaluation<'a> {
    covariance: &'a Covariance<'a>,
    fan_in: usize,
    /// Σw, \[neurons, K\].
    with_response: Vec<f64>,
    /// var y; none where it does not vary.
    variances: Vec<Option<f64>>,
    /// cov\[x, y₊\], \[neurons, K\], where an estimator has two components.
    with_active: Option<Vec<f64>>,
    /// wᵀcov\[x, y₊\] and var y₊.
    active: Vec<(f64, f64)>,
}

impl<'a> Evaluation<'a> {
    fn new(covariance: &'a Covariance, sums: &NeuronSums, block: &Block, fan_in: usize) -> Self {
        let with_response = covariance.multiply(&block.weights);
        let variance = |((neuron, weight), with_response)| {
            let variance = dot(weight, with_response);
            (variance > CONSTANT * sums.mean_square(neuron)).then_some(variance)
        };
        let pairs = block.weights.chunks(fan_in).zip(with_response.chunks(fan_in));
        let variances = block
            .neurons
            .clone()
            .zip(pairs)
            .map(|(neuron, (weight, with_response))| variance(((neuron, weight), with_response)))
            .collect();
        let with_active = block.with_active.is_some().then(|| sums.with_active(block.neurons.clone()));
        let active = with_active.iter().flat_map(|with_active| {
            block.neurons.clone().zip(block.weights.chunks(fan_in).zip(with_active.chunks(fan_in))).map(
                |(neuron, (weight, with_active))| {
                    let response = dot(weight, with_active);
                    (response, sums.active_variance(neuron, response))
                },
            )
        });
        let active = active.collect();
        Evaluation { covariance, fan_in, with_response, variances, with_active, active }
    }

    /// ρ of each neuron.
    fn rho(&self, functionals: &Functionals) -> Vec<Neuron> {
        let Functionals { linear, tau, correlations } = functionals;
        let products = self.covariance.multiply(linear);
        let neuron = |(index, correlation): (usize, &Result<f64, Reason>)| {
            let in_sample = 1.0 - (*correlation)?;
            let range = index * self.fan_in..(index + 1) * self.fan_in;
            let linear = &linear[range.clone()];
            let mut variance = dot(linear, &products[range.clone()]);
            let mut with_response = dot(linear, &self.with_response[range.clone()]);
            if let (Some(with_active), Some(&(response, active_variance))) =
                (&self.with_active, self.active.get(index))
            {
                let (tau, with_active) = (tau[index], dot(linear, &with_active[range]));
                variance += tau * (tau * active_variance - 2.0 * with_active);
                with_response -= tau * response;
            }
            let rho = self.variances[index].map(|response_variance| {
                // A functional that does not vary here tells nothing.
                if variance > 0.0 {
                    1.0 - (with_response / (variance * response_variance).sqrt()).clamp(-1.0, 1.0)
                } else {
                    1.0
                }
            });
            Ok((rho, in_sample))
        };
        correlations.par_iter().enumerate().map(neuron).collect()
    }
}
