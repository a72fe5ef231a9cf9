// What warpgroups do with transposed sums of a forward convolution: bias, ReLU, mask bits and max-pooling, as params.h describes
// VggxConvolutionForward.
//
// A mask word has channels of all four warps. Bits turn like elements do: 16 of them, of positions with the same place in their eight,
// are an element of a matrix [8 channels, 8 places] that one movmatrix transposes. Then lanes of the same number hold the bits
// of the same positions in all warps, meet in shared memory, and each warp puts together the words of a quarter of the tile. (Ballots
// would be 128 a warp.)
#pragma once

#include "bits.cuh"
#include "largest.cuh"
#include "transposed.cuh"
#include "warpgroup_barrier.cuh"

template <class Element> class TransposedForwardEpilogue {
  public:
    // `memory`: VGGX_RESIDENT_EXCHANGE bytes of the warpgroup.
    __device__ __forceinline__ TransposedForwardEpilogue(const VggxConvolutionForward &parameters, const BoxPlace &tile, int first_column,
                                                         unsigned char *memory, WarpgroupBarrier &barrier)
        : parameters(parameters), operand(parameters.operand), tile(tile), group(first_column / 64),
          exchange(reinterpret_cast<LaneBits *>(memory)), barrier(barrier) {
        const VggxScale &input = operand.input_scale;
        const Rescale scale = rescale(pointer<const unsigned>(input.largest)[tile.image], pointer<const int>(input.exponent)[tile.image],
                                      operand.operator_bound, operand.operator_gain, parameters.bias_bound);
        // One thread an image writes the exponent of what is stored.
        if (tile.y == 0 && tile.x == 0 && first_column == 0 && threadIdx.x % 128 == 0) {
            pointer<int>(parameters.output_scale.exponent)[tile.image] = scale.exponent;
        }
        sum_factor = scale.sum_factor;
        const TransposedLane to = lane();
        const float *biases = pointer<const float>(parameters.bias) + first_column + 16 * to.warp + to.g;
        bias[0] = biases[0] * scale.bias_factor;
        bias[1] = biases[8] * scale.bias_factor;
    }

    __device__ __forceinline__ void finish(const TransposedSums &sums) {
        if (parameters.pre_activation != 0) {
            store_pre_activations(sums);
        }
        unsigned largest;
        if (parameters.epilogue == VGGX_RECTIFY_POOL) {
            largest = pool(sums);
        } else {
            largest = rectify(sums);
        }
        const float stored = widen(Element{(unsigned short)largest});
        raise_largest(pointer<unsigned>(parameters.output_scale.largest) + tile.image, magnitude_bits(stored));
    }

  private:
    // What a lane tells the others.
    struct alignas(16) LaneBits {
        unsigned words[4];
    };

    // Read anew by each part, so that what one computes of it is not kept for the next.
    __device__ __forceinline__ TransposedLane lane() const { return TransposedLane(operand, group); }

    __device__ __forceinline__ float pre_activation(const TransposedSums &sums, int j, int h, int e) const {
        // Both products are exact.
        return fmaf(sums.values[4 * j + 2 * h + e], sum_factor, bias[h]);
    }

    __device__ __forceinline__ void store_pre_activations(const TransposedSums &sums) const {
        const TransposedLane to = lane();
#pragma unroll
        for (int j = 0; j < 32; ++j) {
            unsigned pairs[2];
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                pairs[h] = unsigned(narrow_with_sign<Element>(pre_activation(sums, j, h, 1)).bits) << 16 |
                           narrow_with_sign<Element>(pre_activation(sums, j, h, 0)).bits;
            }
            const ChannelQuad quad = to.gather(pairs[0], pairs[1]);
            const int position = transposed_position(operand, tile, j, to.g);
            if (position >= 0) {
                to.store(parameters.pre_activation, position, quad);
            }
        }
    }

    // Gives the bits of the largest stored element.
    __device__ __forceinline__ unsigned rectify(const TransposedSums &sums) {
        const TransposedLane to = lane();
        unsigned largest = 0;
        unsigned active[2][2] = {}; // [j / 16][h]: at j % 16 + 16 * e whether z > 0
#pragma unroll
        for (int j = 0; j < 32; ++j) {
            unsigned pairs[2];
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                float rectified[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float z = pre_activation(sums, j, h, e);
                    active[j / 16][h] |= unsigned(z > 0.0f) << (j % 16 + 16 * e);
                    rectified[e] = z > 0.0f ? z : 0.0f;
                }
                pairs[h] = narrow_pair<Element>(rectified[0], rectified[1]);
            }
            const ChannelQuad quad = to.gather(pairs[0], pairs[1]);
            const int position = transposed_position(operand, tile, j, to.g);
            if (position >= 0) {
                to.store(parameters.output, position, quad);
                largest = max(largest, largest_of(quad));
            }
        }
        LaneBits bits;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            bits.words[n] = transpose_8x8(active[n / 2][n % 2]);
        }
        LaneBits met[4];
        meet(to, bits, met);
        // j from 8 * warp on: bits of channels 2 * q and 2 * q + 1 of eight lie 16 apart; those of the 2 * 4 eights meet two apart.
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            unsigned spread = 0;
#pragma unroll
            for (int warp = 0; warp < 4; ++warp) {
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    const unsigned of_half = to.warp / 2 == 0 ? met[warp].words[h] : met[warp].words[2 + h];
                    spread |= (of_half >> (to.warp % 2 * 8 + n) & 0x00010001u) << (2 * (2 * warp + h));
                }
            }
            const int position = transposed_position(operand, tile, 8 * to.warp + n, to.g);
            if (position >= 0) {
                pointer<uint16_t>(parameters.mask)[word_index(position, operand.outputs, group, to.q)] =
                    uint16_t(spread | spread >> 15);
            }
        }
        return largest;
    }

    // Windows: 8 rows of 8. The lane has the windows 4 * half + q of each row; behind `gather`, window 4 * (g % 2) + g / 2.
    __device__ __forceinline__ unsigned pool(const TransposedSums &sums) {
        const TransposedLane to = lane();
        unsigned largest = 0;
        unsigned active = 0, argmax[2] = {}; // at row + 8 * h + 16 * half; [h] at 2 * row + 16 * half
#pragma unroll
        for (int row = 0; row < 8; ++row) {
            unsigned pairs[2];
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                float best[2] = {0.0f, 0.0f};
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    unsigned at = 0;
#pragma unroll
                    for (int in_window = 0; in_window < 4; ++in_window) {
                        const float z = pre_activation(sums, 4 * row + in_window / 2 * 2 + half, h, in_window % 2);
                        const bool better = z > best[half];
                        best[half] = better ? z : best[half];
                        at = better ? unsigned(in_window) : at;
                    }
                    active |= unsigned(best[half] > 0.0f) << (row + 8 * h + 16 * half);
                    argmax[h] |= at << (2 * row + 16 * half);
                }
                pairs[h] = narrow_pair<Element>(best[0], best[1]);
            }
            const ChannelQuad quad = to.gather(pairs[0], pairs[1]);
            const int pooled = pooled_position(to, row);
            if (pooled >= 0) {
                to.store(parameters.output, pooled, quad);
                largest = max(largest, largest_of(quad));
            }
        }
        LaneBits met[4];
        meet(to, {{transpose_8x8(active), transpose_8x8(argmax[0]), transpose_8x8(argmax[1]), 0}}, met);
        // Rows 2 * warp and the next: what stands at 16 * half there belongs to channel 2 * q + half of eight here.
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            const int row = 2 * to.warp + n;
            unsigned mask = 0, argmax_word = 0;
