// One stage of the pipeline: sums += rows * columns over VGGX_ROW_BYTES of depth, from shared memory.
#pragma once

#include "ptx.cuh"
#include "tile.cuh"

// Byte offset of 16-byte chunk `chunk` (0..3) of row `row` in a tile of 64-byte rows. The swizzle spreads the eight rows that
// ldmatrix reads together, and the eight that eight lanes write together, over all 32 banks.
__device__ __forceinline__ unsigned swizzled(int row, int chunk) {
    return unsigned(row * VGGX_ROW_BYTES + ((chunk ^ (row >> 1 & 3)) << 4));
}

template <class Element, int Fragments>
__device__ __forceinline__ void multiply_on_tensor_cores(FragmentSums<Fragments> &sums, const unsigned char *rows,
                                                         const unsigned char *columns, int lane) {
    const unsigned row_address = shared_address(rows), column_address = shared_address(columns);
#pragma unroll
    for (int step = 0; step < 2; ++step) {
        unsigned a[Fragments][4];
#pragma unroll
        for (int i = 0; i < Fragments; ++i) {
            ldmatrix_x4(a[i], row_address + swizzled(16 * i + lane % 16, 2 * step + lane / 16));
        }
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            // Columns 8j.. and 8j + 8.., each with both halves of the step's depth.
            unsigned b[4];
            ldmatrix_x4(b, column_address + swizzled(8 * j + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < Fragments; ++i) {
                mma_m16n8k16<Element>(sums.values[i][j], a[i], b[0], b[1]);
                mma_m16n8k16<Element>(sums.values[i][j + 1], a[i], b[2], b[3]);
            }
        }
    }
}

// Two neighbours of a row's depth.
struct alignas(8) Pair {
    float values[2];
};

// Plain float32: every sum in the order of the depth, one fused multiply-add a term. Two of the depth at a time: more would not
// leave enough registers.
template <int Fragments>
__device__ __forceinline__ void multiply_plainly(FragmentSums<Fragments> &sums, const unsigned char *rows,
                                                 const unsigned char *columns, int lane) {
    const int g = lane / 4, q = lane % 4;
#pragma unroll 1
    for (int step = 0; step < 8; ++step) {
        const int chunk = step / 2, half = step % 2 * int(sizeof(Pair));
        Pair a[Fragments][2];
#pragma unroll
        for (int i = 0; i < Fragments; ++i) {
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                a[i][h] = *reinterpret_cast<const Pair *>(rows + swizzled(16 * i + 8 * h + g, chunk) + half);
            }
        }
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const Pair b = *reinterpret_cast<const Pair *>(columns + swizzled(8 * j + 2 * q + e, chunk) + half);
#pragma unroll
                for (int i = 0; i < Fragments; ++i) {
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        float &sum = sums.values[i][j][2 * h + e];
                        sum = fmaf(a[i][h].values[0], b.values[0], sum);
                        sum = fmaf(a[i][h].values[1], b.values[1], sum);
                    }
                }
            }
        }
    }
}

// `rows` and `columns` are where this warp's rows and its 64 columns begin.
template <class Element, int Fragments>
__device__ __forceinline__ void multiply_stage(FragmentSums<Fragments> &sums, const unsigned char *rows,
                                               const unsigned char *columns, int lane) {
    if constexpr (sizeof(Element) == 2) {
        multiply_on_tensor_cores<Element>(sums, rows, columns, lane);
    } else {
        multiply_plainly(sums, rows, columns, lane);
    }
}
