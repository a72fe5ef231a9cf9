// Between the accumulators and global memory: a warp's piece of 64 channels goes through shared memory, so that it is stored 16
// bytes a thread, whole lines of 64 channels.
#pragma once

#include "ptx.cuh"
#include "tile.cuh"

template <class Element> class Staging {
    static constexpr int vector = Vector<Element>::count;
    static constexpr int chunks = 64 / vector; // of a row
    static constexpr int row_bytes = 64 * int(sizeof(Element));

  public:
    // Each warp has a piece of 64 rows of its own; the ring must be free.
    __device__ __forceinline__ Staging(unsigned char *ring) : Staging(ring, threadIdx.x / 32 * (64 * row_bytes)) {}

    // The piece of a warp begins at byte `first`.
    __device__ __forceinline__ Staging(unsigned char *memory, unsigned first) : piece(memory + first) {}

    // Two neighbouring channels of a row; `channel` is even.
    __device__ __forceinline__ void put(int row, int channel, Element first, Element second) {
        Element *to = reinterpret_cast<Element *>(piece + offset(row, channel / vector)) + channel % vector;
        struct alignas(2 * sizeof(Element)) Pair {
            Element first, second;
        };
        *reinterpret_cast<Pair *>(to) = {first, second};
    }

    // The same of max(value, 0), rounded.
    __device__ __forceinline__ void rectify_and_put(int row, int channel, float first, float second) {
        if constexpr (sizeof(Element) == 2) {
            unsigned char *to = piece + offset(row, channel / vector) + channel % vector * int(sizeof(Element));
            *reinterpret_cast<unsigned *>(to) = narrow_rectified_pair<Element>(first, second);
        } else {
            put(row, channel, fmaxf(first, 0.0f), fmaxf(second, 0.0f));
        }
    }

    // Hands the pieces of 16 bytes of the first `count` rows to `visit(row, chunk, vector)`, lane after lane. To be called by
    // whole warps.
    template <class Visit> __device__ __forceinline__ void for_each(int count, Visit visit) const {
        __syncwarp();
        for (int index = threadIdx.x % 32; index < count * chunks; index += 32) {
            const int row = index / chunks, chunk = index % chunks;
            visit(row, chunk, *reinterpret_cast<const Vector<Element> *>(piece + offset(row, chunk)));
        }
    }

    // Where chunk `chunk` of a group of 64 channels lies at a position of a map.
    __device__ __forceinline__ static Vector<Element> &at(vggx_address map, int position, int channels, int group, int chunk) {
        const int64_t first = int64_t(position) * channels + group * 64 + chunk * vector;
        return *reinterpret_cast<Vector<Element> *>(pointer<Element>(map) + first);
    }

  private:
    // The swizzle spreads a column of the piece over the banks; where a row has only half of them, two rows share a pattern.
    __device__ __forceinline__ static unsigned offset(int row, int chunk) {
        const int pattern = chunks < 8 ? row / 2 & (chunks - 1) : row & 7;
        return unsigned(row * row_bytes + ((chunk ^ pattern) << 4));
    }

    unsigned char *piece;
};
