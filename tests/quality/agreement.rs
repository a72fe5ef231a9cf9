//! The library's ρ beside that of least squares.

use std::fmt;

use rayon::prelude::*;
use vggx::evaluate::quality::{Candidate, QualityOptions, QualityReport, quality};

use crate::estimators::signal;
use crate::reference::{self, Positions, ReferenceQuality};
use crate::samples::SampleSet;
use crate::support::Case;

/// What |Δρ| is to be.
pub const PROMISED: f64 = 1e-6;

/// The largest |Δρ| of all layers, neurons and estimators.
#[derive(Clone, Default)]
pub struct Agreement {
    pub in_sample: f64,
    pub held_out: f64,
    /// Neurons and estimators that were compared.
    pub compared: usize,
    /// Of these, those that are further apart than is promised, yet within what rounding may do.
    pub beyond: usize,
    /// Of these, those of which only ρ in sample could be: v tells y from d_i = −a_i y of an input that never varies there, and held
    /// out the input varies. What is best is not one v then.
    pub undetermined: usize,
    /// Those without a pattern.
    pub without: usize,
    /// Where the largest was found.
    at: String,
}

impl fmt::Display for Agreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Agreement { in_sample, held_out, compared, beyond, undetermined, without, at } = self;
        write!(
            formatter,
            "{compared} compared, {beyond} beyond, {undetermined} undetermined, {without} without: |Δρ| ≤ {in_sample:.1e} in \
             sample, {held_out:.1e} held out ({at})"
        )
    }
}

/// What the library finds with v fitted on one set and ρ taken on another.
pub fn measure(
    case: &Case,
    candidates: &[Candidate],
    fitted: &SampleSet,
    evaluated: Option<&SampleSet>,
) -> QualityReport {
    let options = QualityOptions {
        weights: &case.weights,
        candidates,
        evaluated: &evaluated.unwrap_or(fitted).moments,
        fitted: evaluated.map(|_| &fitted.moments as _),
    };
    quality(&options, |_| {}).expect("moments of these weights")
}

/// How far rounding may move ρ in sample and held out, where it may by more than is promised.
///
/// With λ the smallest variance of d and c the correlation in sample:
/// - The library adds a ridge to Σ and takes it out again in first order where ρ in sample is concerned: r² is left, r = ridge/λ. `sums`, the
///   error of the moments relative to a variance, acts like a ridge that nobody takes out. Both are errors of c², which is a difference from 1.
/// - v keeps the first order of r: ũ = w − Σ⁻¹a/(aᵀΣ⁻¹a), whose length is c·σ, is moved by at most r·√(1 − c²)·σ, since
///   1/(aᵀΣ⁻¹a) = σ²(1 − c²). What the error of c² is relative to it, v is wrong by as well.
///
/// λ is known but for a factor, as is how much more a direction varies held out.
fn bounds(expected: &ReferenceQuality, ridge: f64, scale: f64, sums: f64) -> [f64; 2] {
    const FACTOR: f64 = 8.0;
    let correlation = (1.0 - expected.in_sample).max(f64::MIN_POSITIVE);
    let uncorrelated = (1.0 - correlation * correlation).max(0.0).sqrt();
    let [ridge, sums] = [ridge, sums].map(|error| error * scale / expected.smallest_variance);
    let square = FACTOR * (ridge * ridge + sums);
    let in_sample = f64::min(square / correlation, square.sqrt());
    [in_sample, (FACTOR * (ridge + sums) * uncorrelated + in_sample) / correlation]
}

/// Which inputs of a layer vary.
fn varying(positions: &Positions) -> Vec<bool> {
    let first = &positions.x[..positions.fan_in];
    let varies = |k: usize| positions.x.iter().skip(k).step_by(positions.fan_in).any(|x| *x != first[k]);
    (0..positions.fan_in).map(varies).collect()
}