#pragma unroll
            for (int warp = 0; warp < 4; ++warp) {
                const unsigned bits = met[warp].words[0] >> row & 0x01010101u; // h, e at 8 * h + 16 * e
                mask |= ((bits | bits >> 6 | bits >> 15 | bits >> 21) & 0xfu) << (4 * warp);
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    const unsigned places = met[warp].words[1 + h] >> (2 * row) & 0x00030003u;
                    argmax_word |= ((places | places >> 14) & 0xfu) << (8 * warp + 4 * h);
                }
            }
            const int pooled = pooled_position(to, row);
            if (pooled >= 0) {
                const int64_t word = word_index(pooled, operand.outputs, group, to.q);
                pointer<uint16_t>(parameters.mask)[word] = uint16_t(mask);
                pointer<unsigned>(parameters.argmax)[word] = argmax_word;
            }
        }
        return largest;
    }

    // Of window 4 * (g % 2) + g / 2 in row `row` of the tile's; -1 where there is none, and where a window reaches over an odd border.
    __device__ __forceinline__ int pooled_position(const TransposedLane &to, int row) const {
        const int height = operand.height / 2, width = operand.width / 2;
        const int y = tile.y / 2 + row, x = tile.x / 2 + to.g % 2 * 4 + to.g / 2;
        return y < height && x < width ? (tile.image * height + y) * width + x : -1;
    }

    // What the lanes of this number in the four warps have to tell.
    __device__ __forceinline__ void meet(const TransposedLane &to, const LaneBits &own, LaneBits (&met)[4]) {
        exchange[32 * to.warp + to.lane] = own;
        barrier.synchronise();
#pragma unroll
        for (int warp = 0; warp < 4; ++warp) {
            met[warp] = exchange[32 * warp + to.lane];
        }
        // The next tile's may be written.
        barrier.synchronise();
    }

    const VggxConvolutionForward &parameters;
    const VggxOperand &operand;
    const BoxPlace tile;
    const int group;
    LaneBits *exchange;
    WarpgroupBarrier &barrier;
    float sum_factor;
    float bias[2]; // of channels g and g + 8 of the warp's, in stored units
};
