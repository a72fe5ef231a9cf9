//! Patches: means, sums, ranks, and copies in which some are replaced.

use crate::support::{Random, gpu};
use vggx::backend::cuda::params::{VggxAlteredCopy, VggxPatches, VggxReplacePatches};

/// Maps, rows, columns and the side of a patch: single pixels, partial patches on both edges, patches larger than the image.
const CASES: [(usize, usize, usize, usize); 8] = [
    (1, 1, 1, 9),
    (1, 1, 1, 1),
    (2, 7, 13, 3),
    (1, 7, 13, 1),
    (33, 5, 4, 2),
    (3, 20, 17, 9),
    (1, 37, 40, 9),
    (2, 13, 7, 40),
];

fn patch_of(at: usize, width: usize, side: usize) -> usize {
    at / width / side * width.div_ceil(side) + at % width / side
}

fn patch_count(height: usize, width: usize, side: usize) -> usize {
    height.div_ceil(side) * width.div_ceil(side)
}

/// Both signs, from 2^-20 to 2^20; halves are exact zeros of both signs in whole patches, so that sums are equal.
fn values(random: &mut Random, (maps, height, width, side): (usize, usize, usize, usize)) -> Vec<f32> {
    let positions = height * width;
    (0..maps * 3 * positions)
        .map(|at| {
            let value = (random.normal() * (40.0 * random.uniform() - 20.0).exp2()) as f32;
            match patch_of(at % positions, width, side) % 4 {
                0 => 0.0,
                1 => -0.0,
                _ => value,
            }
        })
        .collect()
}

fn parameters((maps, height, width, side): (usize, usize, usize, usize)) -> VggxPatches {
    VggxPatches {
        maps: maps as i32,
        height: height as i32,
        width: width as i32,
        side: side as i32,
        ..VggxPatches::default()
    }
}

#[test]
fn patches_are_filled_with_their_means() {
    let gpu = gpu();
    for case in CASES {
        let (maps, height, width, side) = case;
        let (positions, patches) = (height * width, patch_count(height, width, side));
        let values = values(&mut Random::new(positions as u64), case);
        let means = gpu.in_every_order(&format!("{case:?}"), || {
            let (memory, means) = (gpu.upload(&values), gpu.poisoned(values.len() * 4));
            let parameters =
                VggxPatches { values: memory.address(), means: means.address(), ..parameters(case) };
            gpu.launch("patch_means", [(3 * patches).div_ceil(64), maps, 1], 64, 0, &parameters);
            gpu.download::<u32>(&means)
        });
        for (plane, means) in values.chunks_exact(positions).zip(means.chunks_exact(positions)) {
            for (at, &mean) in means.iter().enumerate() {
                let own = patch_of(at, width, side);
                let of_patch: Vec<f64> = (0..positions)
                    .filter(|&other| patch_of(other, width, side) == own)
                    .map(|other| f64::from(plane[other]))
                    .collect();
                let expected = (of_patch.iter().sum::<f64>() / of_patch.len() as f64) as f32;
                // In the same order, and zeros of either sign are one.
                assert_eq!(f32::from_bits(mean), expected, "{case:?} at {at}");
            }
        }
    }
}

