// VggxBelow in an elementwise kernel: gates the signals of an octet, stores them, and scatters them where a pool lies below.
#pragma once

#include "bits.cuh"
#include "octet.cuh"
#include "scale.cuh"

// Zero on the last row and column of an unpooled map that no window covers, beside the window of (y, x).
template <class Element>
__device__ __forceinline__ void clear_uncovered(const VggxBelow &below, const OctetPlace &place, int height, int width,
                                                int channels) {
    Octet<Element> *output = pointer<Octet<Element>>(below.output);
    const bool row = place.y == height - 1 && below.unpooled_height > 2 * height;
    const bool column = place.x == width - 1 && below.unpooled_width > 2 * width;
    const int bottom = 2 * height;
    const int right = 2 * width;
    const auto clear = [&](int y, int x) {
        const OctetPlace uncovered = {place.image, y, x, place.octet};
        output[uncovered.index(below.unpooled_height, below.unpooled_width, channels)] = Octet<Element>{};
    };
    if (row) {
        clear(bottom, 2 * place.x);
        clear(bottom, 2 * place.x + 1);
    }
    if (column) {
        clear(2 * place.y, right);
        clear(2 * place.y + 1, right);
    }
    if (row && column) {
        clear(bottom, right);
    }
}

// Gates and stores what arrives at an octet of a map [images, height, width, channels]. `signals` are in stored units.
// Returns the bits of the largest magnitude stored.
template <class Element>
__device__ __forceinline__ unsigned store_below(const VggxBelow &below, const OctetPlace &place, int height, int width,
                                                int channels, const float (&signals)[VGGX_OCTET]) {
    const int j = place.octet % 8;
    const int64_t words = place.index(height, width, channels) / 8; // eight octets share the words of a group
    Octet<Element> *output = pointer<Octet<Element>>(below.output);

    MaskWords mask = {};
    if (below.below != VGGX_BELOW_NOTHING && (below.gate & VGGX_GATE_MASK)) {
        mask = pointer<const MaskWords>(below.mask)[words];
    }
    const int gate = below.below == VGGX_BELOW_NOTHING ? 0 : below.gate;
    Octet<Element> passed;
    unsigned largest = 0;
#pragma unroll
    for (int k = 0; k < VGGX_OCTET; ++k) {
        passed.values[k] = narrow<Element>(gated(signals[k], gate, mask_bit(mask.words[k / 2], j, k % 2)));
        largest = max(largest, magnitude_bits(widen(passed.values[k])));
    }

    if (below.below != VGGX_BELOW_POOL) {
        output[place.index(height, width, channels)] = passed;
        return largest;
    }
    const ArgmaxWords argmax = pointer<const ArgmaxWords>(below.argmax)[words];
#pragma unroll
    for (int source = 0; source < 4; ++source) {
        Octet<Element> window;
#pragma unroll
        for (int k = 0; k < VGGX_OCTET; ++k) {
            window.values[k] = argmax_of(argmax.words[k / 2], j, k % 2) == source ? passed.values[k] : Element{};
        }
        const OctetPlace unpooled = {place.image, 2 * place.y + source / 2, 2 * place.x + source % 2, place.octet};
        output[unpooled.index(below.unpooled_height, below.unpooled_width, channels)] = window;
    }
    clear_uncovered<Element>(below, place, height, width, channels);
    return largest;
}
