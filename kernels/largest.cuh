// The largest stored magnitude of each image, whatever the order of threads and blocks.
#pragma once

#include "reduce.cuh"
#include "scale.cuh"
#include "tile.cuh"

// Raises `largest` by what a warp holds for its 64 rows of the table: `bits[n]` belongs to image `images[n]`.
template <int Count>
__device__ __forceinline__ void raise_images(vggx_address largest, const Row *warp_rows, const unsigned (&bits)[Count],
                                             const int (&images)[Count]) {
    unsigned *words = pointer<unsigned>(largest);
    // Mostly the same; small maps have many images in 64 rows.
    const int first = warp_rows[0].image, last = warp_rows[63].image;
    for (int image = first; image <= last; ++image) {
        unsigned most = 0;
#pragma unroll
        for (int n = 0; n < Count; ++n) {
            most = images[n] == image ? max(most, bits[n]) : most;
        }
        raise_largest(words + image, most);
    }
}
