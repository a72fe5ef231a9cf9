// Masks and argmaxes as bits (params.h): of the 64 channels of a group, word q has at place 2 * j + e the channel
// 8 * j + 2 * q + e.
#pragma once

#include "kernel.cuh"

// The words of one position and one group of 64 channels, as they lie in memory.
struct alignas(8) MaskWords {
    uint16_t words[4];
};

struct alignas(16) ArgmaxWords {
    uint32_t words[4];
};

__device__ __forceinline__ bool mask_bit(unsigned word, int j, int e) { return (word >> (2 * j + e) & 1u) != 0; }

// Moves the bits of a word up by one, and sets the lowest where z > 0: where 0 - z has a sign, which is +0 for both zeros. (A shift
// across two registers; a comparison, a selection and an addition would take the slower half of the arithmetic units three times.)
__device__ __forceinline__ unsigned push_positive(unsigned word, float z) {
    return word << 1 | __float_as_uint(0.0f - z) >> 31;
}

// The word that holds both channels 8 * j + 2 * q + e, chosen and not indexed: registers have no addresses.
__device__ __forceinline__ unsigned word_of(const ArgmaxWords &argmax, int q) {
    const unsigned even = q & 2 ? argmax.words[2] : argmax.words[0];
    const unsigned odd = q & 2 ? argmax.words[3] : argmax.words[1];
    return q & 1 ? odd : even;
}

// 2 * row + column within the window of 2x2.
__device__ __forceinline__ int argmax_of(unsigned word, int j, int e) { return int(word >> 2 * (2 * j + e) & 3u); }

// What passes a ReLU on the way back. Not a number passes the sign gate, so that it is found and told.
__device__ __forceinline__ float gated(float signal, int gate, bool mask) {
    const bool passes = (!(gate & VGGX_GATE_MASK) || mask) && (!(gate & VGGX_GATE_SIGN) || !(signal <= 0.0f));
    return passes ? signal : 0.0f;
}

// Index of word q of a position's group of 64 channels.
__device__ __forceinline__ int64_t word_index(int position, int channels, int group, int q) {
    return (int64_t(position) * (channels / 64) + group) * 4 + q;
}
