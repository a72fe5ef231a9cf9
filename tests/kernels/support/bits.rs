//! Masks and argmaxes in the order of params.h.

use super::random::Random;

/// The word of a position and the place in it that a channel has: of the 64 channels of a group, word q has at place
/// 2 j + e the channel 8 j + 2 q + e.
pub fn word_and_place(channel: usize) -> (usize, usize) {
    for q in 0..4 {
        for j in 0..8 {
            for e in 0..2 {
                if 8 * j + 2 * q + e == channel % 64 {
                    return (channel / 64 * 4 + q, 2 * j + e);
                }
            }
        }
    }
    unreachable!("a group has 64 channels")
}

/// Words of a mask [positions, channels].
pub fn pack_mask(mask: &[bool], channels: usize) -> Vec<u16> {
    let mut words = vec![0; mask.len() / 16];
    for (at, _) in mask.iter().enumerate().filter(|(_, set)| **set) {
        let (word, place) = word_and_place(at % channels);
        words[at / channels * (channels / 16) + word] |= 1 << place;
    }
    words
}

/// Words of argmaxes (0 to 3) [positions, channels].
pub fn pack_argmax(argmax: &[u8], channels: usize) -> Vec<u32> {
    let mut words = vec![0; argmax.len() / 16];
    for (at, &source) in argmax.iter().enumerate() {
        let (word, place) = word_and_place(at % channels);
        words[at / channels * (channels / 16) + word] |= u32::from(source) << (2 * place);
    }
    words
}

pub fn random_mask(random: &mut Random, count: usize) -> Vec<bool> {
    (0..count).map(|_| random.below(2) == 1).collect()
}

pub fn random_argmax(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.below(4) as u8).collect()
}
