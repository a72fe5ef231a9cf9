//! What was found of the estimators of a network.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The quality of estimators, layer by layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QualityReport {
    /// One a layer with weights, in their order.
    pub layers: Vec<LayerQuality>,
}

/// The quality of the estimators of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerQuality {
    /// The layer's name.
    pub name: String,
    /// Inputs of a neuron, K.
    pub k: usize,
    /// Positions that ρ was taken over.
    pub positions: u64,
    /// Positions that v was fitted on; those same ones where nothing was given to fit it on.
    pub fit_positions: u64,
    /// `fit_positions` / `k`. v fits its sample: where there is nothing to find ρ in sample is about 1 − √(k / positions), if
    /// positions tell as much as independent ones; those of a map, which overlap, tell less.
    pub fit_positions_per_k: f64,
    /// What was added to the diagonal of Σ, relative to its mean; none where Σ was not factored.
    pub ridge: Option<f64>,
    /// By name, in the order they were asked for.
    #[serde(serialize_with = "by_name")]
    pub estimators: Vec<EstimatorQuality>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The quality of an estimator in one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EstimatorQuality {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// Of `rho` over the neurons where it is defined; none where it is for no neuron.
    pub mean: Option<f64>,
    /// Lower quartile, median and upper quartile of `rho`, linearly interpolated.
    pub quartiles: Option<[f64; 3]>,
    /// ρ of every neuron, with v fitted on the set to fit it on where there was one; none where it is not defined. It is
    /// then too high on the average, since the v that was found is not quite the best one; and spreads around 1, which it may
    /// exceed, where the distractor tells nothing of y.
    pub rho: Vec<Option<f64>>,
    /// ρ of every neuron on the positions that v was fitted on: too low on the average.
    pub rho_in_sample: Vec<Option<f64>>,
    /// Mean of `rho_in_sample`.
    pub mean_in_sample: Option<f64>,
    /// How many neurons have no ρ, by reason.
    pub undefined: BTreeMap<Reason, usize>,
}

/// ρ of a neuron.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rho {
    /// On the set that it is taken on; none where y does not vary there.
    pub value: Option<f64>,
    /// On the set that v is fitted on.
    pub in_sample: f64,
}

/// Why a neuron has no ρ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Its layer has no more positions to fit v on than weights a neuron.
    FewPositions,
    /// The second moments of its layer are not those of any images.
    BadMoments,
    /// Its weights are zero.
    NoWeights,
    /// Its response does not vary.
    ConstantResponse,
    /// It has no pattern, or one that is orthogonal to its weights.
    NoPattern,
    /// The estimator leaves no distractor.
    NoDistractor,
}

/// Neurons without ρ, for a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undefined<'a> {
    /// The layer.
    pub layer: &'a str,
    /// The estimator; none when it is all of them.
    pub estimator: Option<&'a str>,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub neurons: usize,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Reason::FewPositions => {
                "no more positions to fit v on than inputs a neuron; use more images, or more --crops of each"
            }
            Reason::BadMoments => "its second moments are those of no images; learn the moments again",
            Reason::NoWeights => "no weights",
            Reason::ConstantResponse => "a response that does not vary",
            Reason::NoPattern => "no pattern",
            Reason::NoDistractor => "no distractor",
        })
    }
}

impl EstimatorQuality {
    /// Sums up the neurons.
    pub(super) fn of(name: String, neurons: Vec<Result<Rho, Reason>>) -> Self {
        let mut undefined = BTreeMap::new();
        for neuron in &neurons {
            let reason = match neuron {
                Ok(Rho { value: Some(_), .. }) => continue,
                Ok(Rho { value: None, .. }) => Reason::ConstantResponse,
                Err(reason) => *reason,
            };
            *undefined.entry(reason).or_insert(0) += 1;
        }
        let rho: Vec<Option<f64>> = neurons.iter().map(|neuron| neuron.ok()?.value).collect();
        let rho_in_sample: Vec<Option<f64>> =
            neurons.iter().map(|neuron| Some(neuron.ok()?.in_sample)).collect();
        EstimatorQuality {
            name,
            mean: mean(&rho),
            quartiles: quartiles(&rho),
            mean_in_sample: mean(&rho_in_sample),
            rho,
            rho_in_sample,
            undefined,
        }
    }
}

