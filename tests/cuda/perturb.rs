//! Copies of images in which patches are replaced, against the CPU backend and against themselves.

use std::collections::BTreeSet;

use vggx::backend::cuda::Precision;
use vggx::backend::{AlteredCopy, Backend, BackendError, Filling, First, PatchGrid};
use vggx::weights::ElementType;

use crate::passes::cuda;
use crate::reference::{Random, random_vgg};
use crate::support::{Case, decisive_images, random_pixels};

/// As in `agreement`: of a response, relative to the largest.
const RESPONSE: f64 = 2e-5;

fn planes(images: &[Vec<u8>]) -> Vec<f32> {
    images.iter().flat_map(|pixels| Case::input(pixels).into_iter().map(|value| value as f32)).collect()
}

/// Ranks in random order.
fn shuffled(random: &mut Random, patches: usize) -> Vec<u32> {
    let mut ranks: Vec<u32> = (0..patches as u32).collect();
    (1..patches).for_each(|last| ranks.swap(last, (random.next_u64() % (last as u64 + 1)) as usize));
    ranks
}

type Responses = Vec<Result<Vec<f32>, BackendError>>;

fn bits(responses: Responses) -> Vec<Vec<u32>> {
    let bits = |responses: Result<Vec<f32>, _>| responses.unwrap().into_iter().map(f32::to_bits).collect();
    responses.into_iter().map(bits).collect()
}

/// Runs the copies `batch` at a time.
fn run(
    backend: &dyn Backend,
    (images, count): (&[f32], usize),
    grid: PatchGrid,
    filling: Filling,
    copies: &[AlteredCopy],
    batch: usize,
) -> Responses {
    let mut perturber = backend.perturb(images, count, grid, filling).expect("a batch that fits");
    copies.chunks(batch).flat_map(|copies| perturber.respond(copies).expect("copies that run")).collect()
}

fn agrees(case: &Case, size: (usize, usize), side: usize) {
    let grid = PatchGrid { height: size.0, width: size.1, side };
    let images: Vec<Vec<u8>> =
        decisive_images(&case.network, size, 3, 11).into_iter().map(|(pixels, _)| pixels).collect();
    let images = planes(&images);
    let mut random = Random::new(side as u64);
    let other: Vec<f32> = (0..images.len()).map(|_| random.normal() as f32).collect();
    let ranks: Vec<Vec<u32>> = (0..8).map(|_| shuffled(&mut random, grid.patches())).collect();
    let copies: Vec<AlteredCopy> = ranks
        .iter()
        .enumerate()
        .map(|(number, ranks)| {
            let bound = (number * grid.patches() / 7) as u32;
            let replaced = if number % 3 == 1 { bound..grid.patches() as u32 } else { 0..bound };
            AlteredCopy { image: number % 3, ranks, replaced }
        })
        .collect();
    let (on_cuda, on_cpu) = (cuda(case, Precision::F32), case.backend(2));
    for filling in [Filling::PatchMeans, Filling::Images(&other)] {
        let ours = run(&on_cuda, (&images, 3), grid, filling, &copies, 3);
        let theirs = run(&on_cpu, (&images, 3), grid, filling, &copies, 8);
        let mut distinct = BTreeSet::new();
        for (copy, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let (ours, theirs) = (ours.as_ref().unwrap(), theirs.as_ref().unwrap());
            let largest = theirs.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            for (ours, theirs) in ours.iter().zip(theirs) {
                let error = f64::from((ours - theirs).abs() / largest);
                assert!(error <= RESPONSE, "{size:?}, {filling:?}, copy {copy}: {ours} and {theirs}");
            }
            distinct.insert(ours[0].to_bits());
        }
        assert!(distinct.len() > 4 || grid.patches() < 6, "the copies hardly differ");
        let alone = run(&on_cuda, (&images, 3), grid, filling, &copies[3..5], 1);
        assert_eq!(bits(ours)[3..5], bits(alone));
    }
    // The ranks of one are the other's, whatever the maps.
    let mut theirs = on_cpu.perturb(&images, 3, grid, Filling::PatchMeans).unwrap();
    let mut ours = on_cuda.perturb(&images, 3, grid, Filling::PatchMeans).unwrap();
    let mut maps = other.clone();
    maps[..images.len() / 3].fill(0.0);
    for absolute in [false, true] {
        for first in [First::Largest, First::Smallest] {
            let ranks = ours.rank(&maps, absolute, first).unwrap();
            assert_eq!(ranks, theirs.rank(&maps, absolute, first).unwrap());
            let in_scan_order: Vec<u32> = (0..grid.patches() as u32).collect();
            assert_eq!(ranks[..grid.patches()], in_scan_order);
        }
    }
    assert_eq!(ours.rank(&[], true, First::Largest).unwrap(), [0; 0]);
    assert!(ours.respond(&[]).unwrap().is_empty());
}

#[test]
fn copies_respond_as_on_the_cpu() {
    let classifier = Case::new(random_vgg(21, 3, &[&[6], &[8, 8]], Some((2, &[12, 5]))), ElementType::F32);
    agrees(&classifier, (13, 10), 3);
    let headless = Case::new(random_vgg(22, 3, &[&[5], &[7]], None), ElementType::F32);
    agrees(&headless, (9, 16), 4);
    agrees(&headless, (5, 5), 9);
}

#[test]
fn what_cannot_be_perturbed_is_refused() {
    let case = Case::new(random_vgg(23, 3, &[&[4], &[4]], None), ElementType::F32);
    let images = planes(&[random_pixels(1, 6, 6)]);
    for backend in [&cuda(&case, Precision::F16) as &dyn Backend, &case.backend(1)] {
        let refused = |images: &[f32], count, height, filling: Filling| {
            let grid = PatchGrid { height, width: 6, side: 2 };
            backend.perturb(images, count, grid, filling).err().expect("a refusal")
        };
        let wrong = refused(&images, 2, 6, Filling::PatchMeans);
        assert!(matches!(wrong, BackendError::BatchSize { got: 108, expected: 216, .. }), "{wrong}");
        let wrong = refused(&images, 1, 6, Filling::Images(&images[1..]));
        assert!(matches!(wrong, BackendError::BatchSize { got: 107, .. }), "{wrong}");
        let small = refused(&images[..18], 1, 1, Filling::PatchMeans);
        assert!(matches!(small, BackendError::Network(_)), "{small}");
    }
}
