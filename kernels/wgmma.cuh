// Matrices in shared memory as products of warpgroups take them. Rows of 128 bytes, 64 elements of 16 bits or 128 of float8, whose chunks of
// 16 bytes are swizzled as TMA leaves them: chunk c of a row lies at c ^ (row % 8). Eight rows fill the 1024 bytes after which the pattern
// repeats.
#pragma once

#include "ptx_hopper.cuh"

// The descriptor of such a matrix at `address` (PTX ISA, "Matrix descriptor"; lengths in units of 16 bytes). Groups of eight rows lie
// `stride` bytes apart. Where rows are the depth and columns are innermost, columns 64 to 127 begin `leading` bytes behind 0 to 63;
// else `leading` is not used. Add to it what moves the beginning, in units of 16 bytes: along a row, or by multiples of 1024 bytes.
__device__ __forceinline__ uint64_t matrix_descriptor(unsigned address, unsigned stride, unsigned leading = 16) {
    constexpr uint64_t swizzle_128 = uint64_t(1) << 62;
    return swizzle_128 | uint64_t(stride >> 4) << 32 | uint64_t(leading >> 4) << 16 | (address & 0x3ffffu) >> 4;
}
