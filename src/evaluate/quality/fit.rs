//! The best v of the neurons of a layer, a block of them at a time.

use std::ops::Range;

use super::constant::is_constant;
use super::directions::{Direction, dot, read};
use super::factor::Factor;
use super::functional::{BASIS, Products, one_component, two_component};
use super::neuron_sums::NeuronSums;
use super::report::{Reason, Rho};
use crate::parallel;
use crate::weights::Tensor;

/// Values of a block of neurons, \[neurons, K\]: 64 MiB.
const BLOCK: usize = 1 << 23;

/// Neurons of a block.
pub fn block(fan_in: usize) -> usize {
    (BLOCK / fan_in.max(1)).max(1)
}

/// What v is fitted on, of one layer.
pub struct Fit<'a> {
    /// Place of the layer among those with weights.
    pub layer: usize,
    pub weight: Tensor<'a>,
    pub factor: Factor,
    pub sums: NeuronSums<'a>,
}

/// v of some neurons in the form ũᵀx − τ y₊, and the correlation in sample.
pub struct Functionals {
    /// ũ, \[neurons, K\]; zeros where there is no correlation.
    pub linear: Vec<f64>,
    pub tau: Vec<f64>,
    pub correlations: Vec<Result<f64, Reason>>,
}

/// What all estimators of a block of neurons share.
pub struct Block {
    pub neurons: Range<usize>,
    /// w, \[neurons, K\].
    pub weights: Vec<f64>,
    /// var y.
    variances: Vec<f64>,
    /// Why a neuron has no ρ, whatever the estimator.
    pub undefined: Vec<Option<Reason>>,
}

/// cov\[x, y₊\] of a block of neurons, \[neurons, K\], and Σ⁻¹ of it.
pub struct Active {
    covariances: Vec<f64>,
    solved: Vec<f64>,
}

impl Functionals {
    /// ρ on the set that v is fitted on.
    pub fn in_sample(&self) -> Vec<Result<Rho, Reason>> {
        let rho = |correlation: &Result<f64, Reason>| {
            let in_sample = 1.0 - (*correlation)?;
            Ok(Rho { value: Some(in_sample), in_sample })
        };
        self.correlations.iter().map(rho).collect()
    }
}

impl Fit<'_> {
    pub fn fan_in(&self) -> usize {
        self.weight.shape()[1..].iter().product()
    }

    /// What all estimators share.
    pub fn block(&self, neurons: Range<usize>) -> Block {
        let fan_in = self.fan_in();
        let weights = read(self.weight, neurons.clone(), fan_in);
        let variances = self.factor.variances(&weights);
        let why = |((neuron, weight), &variance): ((usize, &[f64]), &f64)| {
            let length = dot(weight, weight);
            if length == 0.0 {
                Some(Reason::NoWeights)
            } else if is_constant(variance, self.sums.mean_square(neuron), length * self.factor.mean) {
                Some(Reason::ConstantResponse)
            } else {
                // With one input d = x − a w x = 0.
                (fan_in == 1).then_some(Reason::NoDistractor)
            }
        };
        let undefined = neurons.clone().zip(weights.chunks(fan_in)).zip(&variances).map(why).collect();
        Block { neurons, weights, variances, undefined }
    }

    /// What all estimators of two components share.
    pub fn active(&self, block: &Block) -> Active {
        let covariances = self.sums.with_active(block.neurons.clone());
        let mut solved = covariances.clone();
        self.factor.solve(&mut solved);
        Active { covariances, solved }
    }

    fn scaled(&self, block: &Block, direction: Direction) -> (Vec<f64>, Vec<bool>) {
        direction.scaled(self.layer, block.neurons.clone(), &block.weights, self.fan_in())
    }

    /// One component: v = Σ⁻¹a.
    pub fn one(&self, block: &Block, direction: Direction) -> Functionals {
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
        let correlations = parallel::map(linear.chunks_mut(fan_in).enumerate(), neuron);
        Functionals { tau: vec![0.0; block.neurons.len()], linear, correlations }
    }

    /// Two components, a₋ and a₊.
    pub fn two(&self, block: &Block, active: &Active, directions: [Direction; 2]) -> Functionals {
        let fan_in = self.fan_in();
        let [(negative, has_negative), (mut difference, has_positive)] =
            directions.map(|direction| self.scaled(block, direction));
        difference.iter_mut().zip(&negative).for_each(|(positive, negative)| *positive -= negative);
        let solve = |directions: &[f64]| {
            let mut solved = directions.to_vec();
            self.factor.solve(&mut solved);
            solved
        };
        let (negative_solved, difference_solved) = (solve(&negative), solve(&difference));
        let vectors = [&negative, &difference, &active.covariances];
        let solved = [&negative_solved, &difference_solved, &active.solved];
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
                active_variance: self.sums.active_variance(block.neurons.start + index, response),
            };
            let best = two_component(&products);
            let constraint = dot(&best.weights, &products.constraint);
            for (column, value) in linear.iter_mut().enumerate() {
                *value =
                    dot(&best.weights, &basis.map(|vector| vector[column])) - constraint * weight[column];
            }
            (dot(&best.weights, &products.tau), Ok(best.correlation))
        };
        let neurons = parallel::map(linear.chunks_mut(fan_in).enumerate(), neuron);
        let (tau, correlations) = neurons.into_iter().unzip();
        Functionals { linear, tau, correlations }
    }
}

/// Takes rounding errors out of a matrix that is symmetric but for them.
fn symmetric(matrix: [[f64; BASIS]; BASIS]) -> [[f64; BASIS]; BASIS] {
    std::array::from_fn(|i| std::array::from_fn(|j| (matrix[i][j] + matrix[j][i]) / 2.0))
}
