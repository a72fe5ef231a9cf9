//! ρ of functionals on a set of positions of its own.

use super::constant::is_constant;
use super::covariance::Covariance;
use super::directions::dot;
use super::fit::{Block, Functionals};
use super::functional::CANCELLED;
use super::multiplier::Multiplier;
use super::neuron_sums::NeuronSums;
use super::report::{Reason, Rho};
use crate::parallel;

/// The set that ρ is taken on, of one layer.
pub struct Evaluation<'a> {
    multiplier: Multiplier<'a>,
    sums: NeuronSums<'a>,
    fan_in: usize,
    /// Mean variance of the inputs.
    mean_variance: f64,
}

impl<'a> Evaluation<'a> {
    pub fn new(covariance: Covariance<'a>, sums: NeuronSums<'a>) -> Self {
        let fan_in = covariance.fan_in();
        let multiplier = Multiplier::new(covariance);
        Evaluation { sums, fan_in, mean_variance: multiplier.mean_variance(), multiplier }
    }

    /// ρ of the neurons of a block, by estimator; where `two` is not set none has two components.
    pub fn rho(
        &self,
        block: &Block,
        two: bool,
        estimators: &[&Functionals],
    ) -> Vec<Vec<Result<Rho, Reason>>> {
        let fan_in = self.fan_in;
        let mut matrices = vec![&block.weights[..]];
        matrices.extend(estimators.iter().map(|functionals| &functionals.linear[..]));
        let mut products = self.multiplier.multiply(&matrices).into_iter();
        let with_response = products.next().unwrap_or_default();
        let with_active = two.then(|| self.sums.with_active(block.neurons.clone()));
        let rho = |(functionals, products): (&&Functionals, Vec<f64>)| {
            let Functionals { linear, tau, correlations } = functionals;
            let neuron = |(index, correlation): (usize, &Result<f64, Reason>)| {
                let in_sample = 1.0 - (*correlation)?;
                let range = index * fan_in..(index + 1) * fan_in;
                let of = |values: &[f64], other: &[f64]| dot(&values[range.clone()], &other[range.clone()]);
                let neuron = block.neurons.start + index;
                let response_variance = of(&block.weights, &with_response);
                let alike = of(&block.weights, &block.weights) * self.mean_variance;
                if is_constant(response_variance, self.sums.mean_square(neuron), alike) {
                    return Ok(Rho { value: None, in_sample });
                }
                // Terms of var\[vᵀd\] and of cov\[vᵀd, y\].
                let mut variance = [of(linear, &products), 0.0, 0.0];
                let mut covariance = of(linear, &with_response);
                if let Some(with_active) = &with_active {
                    let (tau, response) = (tau[index], of(&block.weights, with_active));
                    variance[1] = tau * tau * self.sums.active_variance(neuron, response);
                    variance[2] = -2.0 * tau * of(linear, with_active);
                    covariance -= tau * response;
                }
                let noise = CANCELLED * variance.iter().map(|term| term.abs()).sum::<f64>();
                let variance = variance.iter().sum::<f64>();
                // A functional that does not vary here tells nothing.
                let correlation = match variance > noise {
                    true => covariance / (variance * response_variance).sqrt(),
                    false => 0.0 * variance,
                };
                // Sums that are no numbers give none.
                let value = correlation.is_finite().then(|| 1.0 - correlation.clamp(-1.0, 1.0));
                Ok(Rho { value, in_sample })
            };
            parallel::map(correlations.iter().enumerate(), neuron)
        };
        estimators.iter().zip(products).map(rho).collect()
    }
}
