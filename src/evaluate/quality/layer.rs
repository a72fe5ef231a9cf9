//! All neurons of a layer, block by block.

use super::candidate::Candidate;
use super::directions::Direction;
use super::error::QualityError;
use super::evaluation::Evaluation;
use super::fit::{Fit, Functionals, block};
use super::report::{Reason, Rho};
use crate::patterns::{Component, Patterns};

/// The directions of an estimator: one, or a₋ and a₊.
enum Directions<'a> {
    None,
    One(Direction<'a>),
    Two([Direction<'a>; 2]),
}

impl<'a> Directions<'a> {
    /// Those of a layer by its place and name.
    fn of(candidate: Candidate<'a>, layer: usize, name: &str) -> Result<Self, QualityError> {
        let pattern = |patterns: &'a Patterns, component| {
            let tensor = patterns.tensor(component, layer);
            let missing = || QualityError::NoPattern { layer: name.to_owned(), component };
            tensor.map(Direction::Pattern).ok_or_else(missing)
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
}

/// The neurons' ρ, by estimator: on a set of its own, or on the one that v is fitted on. `name` is the layer's.
///
/// # Errors
/// When an estimator has no patterns of this layer.
pub fn measure<'a>(
    fit: &Fit<'a>,
    evaluation: Option<&Evaluation>,
    name: &str,
    candidates: &[Candidate<'a>],
) -> Result<Vec<Vec<Result<Rho, Reason>>>, QualityError> {
    let directions = candidates.iter().map(|&candidate| Directions::of(candidate, fit.layer, name));
    let directions: Vec<Directions> = directions.collect::<Result<_, _>>()?;
    let two = directions.iter().any(|directions| matches!(directions, Directions::Two(_)));
    let outputs = fit.weight.shape()[0];
    let mut neurons = vec![Vec::with_capacity(outputs); candidates.len()];
    let size = block(fit.fan_in());
    for first in (0..outputs).step_by(size) {
        let block = fit.block(first..outputs.min(first + size));
        let active = two.then(|| fit.active(&block));
        let functionals: Vec<Option<Functionals>> = directions
            .iter()
            .map(|directions| match (directions, &active) {
                (Directions::One(direction), _) => Some(fit.one(&block, *direction)),
                (Directions::Two(directions), Some(active)) => Some(fit.two(&block, active, *directions)),
                (Directions::None, _) | (Directions::Two(_), None) => None,
            })
            .collect();
        drop(active);
        let fitted: Vec<&Functionals> = functionals.iter().flatten().collect();
        let mut measured = match evaluation {
            Some(evaluation) => evaluation.rho(&block, two, &fitted),
            None => fitted.iter().map(|functionals| functionals.in_sample()).collect(),
        }
        .into_iter();
        for (functionals, neurons) in functionals.iter().zip(&mut neurons) {
            match functionals.as_ref().and_then(|_| measured.next()) {
                Some(measured) => neurons.extend(measured),
                None => {
                    let reason = |undefined: &Option<Reason>| Err(undefined.unwrap_or(Reason::NoDistractor));
                    neurons.extend(block.undefined.iter().map(reason));
                }
            }
        }
    }
    Ok(neurons)
}
