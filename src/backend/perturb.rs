//! Copies of images in which patches are replaced: what measures of explanations run forward.

use super::BackendError;
use std::ops::Range;

/// Images cut into square patches, in scan order from the top left; those at the right and at the bottom may be smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Rows of the images.
    pub height: usize,
    /// Columns of the images.
    pub width: usize,
    /// Rows and columns of a whole patch, at least 1.
    pub side: usize,
}

impl PatchGrid {
    /// Patches beside each other.
    pub fn columns(&self) -> usize {
        self.width.div_ceil(self.side)
    }

    /// Patches below each other.
    pub fn rows(&self) -> usize {
        self.height.div_ceil(self.side)
    }

    /// Number of patches.
    pub fn patches(&self) -> usize {
        self.rows() * self.columns()
    }

    /// Rows and columns of the pixels of a patch.
    pub fn pixels(&self, patch: usize) -> (Range<usize>, Range<usize>) {
        let from = |place: usize, end: usize| place * self.side..((place + 1) * self.side).min(end);
        (from(patch / self.columns(), self.height), from(patch % self.columns(), self.width))
    }

    /// Values of an image.
    pub(super) fn values(&self) -> usize {
        3 * self.height * self.width
    }
}

/// What patches are replaced with.
#[derive(Clone, Copy, Debug)]
pub enum Filling<'a> {
    /// The mean of the patch in each channel: summed in float64 in scan order, rounded once.
    PatchMeans,
    /// The same place of these images, \[images, 3, height, width\], normalised.
    Images(&'a [f32]),
}

/// Which patches come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Those with the largest sums.
    Largest,
    /// Those with the smallest sums.
    Smallest,
}

/// A copy of an image in which some patches are replaced.
#[derive(Clone, Debug)]
pub struct AlteredCopy<'a> {
    /// Place of the image among those that were given.
    pub image: usize,
    /// The rank of each patch, from 0; one a patch.
    pub ranks: &'a [u32],
    /// Ranks of the patches that are replaced.
    pub replaced: Range<u32>,
}

/// Images that a device holds to run altered copies of them.
pub trait Perturber {
    /// Ranks the patches of maps, \[maps, 3, height, width\], by the sum over their pixels and channels, of magnitudes if
    /// `absolute`: from 0, \[maps, patches\]. Equal sums are ranked in scan order. Sums are taken in float64, channel after
    /// channel in scan order, so that ranks are the same on every device. A map times any power of two has the same ranks.
    ///
    /// # Panics
    /// When there is a part of a map.
    ///
    /// # Errors
    /// When the device fails or has too little memory.
    fn rank(&mut self, maps: &[f32], absolute: bool, first: First) -> Result<Vec<u32>, BackendError>;

    /// Runs copies forward. An entry has the responses of a copy, as [`Trace::responses`](super::Trace::responses), or says
    /// why there are none.
    ///
    /// # Panics
    /// When a copy is of no image that was given, or has more or fewer ranks than patches.
    ///
    /// # Errors
    /// As [`Backend::forward`](super::Backend::forward).
    fn respond(
        &mut self,
        copies: &[AlteredCopy],
    ) -> Result<Vec<Result<Vec<f32>, BackendError>>, BackendError>;
}

/// Refuses images that are not as many values as they should be, for [`Backend::perturb`](super::Backend::perturb).
pub(super) fn check_images(got: usize, images: usize, grid: PatchGrid) -> Result<(), BackendError> {
    let expected = images.saturating_mul(grid.values());
    if got == expected {
        return Ok(());
    }
    Err(BackendError::BatchSize { got, expected, images, height: grid.height, width: grid.width })
}

/// Refuses copies that cannot be made.
///
/// # Panics
/// Then.
pub(super) fn check_copies(copies: &[AlteredCopy], images: usize, patches: usize) {
    for copy in copies {
        assert!(copy.image < images, "image {} of {images}", copy.image);
        assert_eq!(copy.ranks.len(), patches, "one rank a patch");
    }
}

/// The responses of every image of a batch that has run forward.
pub(super) fn responses(trace: &dyn super::Trace, images: usize) -> Vec<Result<Vec<f32>, BackendError>> {
    let of_image = |image| match trace.failure(image) {
        Some(failure) => Err(failure),
        None => Ok(trace.responses(image).to_vec()),
    };
    (0..images).map(of_image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_cover_every_pixel_once() {
        for (height, width, side) in
            [(1, 1, 9), (7, 13, 1), (7, 13, 3), (9, 9, 9), (20, 10, 9), (224, 224, 9)]
        {
            let grid = PatchGrid { height, width, side };
            let mut covered = vec![0; height * width];
            for patch in 0..grid.patches() {
                let (rows, columns) = grid.pixels(patch);
                assert!(!rows.is_empty() && !columns.is_empty());
                for row in rows {
                    columns.clone().for_each(|column| covered[row * width + column] += 1);
                }
            }
            assert!(covered.iter().all(|&times| times == 1), "{grid:?}");
        }
        assert_eq!(PatchGrid { height: 224, width: 224, side: 9 }.patches(), 625);
    }
}
