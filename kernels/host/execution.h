// CUDA's execution model on the CPU, as much of it as the kernels use: what kernel.cuh includes on the host.
#pragma once

#include <cstdint>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"
#include "thread.h"

#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __constant__ static const
#define __align__(bytes) __attribute__((aligned(bytes)))

#define threadIdx (::vggx_host::running->index)
#define blockIdx (::vggx_host::running->place->block)
#define blockDim (::vggx_host::running->place->block_extent)
#define gridDim (::vggx_host::running->place->grid_extent)
constexpr int warpSize = 32;

#include "atomics.h"
#include "intrinsics.h"
#include "warp.h"

// C linkage, so that two kernels of one name do not link.
#define VGGX_KERNEL(name, Parameters, threads, blocks) VGGX_CLUSTER_KERNEL(name, Parameters, threads, blocks, 1)
#define VGGX_CLUSTER_KERNEL(name, Parameters, threads, blocks, cluster)                                                   \
    extern "C" __attribute__((visibility("hidden"))) void name(const Parameters &parameters);                             \
    static const ::vggx_host::Kernel name##_registration(                                                                   \
        #name, sizeof(Parameters), threads, blocks, cluster,                                                              \
        [](const void *data) { name(*static_cast<const Parameters *>(data)); });                                          \
                                                                                                                  \
    void name(const Parameters &parameters)

__forceinline__ void __syncthreads() { vggx_host::barrier(); }

// The block's dynamic shared memory, handed out object by object, with gaps between them that must not be touched.
class SharedMemory {
  public:
    template <class Value, unsigned Alignment = 128> Value *take(unsigned count) {
        used = (used + Alignment - 1) / Alignment * Alignment;
        void *object = vggx_host::take_shared(used, taken, std::size_t(count) * sizeof(Value), Alignment);
        used += (count * unsigned(sizeof(Value)) + 127u) & ~127u; // as on the device
        taken += 1;
        return static_cast<Value *>(object);
    }

  private:
    unsigned used = 0;
    unsigned taken = 0;
};
