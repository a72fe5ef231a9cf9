//! Copies of images in which patches are replaced.

use super::Cpu;
use super::laps::Laps;
use crate::backend::perturb::{check_copies, check_images, responses};
use crate::backend::{AlteredCopy, BackendError, Batch, Filling, First, PatchGrid, Perturber, Pixels};
use crate::parallel;

/// Images, and what their patches are replaced with: \[images, 3, height, width\].
pub(super) struct CpuPerturber<'a> {
    cpu: &'a Cpu,
    grid: PatchGrid,
    images: Vec<f32>,
    fillings: Vec<f32>,
    /// The copies of a batch.
    copies: Vec<f32>,
}

impl<'a> CpuPerturber<'a> {
    pub fn new(
        cpu: &'a Cpu,
        images: &[f32],
        count: usize,
        grid: PatchGrid,
        filling: Filling,
    ) -> Result<Self, BackendError> {
        check_images(images.len(), count, grid)?;
        cpu.network.extents(grid.height, grid.width)?;
        let fillings = match filling {
            Filling::PatchMeans => cpu.threads.install(|| patch_means(images, grid)),
            Filling::Images(fillings) => {
                check_images(fillings.len(), count, grid)?;
                fillings.to_vec()
            }
        };
        Ok(CpuPerturber { cpu, grid, images: images.to_vec(), fillings, copies: Vec::new() })
    }
}

impl Perturber for CpuPerturber<'_> {
    fn rank(&mut self, maps: &[f32], absolute: bool, first: First) -> Result<Vec<u32>, BackendError> {
        let grid = self.grid;
        assert!(maps.len().is_multiple_of(grid.values()), "{} values of maps", maps.len());
        let ranks = |map: &[f32]| ranks(&patch_sums(map, grid, absolute), first);
        Ok(self.cpu.threads.install(|| parallel::map(maps.chunks_exact(grid.values()), ranks)).concat())
    }

    fn respond(
        &mut self,
        copies: &[AlteredCopy],
    ) -> Result<Vec<Result<Vec<f32>, BackendError>>, BackendError> {
        let CpuPerturber { cpu, grid, images, fillings, copies: altered } = self;
        let values = grid.values();
        check_copies(copies, images.len() / values, grid.patches());
        altered.resize(copies.len() * values, 0.0);
        cpu.threads.install(|| {
            parallel::each(altered.chunks_exact_mut(values).zip(copies), |(altered, copy)| {
                let place = copy.image * values..(copy.image + 1) * values;
                replace(&images[place.clone()], &fillings[place], *grid, copy, altered);
            });
            let PatchGrid { height, width, .. } = *grid;
            let batch = Batch { images: copies.len(), height, width, pixels: Pixels::Normalised(altered) };
            let trace = cpu.run_forward(&batch, &mut Laps::off())?;
            Ok(responses(&trace, copies.len()))
        })
    }
}

/// Every patch filled with its mean, each channel's own.
fn patch_means(images: &[f32], grid: PatchGrid) -> Vec<f32> {
    let plane = grid.height * grid.width;
    let mut means = vec![0.0; images.len()];
    parallel::each(means.chunks_exact_mut(plane).zip(images.chunks_exact(plane)), |(means, image)| {
        for patch in 0..grid.patches() {
            let (rows, columns) = grid.pixels(patch);
            let pixels = rows.len() * columns.len();
            let mut sum = 0.0;
            for row in rows.clone() {
                let values = &image[row * grid.width..][columns.clone()];
                values.iter().for_each(|&value| sum += f64::from(value));
            }
            let mean = (sum / pixels as f64) as f32;
            for row in rows {
                means[row * grid.width..][columns.clone()].fill(mean);
            }
        }
    });
    means
}

/// The sum over each patch of a map.
fn patch_sums(map: &[f32], grid: PatchGrid, absolute: bool) -> Vec<f64> {
    let sum = |patch| {
        let (rows, columns) = grid.pixels(patch);
        let mut sum = 0.0;
        for plane in map.chunks_exact(grid.height * grid.width) {
            for row in rows.clone() {
                for &value in &plane[row * grid.width..][columns.clone()] {
                    let value = f64::from(value);
                    sum += if absolute { value.abs() } else { value };
                }
            }
        }
        sum
    };
    (0..grid.patches()).map(sum).collect()
}

/// The rank of each patch by its sum, from 0; sorting is stable, so equal ones stay in scan order.
fn ranks(sums: &[f64], first: First) -> Vec<u32> {
    let mut order: Vec<usize> = (0..sums.len()).collect();
    // Zeros of both signs are equal.
    let key = |&patch: &usize| sums[patch] + 0.0;
    order.sort_by(|one, other| match first {
        First::Largest => key(other).total_cmp(&key(one)),
        First::Smallest => key(one).total_cmp(&key(other)),
    });
    let mut ranks = vec![0; sums.len()];
    for (rank, patch) in (0..).zip(order) {
        ranks[patch] = rank;
    }
    ranks
}

/// Writes a copy of one image.
fn replace(image: &[f32], filling: &[f32], grid: PatchGrid, copy: &AlteredCopy, altered: &mut [f32]) {
    altered.copy_from_slice(image);
    let replaced = |&(_, rank): &(usize, &u32)| copy.replaced.contains(rank);
    for (patch, _) in copy.ranks.iter().enumerate().filter(replaced) {
        let (rows, columns) = grid.pixels(patch);
        for channel in 0..3 {
            for row in rows.clone() {
                let start = (channel * grid.height + row) * grid.width;
                let place = start + columns.start..start + columns.end;
                altered[place.clone()].copy_from_slice(&filling[place]);
            }
        }
    }
}
