// Masks and argmaxes as bits (params.h): of the 64 channels of a group, word q has at place 2 * j + e the channel
// 8 * j + 2 * q + e.
#pragma once

#include "element.cuh"

// The words of one position and one group of 64 channels, as they lie in memory.
struct alignas(8) MaskWords {
    uint16_t words[4];
};

struct alignas(16) ArgmaxWords {
    uint32_t words[4];
};

__device__ __forceinline__ bool mask_bit(unsigned word, int j, int e) { return (word >> (2 * j + e) & 1u) != 0; }

// 2 * row + column within the window of 2x2.
__device__ __forceinline__ int argmax_of(unsigned word, int j, int e) { return int(word >> 2 * (2 * j + e) & 3u); }

// What passes a ReLU on the way back. Not a number passes the sign gate, so that it is found and told.
__device__ __forceinline__ float gated(float signal, int gate, bool mask) {
    const bool passes = (!(gate & VGGX_GATE_MASK) || mask) && (!(gate & VGGX_GATE_SIGN) || !(signal <= 0.0f));
    return passes ? signal : 0.0f;
}

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