#[test]
fn patches_are_ranked_by_their_sums() {
    let gpu = gpu();
    for case in CASES {
        for (absolute, least_first) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (maps, height, width, side) = case;
            let (positions, patches) = (height * width, patch_count(height, width, side));
            let values = values(&mut Random::new(7 + positions as u64), case);
            let what = format!("{case:?}, {absolute}, {least_first}");
            let (sums, ranks) = gpu.in_every_order(&what, || {
                let memory = gpu.upload(&values);
                let (sums, ranks) = (gpu.poisoned(maps * patches * 8), gpu.poisoned(maps * patches * 4));
                let parameters = VggxPatches {
                    values: memory.address(),
                    sums: sums.address(),
                    ranks: ranks.address(),
                    absolute,
                    least_first,
                    ..parameters(case)
                };
                gpu.launch("patch_sums", [patches.div_ceil(64), maps, 1], 64, 0, &parameters);
                gpu.launch("patch_ranks", [patches.div_ceil(64), maps, 1], 64, 0, &parameters);
                (gpu.download::<f64>(&sums), gpu.download::<u32>(&ranks))
            });
            let mut equal = 0;
            for (map, values) in values.chunks_exact(3 * positions).enumerate() {
                let mut expected = vec![0.0; patches];
                for (at, &value) in values.iter().enumerate() {
                    let value = f64::from(value);
                    expected[patch_of(at % positions, width, side)] +=
                        if absolute == 1 { value.abs() } else { value };
                }
                let sums = &sums[map * patches..][..patches];
                for (patch, (sum, expected)) in sums.iter().zip(&expected).enumerate() {
                    assert_eq!(sum, expected, "{what}, map {map}, patch {patch}");
                }
                for patch in 0..patches {
                    let before = (0..patches).filter(|&other| {
                        let precedes = if least_first == 1 {
                            sums[other] < sums[patch]
                        } else {
                            sums[other] > sums[patch]
                        };
                        precedes || sums[other] == sums[patch] && other < patch
                    });
                    assert_eq!(
                        ranks[map * patches + patch] as usize,
                        before.count(),
                        "{what}, {map}, {patch}"
                    );
                    equal += usize::from((0..patch).any(|other| sums[other] == sums[patch]));
                }
            }
            assert!(equal > 0 || patches < 5, "{what}: no equal sums are ranked");
        }
    }
}

#[test]
fn copies_have_the_patches_replaced_that_their_ranks_say() {
    let gpu = gpu();
    for case in CASES {
        let (images, height, width, side) = case;
        let (positions, patches) = (height * width, patch_count(height, width, side));
        let mut random = Random::new(3 + positions as u64);
        let (original, filling) = (values(&mut random, case), values(&mut random, case));
        let copies: Vec<[u32; 4]> = (0..2 * images + 3)
            .map(|copy| {
                let (one, other) = (random.below(patches + 1) as u32, random.below(patches + 1) as u32);
                let (first, end) = match copy {
                    0 => (0, 0),
                    1 => (0, patches as u32),
                    _ => (one.min(other), one.max(other)),
                };
                [random.below(images) as u32, first, end, 0]
            })
            .collect();
        let ranks: Vec<u32> = copies
            .iter()
            .flat_map(|_| {
                let mut ranks: Vec<u32> = (0..patches as u32).collect();
                (1..patches).for_each(|last| ranks.swap(last, random.below(last + 1)));
                ranks
            })
            .collect();
        let output = gpu.in_every_order(&format!("{case:?}"), || {
            let (images, fillings) = (gpu.upload(&original), gpu.upload(&filling));
            let (requests, ranks) = (gpu.upload(copies.as_flattened()), gpu.upload(&ranks));
            let output = gpu.poisoned(copies.len() * 3 * positions * 4);
            let parameters = VggxReplacePatches {
                images: images.address(),
                fillings: fillings.address(),
                copies: requests.address(),
                ranks: ranks.address(),
                output: output.address(),
                height: height as i32,
                width: width as i32,
                side: side as i32,
                reserved: 0,
            };
            gpu.launch("replace_patches", [positions.div_ceil(1024), copies.len(), 1], 256, 0, &parameters);
            gpu.download::<u32>(&output)
        });
        let mut replaced = [0, 0];
        for (number, [image, first, end, _]) in copies.iter().enumerate() {
            for value in 0..3 * positions {
                let rank = ranks[number * patches + patch_of(value % positions, width, side)];
                let is_replaced = (first..end).contains(&&rank);
                replaced[usize::from(is_replaced)] += 1;
                let from = *image as usize * 3 * positions + value;
                let expected = if is_replaced { filling[from] } else { original[from] };
                assert_eq!(
                    output[number * 3 * positions + value],
                    expected.to_bits(),
                    "{case:?}, {number}, {value}"
                );
            }
        }
        assert!(replaced.iter().all(|&count| count > 0));
    }
}

#[test]
fn a_request_is_laid_out_as_words() {
    assert_eq!(size_of::<VggxAlteredCopy>(), size_of::<[u32; 4]>());
    let copy = VggxAlteredCopy { image: 1, first: 2, end: 3, reserved: 4 };
    let base = std::ptr::from_ref(&copy).addr();
    let offsets =
        [&raw const copy.image as usize, &raw const copy.first as usize, &raw const copy.end as usize];
    assert_eq!(offsets.map(|address| address - base), [0, 4, 8]);
}
