// Reductions over the lanes of a warp; all 32 lanes must call, all get the result.
#pragma once

#include "kernel.cuh"

__device__ __forceinline__ unsigned warp_maximum(unsigned value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value = max(value, __shfl_xor_sync(0xffffffffu, value, distance));
    }
    return value;
}

// The order of the additions is fixed: halves, from far to near.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    return value;
}

// Raises *largest to the maximum over the warp; one atomic a warp.
__device__ __forceinline__ void raise_largest(unsigned *largest, unsigned bits) {
    const unsigned maximum = warp_maximum(bits);
    if (threadIdx.x % 32 == 0 && maximum > 0) {
        atomicMax(largest, maximum);
    }
}
