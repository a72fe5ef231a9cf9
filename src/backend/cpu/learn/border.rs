//! Σx over all patches: for each channel and tap the sum over the part of the map that the tap reaches.

use crate::backend::cpu::convolution::TAPS;
use crate::backend::cpu::simd::vectorised;
use crate::backend::cpu::tiles::Maps;
use crate::parallel;

/// Σx over all patches of the `valid` images, \[channels, 3, 3\]. Taps above their position reach all rows but the last
/// one, taps below it all but the first, and so for columns.
pub fn patch_sums(values: &[f32], maps: Maps, valid: &[usize]) -> Vec<f64> {
    let Maps { height, width, channels, .. } = maps;
    let lines: Vec<(usize, usize)> =
        valid.iter().flat_map(|&image| (0..height).map(move |y| (image, y))).collect();
    let line = |&(image, y): &(usize, usize)| {
        tap_sums(&values[(image * height + y) * width * channels..][..width * channels], channels)
    };
    let sums: Vec<[Vec<f64>; 3]> = parallel::map(&lines, line);
    let mut patches = vec![0.0; channels * TAPS];
    for (&(_, y), sums) in lines.iter().zip(&sums) {
        for tap in 0..TAPS {
            let reached = match tap / 3 {
                0 => y + 1 < height,
                1 => true,
                _ => y > 0,
            };
            if reached {
                for (channel, sum) in sums[tap % 3].iter().enumerate() {
                    patches[channel * TAPS + tap] += sum;
                }
            }
        }
    }
    patches
}

/// Of one row \[width, channels\] and every channel: the sum over what a tap to the left reaches (all columns but the
/// last), one in the middle (all), one to the right (all but the first).
fn tap_sums(row: &[f32], channels: usize) -> [Vec<f64>; 3] {
    let mut middle = vec![0f64; channels];
    vectorised(
        #[inline(always)]
        || {
            for position in row.chunks_exact(channels) {
                for (sum, &value) in middle.iter_mut().zip(position) {
                    *sum += f64::from(value);
                }
            }
        },
    );
    let without = |edge: &[f32]| middle.iter().zip(edge).map(|(sum, &edge)| sum - f64::from(edge)).collect();
    let (left, right) = (without(&row[row.len() - channels..]), without(&row[..channels]));
    [left, middle, right]
}

/// Σx over the `valid` rows of x \[images, inputs\].
pub fn row_sums(values: &[f32], inputs: usize, valid: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; inputs];
    for &image in valid {
        for (sum, &value) in sums.iter_mut().zip(&values[image * inputs..][..inputs]) {
            *sum += f64::from(value);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_sums_are_those_of_all_patches() {
        for (height, width, channels) in [(1, 1, 1), (1, 5, 2), (4, 1, 3), (3, 7, 2)] {
            let maps = Maps { images: 3, height, width, channels };
            let values: Vec<f32> = (0..maps.len()).map(|at| (at * at % 101) as f32 - 40.0).collect();
            let mut expected = vec![0.0; channels * TAPS];
            for image in [0, 2] {
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    for tap in 0..TAPS {
                        let (y, x) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                        if y < height && x < width {
                            for channel in 0..channels {
                                let at = ((image * height + y) * width + x) * channels + channel;
                                expected[channel * TAPS + tap] += f64::from(values[at]);
                            }
                        }
                    }
                }
            }
            assert_eq!(patch_sums(&values, maps, &[0, 2]), expected, "{height}×{width}×{channels}");
        }
    }
}
