// Products of warpgroups with swapped operands: 64 output channels are the rows, 256 positions the columns, so that the smaller matrix
// is the one that is read again for each 64 rows. How such sums lie, and how they turn into maps with channels innermost.
#pragma once

#include "box.cuh"
#include "wgmma.cuh"

// Of a tile of 16 x 16 positions: values[4 * j + 2 * h + e] of lane 4 * g + q of warp w has channel 16 * w + 8 * h + g of the 64 and the
// position in row j / 2, column 8 * (j % 2) + 2 * q + e. The four positions of a 2x2 window are j and j + 2, e = 0 and 1: one thread's.
struct TransposedSums {
    float values[128];
};

// The form of the product for HopperResident.
template <class Element_> struct TransposedTile {
    using Element = Element_;
    using Sums = TransposedSums;
    static constexpr int columns = 64; // output channels of a block

    // A tap by 64 channels: four times a depth of 16 (32 bytes).
    __device__ __forceinline__ static void multiply_tap(Sums &sums, uint64_t box, uint64_t tap_operator, bool accumulate) {
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < 4; ++step) {
            wgmma_shared<Element, 256>(sums.values, tap_operator + 2 * step, box + 2 * step, accumulate || step > 0);
        }
        wgmma_commit();
    }

    __device__ __forceinline__ static void fence(Sums &sums) { wgmma_fence_operand(sums.values); }
};

// Four neighbouring channels of a position.
struct alignas(8) ChannelQuad {
    unsigned pairs[2];
};

// Bits of the largest magnitude of four elements of 16 bits (without their signs they are ordered like the magnitudes).
__device__ __forceinline__ unsigned largest_of(const ChannelQuad &quad) {
    unsigned largest = 0;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
        largest = max(largest, max(quad.pairs[n] & 0x7fffu, quad.pairs[n] >> 16 & 0x7fffu));
    }
    return largest;
}

// What a lane stores: a warp has 16 channels of each position, 32 bytes, which leave as four times 8 bytes of eight positions at a time.
// Lane 4 * g + q stores, of the position in place g of the eight, channels 16 * w + 8 * (q % 2) + 4 * (q / 2) and the next three. In words
// of mask bits and argmaxes (bits.cuh) these are words q / 2 * 2 and the next, places 2 * (2 * w + q % 2) and the next.
class TransposedLane {
  public:
    __device__ __forceinline__ TransposedLane(const VggxOperand &operand, int group)
        : lane(lane_anew()), g(lane / 4), q(lane % 4), warp(threadIdx.x / 32 % 4), group(group), outputs(operand.outputs) {}

    // From two fragments, channels 0 to 7 and 8 to 15 of the warp's, in which the lane holds channel g at positions 2 * q and 2 * q + 1.
    __device__ __forceinline__ ChannelQuad gather(unsigned low, unsigned high) const {
        // Channels 2 * q and 2 * q + 1 at position g.
        const unsigned first = transpose_8x8(low), second = transpose_8x8(high);
        const bool odd = q % 2 == 1;
        const unsigned other = __shfl_xor_sync(0xffffffffu, odd ? first : second, 1);
        return odd ? ChannelQuad{{other, second}} : ChannelQuad{{first, other}};
    }

    __device__ __forceinline__ void store(vggx_address map, int position, const ChannelQuad &quad) const {
        const int64_t channel = int64_t(position) * outputs + group * 64 + 16 * warp + q % 2 * 8 + q / 2 * 4;
        pointer<ChannelQuad>(map)[channel / 4] = quad;
    }

    // The first place (2 * j + e of bits.cuh) of the lane's channels in their words.
    __device__ __forceinline__ int place() const { return 2 * (2 * warp + q % 2); }
    // The first of the two words, of all words of a position.
    __device__ __forceinline__ int word() const { return q / 2 * 2; }

    const int lane, g, q, warp, group, outputs;
};

// The position of row j / 2, column 8 * (j % 2) + g of a tile; -1 beside the map.
__device__ __forceinline__ int transposed_position(const VggxOperand &operand, const BoxPlace &tile, int j, int g) {
    const int y = tile.y + j / 2, x = tile.x + j % 2 * 8 + g;
    return y < operand.height && x < operand.width ? (tile.image * operand.height + y) * operand.width + x : -1;
}
