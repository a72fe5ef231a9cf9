//! Whether explanations depend on what the network has learnt: the parameter randomisation test of Adebayo et al. 2018, "Sanity
//! checks for saliency maps".
//!
//! Layers are randomised from the output on, either all down to a layer ([`Scope::Cascading`]) or that layer alone
//! ([`Scope::Independent`]): weights are drawn anew, normally distributed with mean zero and the mean square that they had, and biases
//! become zero ([`randomised`]). The output that was chosen with the trained network is explained again, and the map compared with the one before.
//! A method whose maps stay the same does not show what the network has learnt.
//!
//! A map is the sum over the channels: of magnitudes where a method gives a signal or a sensitivity ([`Kind::Signal`](crate::explain::Kind)),
//! as where patches are ranked. Compared are maps, and their magnitudes, divided by the largest magnitude, by [`ssim`] and by [`spearman`].
//!
//! Patterns stay those of the trained network: they are learnt from data, as the weights are, and are what the method brings along. Sixt et
//! al. 2020, "When explanations lie", found that PatternAttribution, DeconvNet and Guided Backprop hardly change when later layers are
//! randomised: products of operators that are mostly positive converge to rank one, whatever the later ones are.

mod error;
mod maps;
mod rank_correlation;
mod run;
mod similarity;
mod ssim;
mod weights;

pub use error::RandomiseError;
pub use rank_correlation::spearman;
pub use run::{OpenBackend, RandomiseInput, RandomiseReport, RandomiseSettings, Scope, randomise};
pub use similarity::{ImageSimilarities, LayerSimilarities, MeasureSummary, Similarity};
pub use ssim::ssim;
pub use weights::randomised;
