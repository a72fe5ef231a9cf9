// What every .cu file begins with: how a kernel is declared, and where its shared memory comes from. The same sources are
// compiled by nvcc for GPUs and by a C++ compiler for execution on the host (host/), where VGGX_HOST is defined.
#pragma once

#include "params.h"

#ifdef VGGX_HOST

#include "host/execution.h" // threadIdx, __syncthreads, shuffles, atomics, VGGX_KERNEL and SharedMemory on the CPU

#else

#include <cstdint>

// A kernel takes one structure by value. `threads` is the exact number of threads of a block, `blocks` the number of
// blocks that a multiprocessor should hold at least.
#define VGGX_KERNEL(name, Parameters, threads, blocks)                                                                     \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Parameters parameters)

// The same by clusters of `cluster` blocks along x, which a grid is a multiple of. Compute capability 9.0.
#define VGGX_CLUSTER_KERNEL(name, Parameters, threads, blocks, cluster)                                                    \
    extern "C" __global__ void __cluster_dims__(cluster, 1, 1) __launch_bounds__(threads, blocks)                          \
        name(const __grid_constant__ Parameters parameters)

// The block's dynamic shared memory, handed out object by object. (On the host there are poisoned gaps between them.)
class SharedMemory {
  public:
    // Each thread calls it with the same counts in the same order.
    template <class Value, unsigned Alignment = 128> __device__ __forceinline__ Value *take(unsigned count) {
        static_assert(Alignment >= 128 && Alignment <= 1024);
        extern __shared__ __align__(1024) unsigned char vggx_shared[];
        used = (used + Alignment - 1) / Alignment * Alignment;
        Value *values = reinterpret_cast<Value *>(vggx_shared + used);
        used += (count * unsigned(sizeof(Value)) + 127u) & ~127u;
        return values;
    }

  private:
    unsigned used = 0;
};

#endif

// The typed pointer of an address in a parameter structure.
template <class Value> __device__ __forceinline__ Value *pointer(vggx_address address) {
    return reinterpret_cast<Value *>(address);
}
