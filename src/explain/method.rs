//! The explanation methods: their names, and the backward pass each one is (design: one pass, different operators and
//! gates; Kindermans et al. 2017, seminar paper section 3).

use crate::backend::{Gate, Start};
use std::fmt;
use std::str::FromStr;

/// An estimator S(x) of the signal in a neuron's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// S(x) = x.
    Identity,
    /// S(x) = w/(wᵀw) · wᵀx.
    Filter,
    /// S(x) = a · wᵀx with a = cov\[x, y\] / var\[y\].
    Linear,
    /// S(x) = a₊ · wᵀx where the neuron is active.
    TwoComponent,
    /// S(x) = u · wᵀx with a random direction u scaled so that wᵀu = 1: the baseline.
    Random,
}

impl Estimator {
    /// All estimators, in the order of the paper's figure 4.
    pub const ALL: [Estimator; 5] = [
        Estimator::Identity,
        Estimator::Filter,
        Estimator::Linear,
        Estimator::TwoComponent,
        Estimator::Random,
    ];

    fn name(self) -> &'static str {
        match self {
            Estimator::Identity => "identity",
            Estimator::Filter => "filter",
            Estimator::Linear => "linear",
            Estimator::TwoComponent => "two-component",
            Estimator::Random => "random",
        }
    }
}

/// A way to explain a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// ∂response/∂input (Simonyan et al. 2013).
    Gradient,
    /// Backward ReLUs instead of the forward ones (Zeiler & Fergus 2014).
    DeconvNet,
    /// Both ReLUs (Springenberg et al. 2014).
    GuidedBackprop,
    /// The estimated signal; with the two-component estimator this is PatternNet.
    Signal(Estimator),
    /// The attribution to the estimated signal; with the two-component estimator this is PatternAttribution.
    Attribution(Estimator),
    /// `signal:two-component` under its own name.
    PatternNet,
    /// `attribution:two-component` under its own name.
    PatternAttribution,
}

/// The operator of a backward pass, per neuron with weights w.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// w.
    Weight,
    /// The estimator's direction a (never `Identity`).
    Direction(Estimator),
    /// w ⊙ a (never `Identity`).
    WeightedDirection(Estimator),
}

/// How a method is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// The input itself (the identity estimator's signal).
    Input,
    /// A backward pass, its result multiplied with the input if `times_input` (LRP-z, root 0).
    Pass {
        /// What takes the weights' place on the way back.
        operator: Operator,
        /// What a ReLU lets through on the way back.
        gate: Gate,
        /// What the pass begins with at the target.
        start: Start,
        /// Whether the result is multiplied with the normalised input.
        times_input: bool,
    },
}

/// How a method is drawn and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signal or sensitivity in input space, in colour.
    Signal,
    /// Relevance of pixels: a heat map.
    Attribution,
}

impl Method {
    /// The methods that run when none is asked for.
    pub const DEFAULT: [Method; 2] = [Method::PatternNet, Method::PatternAttribution];

    /// Every method under every name.
    pub fn all() -> Vec<Method> {
        let plain = [
            Method::Gradient,
            Method::DeconvNet,
            Method::GuidedBackprop,
            Method::PatternNet,
            Method::PatternAttribution,
        ];
        let signals = Estimator::ALL.map(Method::Signal);
        let attributions = Estimator::ALL.map(Method::Attribution);
        plain.into_iter().chain(signals).chain(attributions).collect()
    }

    /// How the method is computed.
    pub fn recipe(self) -> Recipe {
        let pass = |operator, gate, start| Recipe::Pass { operator, gate, start, times_input: false };
        match self {
            Method::Gradient => pass(Operator::Weight, Gate::Mask, Start::One),
            Method::DeconvNet => pass(Operator::Weight, Gate::Sign, Start::One),
            Method::GuidedBackprop => pass(Operator::Weight, Gate::MaskAndSign, Start::One),
            Method::PatternNet => Method::Signal(Estimator::TwoComponent).recipe(),
            Method::PatternAttribution => Method::Attribution(Estimator::TwoComponent).recipe(),
            Method::Signal(Estimator::Identity) => Recipe::Input,
            Method::Attribution(Estimator::Identity) => Recipe::Pass {
                operator: Operator::Weight,
                gate: Gate::Mask,
                start: Start::One,
                times_input: true,
            },
            Method::Signal(estimator) => pass(Operator::Direction(estimator), Gate::Mask, Start::Response),
            Method::Attribution(estimator) => {
                pass(Operator::WeightedDirection(estimator), Gate::Mask, Start::Response)
            }
        }
    }

    /// The estimator whose directions the method's operators are made of, if any.
    fn estimator(self) -> Option<Estimator> {
        match self.recipe() {
            Recipe::Pass {
                operator: Operator::Direction(estimator) | Operator::WeightedDirection(estimator),
                ..
            } => Some(estimator),
            _ => None,
        }
    }

    /// Whether a pattern file is needed.
    pub fn needs_patterns(self) -> bool {
        matches!(self.estimator(), Some(Estimator::Linear | Estimator::TwoComponent))
    }

    /// Whether the result depends on a seed.
    pub fn needs_seed(self) -> bool {
        self.estimator() == Some(Estimator::Random)
    }

    /// How the method is drawn.
    pub fn kind(self) -> Kind {
        match self {
            Method::PatternAttribution | Method::Attribution(_) => Kind::Attribution,
            _ => Kind::Signal,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Method::Gradient => formatter.write_str("gradient"),
            Method::DeconvNet => formatter.write_str("deconvnet"),
            Method::GuidedBackprop => formatter.write_str("guided-backprop"),
            Method::PatternNet => formatter.write_str("patternnet"),
            Method::PatternAttribution => formatter.write_str("pattern-attribution"),
            Method::Signal(estimator) => write!(formatter, "signal:{}", estimator.name()),
            Method::Attribution(estimator) => write!(formatter, "attribution:{}", estimator.name()),
        }
    }
}

/// A name that is no method's.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown method '{name}'; known are {}", known_names())]
pub struct UnknownMethod {
    name: String,
}

fn known_names() -> String {
    Method::all().iter().map(Method::to_string).collect::<Vec<_>>().join(", ")
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        let known = Method::all().into_iter().find(|method| method.to_string() == name);
        known.ok_or_else(|| UnknownMethod { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_the_method() {
        for method in Method::all() {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
        }
        let error = "lrp".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("'lrp'") && error.contains("pattern-attribution"), "{error}");
    }

    #[test]
    fn patternnet_is_the_two_component_signal() {
        assert_eq!(Method::PatternNet.recipe(), Method::Signal(Estimator::TwoComponent).recipe());
        assert_eq!(
            Method::PatternAttribution.recipe(),
            Method::Attribution(Estimator::TwoComponent).recipe()
        );
    }
}
