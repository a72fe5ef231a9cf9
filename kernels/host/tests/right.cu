// Kernels that are right: each function of ptx.cuh alone, the functions of warps, conversions, threads that exit early.
#include "../../ptx.cuh"
#include "../../scale.cuh"

#include "params.h"

// One warp. Input: of each lane a (4 words), b (2 words), d (4 floats); output: d.
template <class Element> __device__ __forceinline__ void fragments(const TestArrays &parameters) {
    const unsigned *input = pointer<const unsigned>(parameters.input) + threadIdx.x * 10;
    const unsigned a[4] = {input[0], input[1], input[2], input[3]};
    float d[4];
    for (unsigned i = 0; i < 4; i++) {
        d[i] = __uint_as_float(input[6 + i]);
    }
    mma_m16n8k16<Element>(d, a, input[4], input[5]);
    for (unsigned i = 0; i < 4; i++) {
        pointer<float>(parameters.output)[threadIdx.x * 4 + i] = d[i];
    }
}

VGGX_KERNEL(right_fragments_f16, TestArrays, 32, 1) { fragments<float16>(parameters); }
VGGX_KERNEL(right_fragments_bf16, TestArrays, 32, 1) { fragments<bfloat16>(parameters); }

template <bool Transposed> void matrices(const TestArrays &parameters) {
    SharedMemory memory;
    unsigned *rows = memory.take<unsigned>(32 * 8);
    for (unsigned i = threadIdx.x; i < 32 * 8; i += 32) {
        rows[i] = pointer<const unsigned>(parameters.input)[i];
    }
    __syncwarp();
    unsigned registers[4];
    const unsigned address = shared_address(rows) + 7 * threadIdx.x % 32 * 32 + 16;
    if (Transposed) {
        ldmatrix_x4_transposed(registers, address);
    } else {
        ldmatrix_x4(registers, address);
    }
    for (unsigned i = 0; i < 4; i++) {
        pointer<unsigned>(parameters.output)[threadIdx.x * 4 + i] = registers[i];
    }
}

// One warp. Input: 32 rows of 8 words; lane l names row 7 * l % 32, of which the second half counts. Output: 4 words a lane.
VGGX_KERNEL(right_matrices, TestArrays, 32, 1) { matrices<false>(parameters); }
VGGX_KERNEL(right_transposed_matrices, TestArrays, 32, 1) { matrices<true>(parameters); }

// One warp: a word a lane.
VGGX_KERNEL(right_transposed_registers, TestArrays, 32, 1) {
    pointer<unsigned>(parameters.output)[threadIdx.x] = transpose_8x8(pointer<const unsigned>(parameters.input)[threadIdx.x]);
}

// 64 threads copy 16 bytes each, in two groups; every third is not valid. Output: what lies there after the first wait
// (the second group is still under way), then after the second.
VGGX_KERNEL(right_copies, TestArrays, 64, 1) {
    SharedMemory memory;
    Vector<float> *vectors = memory.take<Vector<float>>(128);
    const Vector<float> *input = pointer<const Vector<float>>(parameters.input);
    Vector<float> *output = pointer<Vector<float>>(parameters.output);
    const unsigned thread = threadIdx.x;
    cp_async_16(shared_address(vectors + thread), input + thread, thread % 3 != 0);
    cp_async_commit();
    cp_async_16(shared_address(vectors + 64 + thread), input + 64 + thread, thread % 3 != 1);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    const unsigned other = 63 - thread;
    output[other] = vectors[other];
    cp_async_wait<0>();
    __syncthreads();
    output[64 + other] = vectors[64 + other];
}

// Input: doubles. Output: of each, as words: float16 of it, bfloat16, float; float16 of the float, bfloat16; and both widened.
VGGX_KERNEL(right_conversions, TestArrays, 128, 1) {
    for (int i = int(threadIdx.x + blockIdx.x * 128); i < parameters.count; i += int(gridDim.x * 128)) {
        const double value = pointer<const double>(parameters.input)[i];
        unsigned *output = pointer<unsigned>(parameters.output) + 7 * i;
        output[0] = narrow<float16>(value).bits;
        output[1] = narrow<bfloat16>(value).bits;
        output[2] = __float_as_uint(narrow<float>(value));
        output[3] = narrow<float16>(float(value)).bits;
        output[4] = narrow<bfloat16>(float(value)).bits;
        output[5] = __float_as_uint(widen(narrow<float16>(value)));
        output[6] = __float_as_uint(widen(narrow<bfloat16>(value)));
    }
}

// 256 threads, grid of any size. Threads beyond `count` exit before the barrier. Output: [0] the largest input by
// atomicMax over all blocks, [1] how many took part, then of every block its sum by shuffles and shared memory.
VGGX_KERNEL(right_reductions, TestArrays, 256, 1) {
    SharedMemory memory;
    unsigned *sums = memory.take<unsigned>(8);
    const int index = int(blockIdx.x * 256 + threadIdx.x);
    const unsigned mask = __ballot_sync(0xffffffffu, index < parameters.count);
    if (threadIdx.x % 32 == 0) {
        sums[threadIdx.x / 32] = 0;
    }
    if (index >= parameters.count) {
        return;
    }
    const unsigned value = pointer<const unsigned>(parameters.input)[index];
    unsigned *output = pointer<unsigned>(parameters.output);
    const unsigned largest = __reduce_max_sync(mask, value);
    unsigned sum = __reduce_add_sync(mask, value);
    if (mask == 0xffffffffu) {
        // The same by exchange.
        unsigned other = value;
        for (int lanes = 16; lanes > 0; lanes /= 2) {
            other += __shfl_xor_sync(0xffffffffu, other, lanes);
        }
        sum = other == sum ? __shfl_sync(0xffffffffu, other, 5) : 0xffffffffu;
    }
    if (threadIdx.x % 32 == 0) {
        sums[threadIdx.x / 32] = sum;
        atomicMax(output, largest);
        atomicAdd(output + 1, unsigned(__popc(mask)));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned total = 0;
        for (unsigned warp = 0; warp < 8; warp++) {
            // Warps that have nobody left may not have been there.
            total += int(blockIdx.x * 256 + warp * 32) < parameters.count ? sums[warp] : 0;
        }
        output[2 + blockIdx.x] = total;
    }
}

// output[i] = input[i] + value
VGGX_KERNEL(right_add, TestArrays, 64, 1) {
    const int index = int(blockIdx.x * 64 + threadIdx.x);
    if (index < parameters.count) {
        pointer<float>(parameters.output)[index] = pointer<const float>(parameters.input)[index] + float(parameters.value);
    }
}

// As right_add, with two objects in shared memory; the last byte of what `value` asks for is used.
VGGX_KERNEL(right_shared, TestArrays, 64, 1) {
    SharedMemory memory;
    float *first = memory.take<float>(64);
    unsigned char *second = memory.take<unsigned char>(unsigned(parameters.value));
    first[threadIdx.x] = pointer<const float>(parameters.input)[threadIdx.x];
    second[unsigned(parameters.value) - 1 - threadIdx.x] = (unsigned char)threadIdx.x;
    __syncthreads();
    pointer<float>(parameters.output)[threadIdx.x] =
        first[63 - threadIdx.x] + float(second[unsigned(parameters.value) - 64 + threadIdx.x]);
}
