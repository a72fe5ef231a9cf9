// Mask and argmax words in the order of the accumulator fragment (params.h): of a group of 64 channels, word q holds channel
// 8 * j + 2 * q + e at index 2 * j + e.
#pragma once

#include "element.cuh"

// The argmax (2 * dy + dx) of channel `channel` (0..63) of a group, of whose words all four are given.
__device__ __forceinline__ int argmax_of(const Vector<unsigned> &words, int channel) {
    const int j = channel / 8, q = channel % 8 / 2, e = channel % 2;
    // Chosen, not indexed: registers have no addresses.
    const unsigned even = q & 2 ? words.values[2] : words.values[0];
    const unsigned odd = q & 2 ? words.values[3] : words.values[1];
    return int((q & 1 ? odd : even) >> (2 * (2 * j + e)) & 3u);
}

// Index of word q of a position's group of 64 channels.
__device__ __forceinline__ int64_t word_index(int position, int channels, int group, int q) {
    return (int64_t(position) * (channels / 64) + group) * 4 + q;
}
