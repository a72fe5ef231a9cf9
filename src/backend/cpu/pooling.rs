//! Torchvision's adaptive average pool between the convolutions and the classifier, forward and backward.

use super::tiles::Maps;
use std::ops::Range;

/// Input positions that output cell `index` of `cells` averages: ⌊i·n/s⌋ up to ⌈(i+1)·n/s⌉.
fn window(index: usize, cells: usize, extent: usize) -> Range<usize> {
    index * extent / cells..((index + 1) * extent).div_ceil(cells)
}

/// Averages one image's map \[height, width, channels\] to a `side` × `side` grid and flattens it channels first, as
/// torchvision does: `flat[(c * side + y) * side + x]`.
pub fn average_and_flatten(map: &[f32], maps: Maps, side: usize, flat: &mut [f32]) {
    let mut sums = vec![0.0; maps.channels];
    for y in 0..side {
        for x in 0..side {
            let (rows, columns) = (window(y, side, maps.height), window(x, side, maps.width));
            let factor = 1.0 / (rows.len() * columns.len()) as f32;
            sums.fill(0.0);
            for row in rows {
                for column in columns.clone() {
                    let at = (row * maps.width + column) * maps.channels;
                    for (sum, value) in sums.iter_mut().zip(&map[at..at + maps.channels]) {
                        *sum += value;
                    }
                }
            }
            for (channel, sum) in sums.iter().enumerate() {
                flat[(channel * side + y) * side + x] = sum * factor;
            }
        }
    }
}

/// Spreads a flattened signal back over one image's map: every cell's value, divided by its window's size, goes to each
/// position of the window.
pub fn unflatten_and_spread(flat: &[f32], maps: Maps, side: usize, map: &mut [f32]) {
    map.fill(0.0);
    for y in 0..side {
        for x in 0..side {
            let (rows, columns) = (window(y, side, maps.height), window(x, side, maps.width));
            let factor = 1.0 / (rows.len() * columns.len()) as f32;
            for row in rows {
                for column in columns.clone() {
                    let at = (row * maps.width + column) * maps.channels;
                    for (channel, value) in map[at..at + maps.channels].iter_mut().enumerate() {
                        *value += flat[(channel * side + y) * side + x] * factor;
                    }
                }
            }
        }
    }
}
