// Reductions over the lanes of a warp; all 32 lanes must call, all get the result.
#pragma once

#include "kernel.cuh"

// The order of the additions is fixed: halves, from far to near.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    return value;
}

__device__ __forceinline__ double warp_sum(double value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    return value;
}

// Raises *largest to the maximum over the warp: one atomic a warp, and none where the word is as large already (it only grows, so
// an old value does no harm).
__device__ __forceinline__ void raise_largest(unsigned *largest, unsigned bits) {
    const unsigned maximum = __reduce_max_sync(0xffffffffu, bits);
    if (threadIdx.x % 32 == 0 && maximum > *const_cast<const volatile unsigned *>(largest)) {
        atomicMax(largest, maximum);
    }
}
