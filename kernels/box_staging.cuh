// Two pieces of staging through which a warp's rows leave by TMA, in turn: while one is read, the other is filled.
#pragma once

#include "box_rows.cuh"

template <class Element> class BoxStaging {
    static constexpr unsigned piece_bytes = box_warp_rows * 64 * sizeof(Element);

  public:
    // `memory`: both pieces, 1024-aligned, where the swizzle of staging is that of TMA.
    __device__ __forceinline__ BoxStaging(unsigned char *memory) : memory(memory) {}

    // Piece `piece`, to be filled: what left from it before is read, while the other one may be leaving.
    __device__ __forceinline__ Staging<Element> begin(int piece) const {
        tma_store_wait_read<1>();
        __syncwarp();
        return Staging<Element>(memory, piece * piece_bytes);
    }

    // All lanes have filled it: it leaves to its places in the map.
    __device__ __forceinline__ void leave(int piece, const BoxRows &rows, const VggxTensorMap &map, int group, int lane) const {
        static_assert(sizeof(Element) == 2, "rows of 64 channels have the 128 bytes of the swizzle");
        fence_proxy_async();
        __syncwarp();
        if (lane == 0) {
            rows.store(map, shared_address(memory + piece * piece_bytes), group);
            tma_store_commit();
        }
    }

    // Until nothing leaves any more.
    __device__ __forceinline__ void wait() const {
        tma_store_wait_read<0>();
        __syncwarp();
    }

  private:
    unsigned char *memory;
};
