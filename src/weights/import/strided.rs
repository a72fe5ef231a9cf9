//! Elements that lie in another order than row-major: transposed tensors, Fortran's order.

use crate::parallel;

/// Whether elements of this shape and these strides follow each other without gaps, row-major.
pub(super) fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1_usize;
    shape.iter().zip(strides).rev().all(|(&extent, &stride)| {
        let follows = extent == 1 || stride == expected;
        expected = expected.saturating_mul(extent);
        follows
    })
}

/// The index of the last element, Σ (extent − 1)·stride; `None` where it is too large. Every extent is at least 1.
pub(super) fn last(shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape.iter().zip(strides).try_fold(0_usize, |last, (&extent, &stride)| {
        extent.checked_sub(1)?.checked_mul(stride)?.checked_add(last)
    })
}

/// Copies elements of `size` bytes (2, 4 or 8) into row-major order: element (i, j, …) is at i·stride₀ + j·stride₁ + … in
/// `source`. `None` where that is beyond its end, or the shape has more elements than `source`.
pub(super) fn gather(source: &[u8], size: usize, shape: &[usize], strides: &[usize]) -> Option<Vec<u8>> {
    match size {
        2 => gather_of::<2>(source, shape, strides),
        4 => gather_of::<4>(source, shape, strides),
        8 => gather_of::<8>(source, shape, strides),
        _ => None,
    }
}

/// First indices that are gathered at a time: where they lie next to each other, as in transposed matrices, what is read is a whole
/// cache line.
const TOGETHER: usize = 16;

fn gather_of<const SIZE: usize>(source: &[u8], shape: &[usize], strides: &[usize]) -> Option<Vec<u8>> {
    let (source, _) = source.as_chunks::<SIZE>();
    let count = shape.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent))?;
    if count == 0 {
        return Some(Vec::new());
    }
    if count > source.len() || last(shape, strides)? >= source.len() {
        return None;
    }
    let (&first_stride, strides) = strides.split_first().unwrap_or((&0, &[]));
    let shape = shape.get(1..).unwrap_or_default();
    let row: usize = shape.iter().product();
    let mut out = vec![0; count * SIZE];
    parallel::each(out.chunks_mut(TOGETHER * row * SIZE).enumerate(), |(group, out)| {
        let (out, _) = out.as_chunks_mut::<SIZE>();
        let first = group * TOGETHER * first_stride;
        let mut index = vec![0_usize; shape.len()];
        let mut at = 0;
        for position in 0..row {
            for (number, out) in out.iter_mut().skip(position).step_by(row).enumerate() {
                *out = source[first + number * first_stride + at];
            }
            at = step(&mut index, shape, strides, at);
        }
    });
    Some(out)
}

/// Moves on as an odometer does: the innermost digit that is not at its end moves on, those within it start again. Returns where
/// that is.
fn step(index: &mut [usize], shape: &[usize], strides: &[usize], mut at: usize) -> usize {
    for ((digit, &extent), &stride) in index.iter_mut().zip(shape).zip(strides).rev() {
        *digit += 1;
        if *digit < extent {
            return at + stride;
        }
        *digit = 0;
        at -= (extent - 1) * stride;
    }
    at
}

/// Rounds float64 to float32, both little-endian.
pub(super) fn round_to_float32(bytes: &[u8]) -> Vec<u8> {
    let (numbers, _) = bytes.as_chunks::<8>();
    numbers.iter().flat_map(|number| (f64::from_le_bytes(*number) as f32).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element with the indices taken from the position, for any number of axes.
    fn reference(source: &[u8], size: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
        let count: usize = shape.iter().product();
        (0..count)
            .flat_map(|position| {
                let (mut rest, mut at) = (position, 0);
                for (extent, stride) in shape.iter().zip(strides).rev() {
                    at += rest % extent * stride;
                    rest /= extent;
                }
                source[at * size..][..size].to_vec()
            })
            .collect()
    }

    #[test]
    fn any_strides() {
        let source: Vec<u8> = (0..8000_u32).map(|index| (index * 7919 % 251) as u8).collect();
        for (shape, strides) in [
            (vec![], vec![]),
            (vec![1, 1], vec![5, 9]),
            (vec![7, 13], vec![13, 1]),
            (vec![7, 13], vec![1, 7]),
            (vec![33, 17], vec![1, 33]),
            (vec![17, 1, 2], vec![1, 1, 17]),
            (vec![3, 4, 5], vec![1, 3, 12]),
            (vec![2, 3, 2, 5], vec![90, 20, 7, 1]),
            (vec![4, 6], vec![1, 2]),
        ] {
            for size in [2, 4, 8] {
                let found = gather(&source, size, &shape, &strides).unwrap();
                assert_eq!(found, reference(&source, size, &shape, &strides), "{shape:?} {strides:?}");
            }
        }
    }

    #[test]
    fn beyond_the_end_and_repeated() {
        assert_eq!(gather(&[0; 24], 4, &[2, 3], &[3, 1]), Some(vec![0; 24]));
        assert_eq!(gather(&[0; 24], 4, &[2, 3], &[4, 1]), None);
        assert_eq!(gather(&[0; 24], 4, &[7], &[0]), None);
        assert_eq!(gather(&[0; 24], 4, &[2, 2], &[usize::MAX, 1]), None);
        assert_eq!(gather(&[0; 24], 4, &[usize::MAX, 3], &[0, 0]), None);
        assert_eq!(gather(&[], 4, &[0, usize::MAX], &[1, 1]), Some(Vec::new()));
    }

    #[test]
    fn contiguous_but_for_extents_of_one() {
        assert!(is_contiguous(&[7, 13], &[13, 1]));
        assert!(is_contiguous(&[7, 1, 13], &[13, 99, 1]));
        assert!(!is_contiguous(&[7, 13], &[1, 7]));
        assert!(is_contiguous(&[], &[]));
    }
}
