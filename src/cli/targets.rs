//! What is asked of methods and targets on the command line, before any work.

use super::exit::Failure;
use crate::explain::Target;
use crate::weights::Weights;

/// What was named, without repetitions.
pub fn distinct<T: Copy + PartialEq>(named: &[T]) -> Vec<T> {
    let mut distinct = Vec::new();
    for &one in named {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

/// The output that a target means for all images, if it is the same for all. Refuses targets that no image can have.
pub fn fixed_target(
    target: &Target,
    weights: &Weights,
    labels: Option<&[String]>,
) -> Result<Option<usize>, Failure> {
    if *target == Target::Key {
        return Ok(None);
    }
    let responses = vec![0.0; weights.network().outputs()];
    let output = target.resolve(&responses, labels, None)?;
    Ok(matches!(target, Target::Index(_) | Target::Label(_)).then_some(output))
}
