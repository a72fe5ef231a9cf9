// The patch of an image under the first layer's weights: 27 values, at depth 3 * tap + channel.
#pragma once

#include "element.cuh"

// Fills what lies on the image; `values` are zero before. `position` is that of (y, x) among all pixels of the batch.
template <class Element>
__device__ __forceinline__ void gather_patch(Element (&values)[VGGX_IMAGE_DEPTH], const Element *pixels, int position, int y, int x,
                                             int height, int width) {
#pragma unroll
    for (int tap = 0; tap < 9; ++tap) {
        const int dy = tap / 3 - 1, dx = tap % 3 - 1;
        if (y + dy >= 0 && y + dy < height && x + dx >= 0 && x + dx < width) {
            const Element *pixel = pixels + int64_t(position + dy * width + dx) * 3;
#pragma unroll
            for (int channel = 0; channel < 3; ++channel) {
                values[3 * tap + channel] = pixel[channel];
            }
        }
    }
}
