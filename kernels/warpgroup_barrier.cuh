// A barrier of the four warps of a warpgroup.
#pragma once

#include "ptx_hopper.cuh"

// Each thread has its own.
class WarpgroupBarrier {
  public:
    __device__ __forceinline__ explicit WarpgroupBarrier(uint64_t *barrier) : barrier(barrier) {}

    // By one thread, before anybody goes on.
    __device__ __forceinline__ static void initialise(uint64_t *barrier) { mbarrier_init(barrier, 4); }

    // Until all have come; what they have stored in shared memory before is seen.
    __device__ __forceinline__ void synchronise() {
        __syncwarp();
        if (threadIdx.x % 32 == 0) {
            mbarrier_arrive(barrier);
        }
        mbarrier_wait(barrier, parity);
        parity ^= 1u;
    }

  private:
    uint64_t *barrier;
    unsigned parity = 0;
};
