// The largest stored magnitude of each image, whatever the order of threads and blocks.
#pragma once

#include "reduce.cuh"
#include "scale.cuh"
#include "tile.cuh"

// Raises `largest` by what a warp holds for images `first` to `last`: `bits[n]` belongs to image `images[n]`.
template <int Count>
__device__ __forceinline__ void raise_images(vggx_address largest, int first, int last, const unsigned (&bits)[Count],
                                             const int (&images)[Count]) {
    unsigned *words = pointer<unsigned>(largest);
    for (int image = first; image <= last; ++image) {
        unsigned most = 0;
#pragma unroll
        for (int n = 0; n < Count; ++n) {
            most = images[n] == image ? max(most, bits[n]) : most;
        }
        raise_largest(words + image, most);
    }
}

// The same for a warp's 64 rows of the table. Their images are mostly the same; small maps have many in 64 rows.
template <int Count>
__device__ __forceinline__ void raise_images(vggx_address largest, const Row *warp_rows, const unsigned (&bits)[Count],
                                             const int (&images)[Count]) {
    raise_images(largest, warp_rows[0].image, warp_rows[63].image, bits, images);
}
