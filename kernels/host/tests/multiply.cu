// A multiplication of matrices as the product's kernels do it: a pipeline of asynchronous copies into swizzled tiles, matrix
// loads, tensor-core instructions. One deliberate mistake each stands beside it.
#include "../../ptx.cuh"

#include "params.h"

enum Mistake { none, no_wait, no_barrier, no_second_barrier };

// Blocks of 128 threads compute 64 x 64 outputs; a warp 64 rows x 16 columns. A stage holds 32 values of each row.
template <class Element, Mistake mistake> __device__ __forceinline__ void multiply(const TestMultiply &parameters) {
    const unsigned thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const Element *a = pointer<const Element>(parameters.a) + (size_t)blockIdx.y * 64 * parameters.depth;
    const Element *b = pointer<const Element>(parameters.b) + (size_t)blockIdx.x * 64 * parameters.depth;
    SharedMemory memory;
    const unsigned stages = unsigned(parameters.stages);
    const unsigned a_tiles = shared_address(memory.take<Element>(stages * 64 * 32));
    const unsigned b_tiles = shared_address(memory.take<Element>(stages * 64 * 32));
    const int steps = parameters.depth / 32;

    // Vector v of row r lies at v ^ (r / 2 % 4), so that eight rows of a matrix meet eight different banks.
    const auto place = [](unsigned row, unsigned vector) { return row * 64 + ((vector ^ (row / 2 % 4)) * 16); };
    const auto start = [&](int step) {
        if (step < steps) {
            const unsigned stage = unsigned(step) % stages * 4096;
            for (unsigned i = thread; i < 256; i += 128) {
                const unsigned row = i / 4, vector = i % 4;
                const size_t offset = (size_t)row * parameters.depth + step * 32 + vector * 8;
                cp_async_16(a_tiles + stage + place(row, vector), a + offset, true);
                cp_async_16(b_tiles + stage + place(row, vector), b + offset, true);
            }
        }
        cp_async_commit();
    };

    float sums[4][2][4] = {};
    for (int step = 0; step < parameters.stages - 1; step++) {
        start(step);
    }
    for (int step = 0; step < steps; step++) {
        if (mistake != no_wait) {
            // stages - 2 groups may be under way; the test runs with three stages.
            cp_async_wait<1>();
        }
        if (mistake != no_barrier) {
            __syncthreads();
        }
        // Starts into the stage that was read in the step before: everybody must have passed the barrier since.
        if (mistake != no_second_barrier) {
            start(step + parameters.stages - 1);
        } else {
            start(step + parameters.stages);
        }
        const unsigned stage = unsigned(step) % stages * 4096;
        for (unsigned k = 0; k < 2; k++) {
            unsigned columns[4];
            // Matrices: columns 0..7 and 8..15 of the warp, each with the lower and upper half of k.
            const unsigned column = warp * 16 + lane / 16 * 8 + lane % 8;
            ldmatrix_x4(columns, b_tiles + stage + place(column, 2 * k + lane / 8 % 2));
            for (unsigned i = 0; i < 4; i++) {
                unsigned rows[4];
                ldmatrix_x4(rows, a_tiles + stage + place(i * 16 + lane % 16, 2 * k + lane / 16));
                mma_m16n8k16<Element>(sums[i][0], rows, columns[0], columns[1]);
                mma_m16n8k16<Element>(sums[i][1], rows, columns[2], columns[3]);
            }
        }
    }
    float *c = pointer<float>(parameters.c);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 2; j++) {
            for (unsigned e = 0; e < 4; e++) {
                const unsigned row = blockIdx.y * 64 + i * 16 + lane / 4 + e / 2 * 8;
                const unsigned column = blockIdx.x * 64 + warp * 16 + j * 8 + lane % 4 * 2 + e % 2;
                c[(size_t)row * parameters.columns + column] = sums[i][j][e];
            }
        }
    }
}

VGGX_KERNEL(right_multiply_f16, TestMultiply, 128, 2) { multiply<float16, none>(parameters); }
VGGX_KERNEL(right_multiply_bf16, TestMultiply, 128, 2) { multiply<bfloat16, none>(parameters); }
VGGX_KERNEL(wrong_read_before_wait, TestMultiply, 128, 2) { multiply<float16, no_wait>(parameters); }
VGGX_KERNEL(wrong_missing_barrier, TestMultiply, 128, 2) { multiply<float16, no_barrier>(parameters); }
VGGX_KERNEL(wrong_stage_overwritten, TestMultiply, 128, 2) { multiply<float16, no_second_barrier>(parameters); }