/// The mean variance of the inputs of a layer.
fn mean_variance(positions: &Positions) -> f64 {
    let all: Vec<usize> = (0..positions.count).collect();
    let mean = positions.mean_x(&all);
    let deviations = positions
        .x
        .chunks_exact(positions.fan_in)
        .map(|x| x.iter().zip(&mean).map(|(x, mean)| (x - mean).powi(2)).sum::<f64>());
    deviations.sum::<f64>() / (positions.count * positions.fan_in) as f64
}

/// Compares all layers, neurons and candidates; `sums`: the relative error of the moments.
pub fn compare(
    case: &Case,
    candidates: &[Candidate],
    fitted: &SampleSet,
    evaluated: &SampleSet,
    sums: f64,
) -> Agreement {
    let report = measure(case, candidates, fitted, Some(evaluated));
    let alone = measure(case, candidates, fitted, None);
    let mut agreement = Agreement::default();
    for layer in case.network.parametric_layers() {
        let (measured, of_fitted) = (&report.layers[layer.index], &alone.layers[layer.index]);
        let (to_fit, to_evaluate) = (&fitted.positions[layer.index], &evaluated.positions[layer.index]);
        assert_eq!((measured.k, measured.fit_positions), (to_fit.fan_in, to_fit.count as u64));
        assert_eq!(measured.positions, to_evaluate.count as u64);
        assert!(to_fit.count > to_fit.fan_in, "{}: too few positions for a test", measured.name);
        assert_eq!(measured.estimators.len(), candidates.len());
        let ridge = measured.ridge.expect("enough positions");
        let scale = mean_variance(to_fit);
        let is_determined = varying(to_fit) == varying(to_evaluate);
        for (number, candidate) in candidates.iter().enumerate() {
            let estimator = &measured.estimators[number];
            assert_eq!(estimator.name, candidate.to_string());
            // On the set that v is fitted on, there is one ρ only.
            assert_eq!(of_fitted.estimators[number].rho, estimator.rho_in_sample);
            assert_eq!(of_fitted.estimators[number].rho_in_sample, estimator.rho_in_sample);
            let expected: Vec<Option<ReferenceQuality>> = (0..layer.outputs)
                .into_par_iter()
                .map(|neuron| {
                    let weight = &layer.weight[neuron * to_fit.fan_in..][..to_fit.fan_in];
                    let signal = signal(candidate, layer.index, neuron, weight)?;
                    Some(reference::quality(neuron, &signal, to_fit, to_evaluate))
                })
                .collect();
            for (neuron, expected) in expected.iter().enumerate() {
                let at = format!("{}, neuron {neuron}, {candidate}", measured.name);
                let got = (estimator.rho_in_sample[neuron], estimator.rho[neuron]);
                let (Some(expected), (Some(in_sample), Some(held_out))) = (expected, got) else {
                    assert!(expected.is_none() && got == (None, None), "{at}: {got:?} for {expected:?}");
                    agreement.without += 1;
                    continue;
                };
                let mut errors = [in_sample - expected.in_sample, held_out - expected.held_out].map(f64::abs);
                if !is_determined && expected.in_sample < 1e-9 {
                    agreement.undetermined += 1;
                    errors[1] = 0.0;
                }
                let bounds = bounds(expected, ridge, scale, sums);
                let at = format!(
                    "{at}: {in_sample:.9} {held_out:.9} for {:.9} {:.9}, errors {:.1e} {:.1e} of {:.1e} {:.1e}",
                    expected.in_sample, expected.held_out, errors[0], errors[1], bounds[0], bounds[1]
                );
                let within = errors.iter().zip(bounds).all(|(error, bound)| *error <= bound.max(PROMISED));
                assert!(within, "{at}");
                agreement.compared += 1;
                agreement.beyond += usize::from(errors.iter().any(|&error| error > PROMISED));
                if errors.iter().any(|&error| error > agreement.in_sample.max(agreement.held_out)) {
                    agreement.at = at;
                }
                agreement.in_sample = agreement.in_sample.max(errors[0]);
                agreement.held_out = agreement.held_out.max(errors[1]);
            }
        }
    }
    println!("{agreement}");
    agreement
}
