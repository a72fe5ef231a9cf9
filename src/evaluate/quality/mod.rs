//! The quality of signal estimators, for every neuron in closed form.
//!
//! An estimator S splits a neuron's input x into signal S(x) and distractor d = x − S(x). It is good when the distractor
//! tells nothing of the response y = wᵀx (the paper's section 4):
//!
//! ρ(S) = 1 − max_v corr\[vᵀd, y\].
//!
//! The paper fits v by gradient descent. Here v solves a linear system in the covariance Σ of x that one Cholesky
//! factor serves for all neurons and estimators of a layer (`functional` has the derivation). Because v fits its sample,
//! three sets of images are needed: patterns from one, v from a second, and ρ is taken on a third.
//!
//! | part | does |
//! |---|---|
//! | `candidate` | the estimators that files allow |
//! | `covariance`, `neuron_sums` | Σ and what else second moments say of a layer and its neurons |
//! | `factor`, `triangular` | solves in Σ |
//! | `directions` | a of every neuron, scaled to wᵀa = 1 |
//! | `functional`, `fit` | the best v of one neuron, and of all |
//! | `multiplier`, `evaluation` | ρ of them on another set |
//! | `layer`, `run` | all neurons of a layer, all layers |
//! | `memory` | what it takes |
//! | `report` | what comes of it |

mod candidate;
mod constant;
mod covariance;
mod directions;
mod error;
mod evaluation;
mod factor;
mod fit;
mod functional;
mod layer;
mod memory;
mod multiplier;
mod neuron_sums;
mod report;
mod run;
mod triangular;

pub use candidate::{Candidate, CandidateError, Candidates, Missing};
pub use error::QualityError;
pub use memory::{check_memory, memory_needed};
pub use report::{EstimatorQuality, LayerQuality, QualityReport, Reason, Undefined};
pub use run::{QualityOptions, quality};
