// Two warpgroups that take turns at the tensor cores: the one that multiplies passes the turn on when its last products are under way.
#pragma once

#include "ptx_hopper.cuh"

// Each thread that multiplies has its own.
class Turns {
  public:
    // Two barriers; `self` is 0 or 1, and 0 begins.
    __device__ __forceinline__ Turns(uint64_t *barriers, int self) : barriers(barriers), self(self), parity(self == 0 ? 1u : 0u) {}

    // By one thread, before anybody goes on.
    __device__ __forceinline__ static void initialise(uint64_t *barriers) {
        for (int n = 0; n < 2; ++n) {
            mbarrier_init(barriers + n, 4);
        }
    }

    // Until the other one has passed its turn on. Fresh barriers stand behind a phase of parity 1.
    __device__ __forceinline__ void wait() {
        mbarrier_wait(barriers + self, parity);
        parity ^= 1u;
    }

    __device__ __forceinline__ void pass() const {
        if (threadIdx.x % 32 == 0) {
            mbarrier_arrive(barriers + (1 - self));
        }
    }

  private:
    uint64_t *barriers;
    int self;
    unsigned parity;
};
