// Eight neighbouring channels of a map: what a thread of an elementwise kernel works on. Channels are padded to 64, so every
// octet is complete and lies on a boundary of 16 bytes.
#pragma once

#include "element.cuh"

#define VGGX_OCTET 8

template <class Element> struct alignas(16) Octet {
    Element values[VGGX_OCTET];
};

// Where an octet lies in a map [images, height, width, channels].
struct OctetPlace {
    int image;
    int y;
    int x;
    int octet; // of the position: channels 8 * octet to 8 * octet + 7

    // The number of octets before it.
    __device__ __forceinline__ int64_t index(int height, int width, int channels) const {
        return ((int64_t(image) * height + y) * width + x) * (channels / VGGX_OCTET) + octet;
    }
};

// The octet of this thread in a grid (ceil(height * width * channels / 2048), images) of 256 threads; false beyond the map.
__device__ __forceinline__ bool octet_of_thread(int height, int width, int channels, OctetPlace &place) {
    const unsigned index = blockIdx.x * 256u + threadIdx.x; // one image has fewer than 2^32 octets
    const unsigned octets = unsigned(channels) / VGGX_OCTET;
    if (index >= uint64_t(height) * unsigned(width) * octets) {
        return false;
    }
    const unsigned position = index / octets;
    place.image = int(blockIdx.y);
    place.y = int(position / unsigned(width));
    place.x = int(position % unsigned(width));
    place.octet = int(index % octets);
    return true;
}
