//! The kinds of patterns that a layer has.

use std::fmt;

/// Which of a layer's patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// a₊ of the two-component estimator, from positions where the neuron is active.
    Positive,
    /// a₋ of the two-component estimator, from the other positions.
    Negative,
    /// The linear estimator's cov\[x, y\] / var\[y\].
    Linear,
}

impl Component {
    /// All components, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Positive, Self::Negative, Self::Linear];

    /// The suffix of the tensors' names: `positive`, `negative` or `linear`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Linear => "linear",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
