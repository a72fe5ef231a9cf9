//! Layer after layer.

use std::borrow::Cow;
use std::time::Instant;

use super::candidate::Candidate;
use super::covariance::Covariance;
use super::error::QualityError;
use super::factor::Factor;
use super::layer::{Layer, Neuron, NeuronSums};
use super::memory;
use super::report::{EstimatorQuality, LayerQuality, QualityReport, Reason};
use crate::backend::{LayerMoments, available_memory};
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
/// When the moments have no second moments or are of other weights, when patterns are missing or not finite, or when
/// memory is short: all before any work, except that a layer's moments may turn out to be of another shape, of no
/// position, or to have second ones that are not any.
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
    if let Some((layer, needed)) = memory::bytes(weights.network(), candidates.len(), fitted.is_some())
        && let Some(available) = available_memory()
        && needed > available
    {
        return Err(QualityError::Memory { layer, needed: needed >> 20, available: available >> 20 });
    }
    Ok(())
}

fn measure(options: &QualityOptions, number: usize) -> Result<LayerQuality, QualityError> {
    let clock = Instant::now();
    let QualityOptions { weights, candidates, evaluated, fitted } = *options;
    let weight = weights.weight(number);
    let name = || weights.network().parametric().nth(number).map_or("", |(_, layer)| layer.name()).to_owned();
    let (outputs, fan_in) = (weight.shape()[0], weight.shape()[1..].iter().product::<usize>());

    let mut to_fit = fitted.unwrap_or(evaluated).layer(number);
    keep_what_is_read(&mut to_fit);
    let which = if fitted.is_some() { "fitted" } else { "evaluated" };
    let check = |which, shape: &[usize], positions: f64| {
        if shape != weight.shape() {
            let of = |shape: &[usize]| format!("{} {shape:?}", name());
            return Err(QualityError::OtherNetwork { which, found: of(shape), expected: of(weight.shape()) });
        }
        if positions > 0.0 { Ok(()) } else { Err(QualityError::NoPositions { which }) }
    };
    check(which, &to_fit.shape, to_fit.positions)?;
    let fit_positions = to_fit.positions;
    let mut quality = LayerQuality {
        name: name(),
        k: fan_in,
        positions: fit_positions as u64,
        fit_positions: fit_positions as u64,
        fit_positions_per_k: fit_positions / fan_in as f64,
        ridge: None,
        estimators: Vec::new(),
        time: clock.elapsed(),
    };
    let all = |quality: &mut LayerQuality, neurons: Vec<Vec<Neuron>>| {
        let named = candidates.iter().zip(neurons);
        quality.estimators =
            named.map(|(candidate, neurons)| EstimatorQuality::of(candidate.to_string(), neurons)).collect();
        quality.time = clock.elapsed();
    };
    if fit_positions <= fan_in as f64 {
        if fitted.is_some() {
            quality.positions = evaluated.layer(number).positions as u64;
        }
        all(&mut quality, vec![vec![Err(Reason::FewPositions); outputs]; candidates.len()]);
        return Ok(quality);
    }
    let none = || QualityError::NoSecondMoments { which };
    if to_fit.second.is_none() {
        return Err(none());
    }
    let factor = Factor::new(fan_in, || Covariance::of(&to_fit).map(Covariance::into_square))
        .ok_or_else(|| QualityError::NotPositive { layer: name() })?;
    if let Cow::Owned(moments) = &mut to_fit {
        moments.second = None;
    }
    quality.ridge = Some(factor.ridge);

    let mut to_evaluate = fitted.map(|_| evaluated.layer(number));
    if let Some(moments) = &mut to_evaluate {
        keep_what_is_read(moments);
    }
    if let Some(moments) = &to_evaluate {
        check("evaluated", &moments.shape, moments.positions)?;
        quality.positions = moments.positions as u64;
    }
    let evaluated = match &to_evaluate {
        None => None,
        Some(moments) => {
            let none = || QualityError::NoSecondMoments { which: "evaluated" };
            let covariance = Covariance::of(moments).ok_or_else(none)?;
            Some((covariance, NeuronSums::new(moments)))
        }
    };
    let mean_variance = factor.mean;
    let layer = Layer { number, weight, factor, fitted: NeuronSums::new(&to_fit), evaluated };
    let neurons = layer.measure(&quality.name, candidates, mean_variance)?;
    all(&mut quality, neurons);
    Ok(quality)
}

/// Lets go of sums that nobody reads here, where the moments are not others' too: of the first dense layer of VGG16 they take
/// 1.6 GB.
fn keep_what_is_read(moments: &mut Cow<LayerMoments>) {
    if let Cow::Owned(moments) = moments {
        moments.positive_x = Vec::new();
        moments.negative_xy = Vec::new();
    }
}
