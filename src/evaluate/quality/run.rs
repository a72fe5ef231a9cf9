//! Layer after layer.

use std::borrow::Cow;
use std::time::Instant;

use super::candidate::Candidate;
use super::covariance::Covariance;
use super::error::QualityError;
use super::evaluation::Evaluation;
use super::factor::Factor;
use super::fit::Fit;
use super::layer;
use super::memory::check_memory;
use super::neuron_sums::NeuronSums;
use super::report::{EstimatorQuality, LayerQuality, QualityReport, Reason, Rho};
use crate::backend::LayerMoments;
use crate::patterns::{Component, LayerSource};
use crate::weights::Weights;

/// What is measured, and on what.
pub struct QualityOptions<'a> {
    /// The network.
    pub weights: &'a Weights,
    /// The estimators.
    pub candidates: &'a [Candidate<'a>],
    /// Moments, with second ones, that ρ is taken on.
    pub evaluated: &'a dyn LayerSource,
    /// Moments, with second ones, that v is fitted on; none: on the same, and ρ is that in sample.
    pub fitted: Option<&'a dyn LayerSource>,
}

/// Measures the quality ρ of estimators for every neuron of every layer; `tell` hears of each layer that is done. A layer
/// is in memory at a time ([`memory_needed`](super::memory_needed)).
///
/// # Errors
/// When the moments have no second moments, are of no position or of other weights, when patterns are missing or not finite,
/// or when memory is short: all before any work, except that a layer of moments in memory may turn out to be of another shape.
pub fn quality(
    options: &QualityOptions,
    mut tell: impl FnMut(&LayerQuality),
) -> Result<QualityReport, QualityError> {
    check(options)?;
    let layers = (0..options.evaluated.layer_count())
        .map(|layer| {
            let quality = measure(options, layer)?;
            tell(&quality);
            Ok(quality)
        })
        .collect::<Result<_, QualityError>>()?;
    Ok(QualityReport { layers })
}

fn check(options: &QualityOptions) -> Result<(), QualityError> {
    let QualityOptions { weights, candidates, evaluated, fitted } = *options;
    let layers = weights.network().parametric().count();
    let sources = [("evaluated", Some(evaluated)), ("fitted", fitted)];
    for (which, source) in sources.into_iter().filter_map(|(which, source)| Some((which, source?))) {
        if source.layer_count() != layers {
            let of = |count: usize| format!("{count} layers");
            return Err(QualityError::OtherNetwork {
                which,
                found: of(source.layer_count()),
                expected: of(layers),
            });
        }
        if !source.has_second_moments() {
            return Err(QualityError::NoSecondMoments { which });
        }
        if (0..layers).any(|layer| source.positions(layer).is_nan() || source.positions(layer) <= 0.0) {
            return Err(QualityError::NoPositions { which });
        }
    }
    for candidate in candidates {
        match candidate {
            Candidate::Linear(patterns) => drop(patterns.tensors(Component::Linear)?),
            Candidate::TwoComponent { patterns, .. } => {
                patterns.tensors(Component::Positive)?;
                patterns.tensors(Component::Negative)?;
            }
            Candidate::Identity | Candidate::Random { .. } | Candidate::Filter => {}
        }
    }
    let to_fit = fitted.unwrap_or(evaluated);
    check_memory(weights.network(), candidates.len(), fitted.is_some(), |layer| to_fit.positions(layer))?;
    Ok(())
}

fn measure(options: &QualityOptions, number: usize) -> Result<LayerQuality, QualityError> {
    let clock = Instant::now();
    let QualityOptions { weights, candidates, evaluated, fitted } = *options;
    let weight = weights.weight(number);
    let name = || weights.network().parametric().nth(number).map_or("", |(_, layer)| layer.name()).to_owned();
    let (outputs, fan_in) = (weight.shape()[0], weight.shape()[1..].iter().product::<usize>());
    let (which, to_fit) = fitted.map_or(("evaluated", evaluated), |fitted| ("fitted", fitted));
    let fit_positions = to_fit.positions(number);
    let mut quality = LayerQuality {
        name: name(),
        k: fan_in,
        positions: evaluated.positions(number) as u64,
        fit_positions: fit_positions as u64,
        fit_positions_per_k: fit_positions / fan_in as f64,
        ridge: None,
        estimators: Vec::new(),
        seconds: 0.0,
    };
    let finish = |mut quality: LayerQuality, neurons: Vec<Vec<Result<Rho, Reason>>>| {
        let named = candidates.iter().zip(neurons);
        quality.estimators =
            named.map(|(candidate, neurons)| EstimatorQuality::of(candidate.to_string(), neurons)).collect();
        quality.seconds = clock.elapsed().as_secs_f64();
        Ok(quality)
    };
    let without = |reason| vec![vec![Err(reason); outputs]; candidates.len()];
    if fit_positions <= fan_in as f64 {
        return finish(quality, without(Reason::FewPositions));
    }
    let check = |which, shape: &[usize]| {
        let of = |shape: &[usize]| format!("{} {shape:?}", name());
        match shape == weight.shape() {
            true => Ok(()),
            false => {
                Err(QualityError::OtherNetwork { which, found: of(shape), expected: of(weight.shape()) })
            }
        }
    };
    let mut to_fit = to_fit.layer(number);
    check(which, &to_fit.shape)?;
    keep_what_is_read(&mut to_fit);
    let none = |which| move || QualityError::NoSecondMoments { which };
    let covariance = Covariance::of(&to_fit).ok_or_else(none(which))?;
    let factor = Factor::new(fan_in, || covariance.square());
    drop(covariance);
    if let Cow::Owned(moments) = &mut to_fit {
        moments.second = None;
    }
    let Some(factor) = factor else { return finish(quality, without(Reason::BadMoments)) };
    quality.ridge = Some(factor.ridge);
    let fit = Fit { layer: number, weight, factor, sums: NeuronSums::new(&to_fit) };

    let mut to_evaluate = fitted.map(|_| evaluated.layer(number));
    if let Some(moments) = &mut to_evaluate {
        check("evaluated", &moments.shape)?;
        keep_what_is_read(moments);
    }
    let evaluation = match &to_evaluate {
        None => None,
        Some(moments) => {
            let covariance = Covariance::of(moments).ok_or_else(none("evaluated"))?;
            Some(Evaluation::new(covariance, NeuronSums::new(moments)))
        }
    };
    let neurons = layer::measure(&fit, evaluation.as_ref(), &quality.name, candidates)?;
    finish(quality, neurons)
}

/// Lets go of sums that nobody reads here, where the moments are not others' too: of the first dense layer of VGG16 they take
/// 1.6 GB.
fn keep_what_is_read(moments: &mut Cow<LayerMoments>) {
    if let Cow::Owned(moments) = moments {
        moments.positive_x = Vec::new();
        moments.negative_xy = Vec::new();
    }
}
