// A ring of slots in shared memory between a thread that has them filled and warps that read them.
#pragma once

#include "ptx_hopper.cuh"

// Each thread that takes part has its own, and goes through the slots in the same order.
class Ring {
  public:
    // `barriers`: two a slot. `bytes` is a multiple of 1024, and so is the address of the first slot.
    __device__ __forceinline__ Ring(unsigned char *memory, uint64_t *barriers, int slots, unsigned bytes)
        : memory(shared_address(memory)), filled(barriers), free(barriers + slots), slots(slots), bytes(bytes) {}

    // By one thread, before anybody goes on. `writers`: the arrivals that make a slot filled, beside the bytes that are expected.
    __device__ __forceinline__ void initialise(unsigned readers, unsigned writers = 1) const {
        for (int n = 0; n < slots; ++n) {
            mbarrier_init(filled + n, writers);
            mbarrier_init(free + n, readers);
        }
    }

    // The filling thread: waits until the slot is free and lets it wait for its bytes; gives the barrier to count them at.
    __device__ __forceinline__ uint64_t *begin_filling(unsigned expected) const {
        wait_until_free();
        return expect(expected);
    }

    // The same in two steps, where threads write into the slot, too.
    __device__ __forceinline__ void wait_until_free() const {
        // Fresh barriers stand behind a phase of parity 1: every slot is free at first.
        mbarrier_wait(free + slot, parity ^ 1u);
    }
    __device__ __forceinline__ uint64_t *expect(unsigned expected) const {
        mbarrier_arrive_expect(filled + slot, expected);
        return filled + slot;
    }

    // A writer, when it is done with the slot.
    __device__ __forceinline__ void written() const { mbarrier_arrive(filled + slot); }

    // Readers: until the slot is filled.
    __device__ __forceinline__ void wait() const { mbarrier_wait(filled + slot, parity); }

    // One lane of each reading warp, when the warp is done with slot `number`.
    __device__ __forceinline__ void release(int number) const { mbarrier_arrive(free + number); }

    // The same for the slot of block `rank` of the cluster: whoever fills slots of several blocks waits for the readers of all.
    __device__ __forceinline__ void release_in_cluster(int number, unsigned rank) const { mbarrier_arrive_in_cluster(free + number, rank); }

    __device__ __forceinline__ int number() const { return slot; }
    __device__ __forceinline__ unsigned address() const { return memory + unsigned(slot) * bytes; }

    __device__ __forceinline__ void advance() {
        ++slot;
        if (slot == slots) {
            slot = 0;
            parity ^= 1u;
        }
    }

    // Slots that others read: until all of them are filled, this thread must not wait for what comes behind them (a barrier tells
    // its phase from the next one only).
    __device__ __forceinline__ void skip(int count) {
        for (int n = 0; n < count; ++n) {
            advance();
        }
    }

  private:
    unsigned memory;
    uint64_t *filled, *free;
    int slots;
    unsigned bytes;
    int slot = 0;
    unsigned parity = 0;
};
