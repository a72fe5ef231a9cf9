//! The copies that are made of every image.

use super::PerturbSettings;
use std::ops::Range;

/// A copy that is made of every image.
pub struct PlannedCopy {
    pub replaced: Range<u32>,
    /// The curve whose ranks say which patches these are.
    pub curve: usize,
    /// Curves and steps that f of this copy is a value of.
    pub values: Vec<(usize, usize)>,
}

/// The image as it is, and one copy for each curve and step; copies that are the same for all curves once.
pub fn planned_copies(settings: &PerturbSettings) -> Vec<PlannedCopy> {
    let patches = settings.grid.patches();
    let mut copies = vec![PlannedCopy { replaced: 0..0, curve: 0, values: Vec::new() }];
    for curve in 0..settings.curves.len() {
        for (step, &count) in settings.counts.iter().enumerate() {
            let replaced = settings.mode.replaced(count, patches);
            let place = if replaced.is_empty() {
                Some(0)
            } else if replaced.len() == patches {
                copies.iter().position(|copy| copy.replaced == replaced)
            } else {
                None
            };
            match place {
                Some(place) => copies[place].values.push((curve, step)),
                None => copies.push(PlannedCopy { replaced, curve, values: vec![(curve, step)] }),
            }
        }
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::PatchGrid;
    use crate::evaluate::perturb::{Curve, Mode, Order, Replacement};
    use crate::explain::Method;
    use crate::network::Preprocessing;

    #[test]
    fn what_is_the_same_for_all_curves_runs_once() {
        let settings = |mode, counts: &[usize]| PerturbSettings {
            curves: Curve::all(&[Method::Gradient], &[Order::Most, Order::Least]),
            mode,
            counts: counts.to_vec(),
            grid: PatchGrid { height: 20, width: 10, side: 5 },
            replacement: Replacement::Mean,
            seed: 0,
            batch: 1,
            preprocessing: Preprocessing::default(),
        };
        // 8 patches, 3 curves.
        for (mode, counts, expected) in [
            (Mode::Flip, &[0, 1, 5][..], 1 + 3 * 2),
            (Mode::Flip, &[0, 8], 1 + 1),
            (Mode::Deletion, &[0, 4, 8], 1 + 3 + 1),
            (Mode::Insertion, &[0, 4, 8], 1 + 3 + 1),
        ] {
            let copies = planned_copies(&settings(mode, counts));
            assert_eq!(copies.len(), expected, "{mode} {counts:?}");
            assert!(copies[0].replaced.is_empty());
            let mut values: Vec<(usize, usize)> =
                copies.iter().flat_map(|copy| copy.values.clone()).collect();
            values.sort_unstable();
            let all: Vec<_> =
                (0..3).flat_map(|curve| (0..counts.len()).map(move |step| (curve, step))).collect();
            assert_eq!(values, all);
        }
    }
}
