//! NumPy's archives (`.npz`) as the authors of PatternNet and PatternAttribution published them
//! (github.com/pikinder/nn-patterns): the weights of a Lasagne network, and its patterns.

mod npy;
mod numbered;
mod patterns;
mod weights;

pub(super) use patterns::read_patterns;
pub(super) use weights::read;
