// Kernels with one deliberate mistake each, of 64 threads: host execution must find it. `value` varies the mistake.
#include "../../ptx.cuh"

#include "params.h"

// Reads a neighbour's value without a barrier: thread i the one of i + 1, and the one of i - 1.
VGGX_KERNEL(wrong_neighbour, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(64);
    const unsigned thread = threadIdx.x;
    values[thread] = pointer<const float>(parameters.input)[thread];
    pointer<float>(parameters.output)[thread] = values[(thread + 1) % 64] + values[(thread + 63) % 64];
}

// Writes element 64 + value of an array of 64.
VGGX_KERNEL(wrong_shared_write, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(64);
    memory.take<float>(64);
    if (threadIdx.x == 0) {
        values[64 + parameters.value] = 1.0f;
    }
}

// Reads it, and stores what it finds.
VGGX_KERNEL(wrong_shared_read, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(64), *others = memory.take<float>(64);
    values[threadIdx.x] = others[threadIdx.x] = 1.0f;
    __syncthreads();
    pointer<float>(parameters.output)[threadIdx.x] = values[threadIdx.x + unsigned(parameters.value)];
}

// Takes `value` floats whatever the launch asked for.
VGGX_KERNEL(wrong_shared_size, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(unsigned(parameters.value));
    values[threadIdx.x] = 1.0f;
}

// Loads matrices behind the end of an object.
VGGX_KERNEL(wrong_matrices, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(128);
    memory.take<float>(128);
    unsigned registers[4];
    ldmatrix_x4(registers, shared_address(values) + 16 * (threadIdx.x % 32) + unsigned(parameters.value));
}

// Takes an ordinary pointer's bits for an address in shared memory.
VGGX_KERNEL(wrong_address, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(256);
    cp_async_16(unsigned(reinterpret_cast<uint64_t>(values + 4 * threadIdx.x)), pointer<const float>(parameters.input), true);
    cp_async_commit();
    cp_async_wait<0>();
}

// One lane is missing from a shuffle: it has exited (value 0), waits at the barrier (1), or in another collective (2).
VGGX_KERNEL(wrong_missing_lane, TestArrays, 64, 1) {
    if (threadIdx.x == 37) {
        if (parameters.value == 0) {
            return;
        }
        if (parameters.value == 2) {
            __syncwarp();
            return;
        }
    } else {
        __shfl_xor_sync(0xffffffffu, 1, 1);
    }
    __syncthreads();
}

// Reads from a lane that takes no part.
VGGX_KERNEL(wrong_source_lane, TestArrays, 64, 1) {
    if (threadIdx.x % 32 < 16) {
        __shfl_sync(0xffffu, 1, 20);
    }
}

// Writes (value >= 0) or reads element count + value; with value < 0 reads far behind it.
VGGX_KERNEL(wrong_global_write, TestArrays, 64, 1) {
    if (threadIdx.x == 3) {
        pointer<float>(parameters.output)[parameters.count + parameters.value] = 1.0f;
    }
}
VGGX_KERNEL(wrong_global_read, TestArrays, 64, 1) {
    if (threadIdx.x == 3) {
        pointer<float>(parameters.output)[0] = pointer<const float>(parameters.input)[parameters.count + parameters.value];
    }
}

// Follows an address that is "none".
VGGX_KERNEL(wrong_absent, TestArrays, 64, 1) { pointer<float>(0)[threadIdx.x + unsigned(parameters.value)] = 1.0f; }

// Starts a copy of which `value` floats lie in front of the end of the input.
VGGX_KERNEL(wrong_copy_source, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(256);
    if (threadIdx.x == 9) {
        cp_async_16(shared_address(values), pointer<const float>(parameters.input) + parameters.count - parameters.value, false);
        cp_async_commit();
        cp_async_wait<0>();
    }
}

// Starts a copy to or from an address that is not a multiple of 16.
VGGX_KERNEL(wrong_alignment, TestArrays, 64, 1) {
    SharedMemory memory;
    float *values = memory.take<float>(256);
    const float *input = pointer<const float>(parameters.input);
    cp_async_16(shared_address(values) + (parameters.value ? 0 : 8), parameters.value ? input + 1 : input, true);
}

// Threads of a block disagree about the size of an object.
VGGX_KERNEL(wrong_disagreement, TestArrays, 64, 1) {
    SharedMemory memory;
    memory.take<float>(threadIdx.x == 40 ? 32 : 64);
}

// Recurses until the stack is used up.
__device__ __noinline__ int deeper(volatile int *above, int depth) {
    volatile int here[64];
    here[0] = depth + (above ? above[0] : 0);
    return depth < 0 ? 0 : deeper(here, depth + 1) + here[0];
}
VGGX_KERNEL(wrong_recursion, TestArrays, 64, 1) { pointer<int>(parameters.output)[0] = deeper(nullptr, parameters.value); }