impl LayerQuality {
    /// Neurons without ρ. What all estimators have in common comes once.
    pub fn undefined(&self) -> Vec<Undefined<'_>> {
        let Some(first) = self.estimators.first() else { return Vec::new() };
        let common = |reason: &Reason, count: &usize| {
            self.estimators.iter().all(|estimator| estimator.undefined.get(reason) == Some(count))
        };
        let mut undefined: Vec<Undefined> = first
            .undefined
            .iter()
            .filter(|(reason, count)| common(reason, count))
            .map(|(&reason, &neurons)| Undefined { layer: &self.name, estimator: None, reason, neurons })
            .collect();
        for estimator in &self.estimators {
            for (reason, &neurons) in &estimator.undefined {
                if !common(reason, &neurons) {
                    let estimator = Some(estimator.name.as_str());
                    undefined.push(Undefined { layer: &self.name, estimator, reason: *reason, neurons });
                }
            }
        }
        undefined
    }
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let (sum, count) =
        values.iter().flatten().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

fn quartiles(values: &[Option<f64>]) -> Option<[f64; 3]> {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some([0.25, 0.5, 0.75].map(|share| {
        let at = share * last as f64;
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + (above - below) * at.fract()
    }))
}

fn by_name<S: Serializer>(estimators: &[EstimatorQuality], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(estimators.len()))?;
    for estimator in estimators {
        map.serialize_entry(&estimator.name, estimator)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rho(value: f64, in_sample: f64) -> Result<Rho, Reason> {
        Ok(Rho { value: Some(value), in_sample })
    }

    #[test]
    fn neurons_are_summed_up_without_those_that_have_none() {
        let neurons = vec![
            rho(0.5, 0.4),
            Err(Reason::NoPattern),
            rho(0.1, 0.1),
            Ok(Rho { value: None, in_sample: 0.2 }),
            rho(0.9, 0.9),
            rho(0.3, 0.2),
        ];
        let quality = EstimatorQuality::of("linear".to_owned(), neurons);
        assert_eq!(quality.mean, Some(0.45));
        // Sorted 0.1, 0.3, 0.5, 0.9.
        for (value, expected) in quality.quartiles.unwrap().iter().zip([0.25, 0.4, 0.6]) {
            assert!((value - expected).abs() < 1e-15);
        }
        assert_eq!(quality.rho[1], None);
        assert_eq!(quality.rho_in_sample[3], Some(0.2));
        assert_eq!(
            quality.undefined,
            BTreeMap::from([(Reason::NoPattern, 1), (Reason::ConstantResponse, 1)])
        );
        let none = EstimatorQuality::of("linear".to_owned(), vec![Err(Reason::NoWeights)]);
        assert_eq!((none.mean, none.quartiles), (None, None));
    }

    #[test]
    fn what_all_estimators_lack_is_said_once() {
        let quality = |name: &str, last| {
            EstimatorQuality::of(name.to_owned(), vec![Err(Reason::ConstantResponse), last])
        };
        let layer = LayerQuality {
            name: "features.0".to_owned(),
            k: 27,
            positions: 100,
            fit_positions: 100,
            fit_positions_per_k: 100.0 / 27.0,
            ridge: Some(1e-12),
            estimators: vec![quality("linear", Err(Reason::NoPattern)), quality("filter", rho(0.5, 0.5))],
            seconds: 0.0,
        };
        let undefined = |estimator, reason| Undefined { layer: "features.0", estimator, reason, neurons: 1 };
        assert_eq!(
            layer.undefined(),
            [undefined(None, Reason::ConstantResponse), undefined(Some("linear"), Reason::NoPattern)]
        );
        let json = serde_json::to_string(&layer).unwrap();
        // In the order asked for, not of the alphabet.
        assert!(json.find("\"linear\"").unwrap() < json.find("\"filter\"").unwrap());
        assert!(json.contains(r#""undefined":{"constant-response":1,"no-pattern":1}"#), "{json}");
        assert!(json.contains(r#""rho":[null,0.5]"#) && json.contains(r#""mean":null"#));
    }
}
