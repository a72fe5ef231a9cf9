// What warpgroups do with the sums of a backward convolution: the gates of the ReLU below, and unpooling, as params.h describes
// VggxConvolutionBackward.
#pragma once

#include "box_staging.cuh"
#include "box_sums.cuh"
#include "scatter.cuh"

// `Stored` is what signals leave as; their operand came as Tile::Element.
template <class Tile, class Stored> class HopperBackwardEpilogue {
    // 64 channels of float8 have half of the bytes that TMA swizzles: threads store them.
    static constexpr bool by_boxes = sizeof(Stored) == 2;

  public:
    // `memory` is staging of the warp's own, VGGX_HOPPER_STAGING bytes.
    __device__ __forceinline__ HopperBackwardEpilogue(const VggxHopperBackward &launch, int first_column, unsigned char *memory)
        : output(launch.output), operand(launch.layer.operand), below(launch.layer.below), first_group(first_column / 64),
          leaving(memory), lane(lane_anew()), g(lane / 4), q(lane % 4) {}

    // One half of the tile.
    template <int Half> __device__ __forceinline__ void finish(const BoxSums<Tile> &sums, const BoxRows &rows) {
        float factor[2];
        int position[2], images[2];
        unsigned largest[2] = {0, 0};
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const Row row = rows.at(8 * h + g);
            factor[h] = factor_of(row);
            position[h] = row.position;
            images[h] = row.image;
        }
        const int gate = below.below == VGGX_BELOW_NOTHING ? 0 : below.gate;
#pragma unroll
        for (int local = 0; local < Tile::groups; ++local) {
            const int group = first_group + local;
            // A tile has an even number of groups in both halves: the next one goes on with the first piece.
            const int piece = (Half * Tile::groups + local) % 2;
            Staging<Stored> staging = leaving.begin(piece);
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                unsigned mask = 0, most = 0;
                if (gate & VGGX_GATE_MASK && position[h] >= 0) {
                    mask = pointer<const uint16_t>(below.mask)[word_index(position[h], operand.outputs, group, q)];
                }
#pragma unroll
                for (int j = 0; j < 8; ++j) {
                    Stored stored[2];
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        const float signal = sums.values[Half][4 * (8 * local + j) + 2 * h + e] * factor[h];
                        stored[e] = narrow<Stored>(gated(signal, gate, mask_bit(mask, j, e)));
                        most = max(most, magnitude_bits(widen(stored[e])));
                    }
                    staging.put(8 * h + g, 8 * j + 2 * q, stored[0], stored[1]);
                }
                largest[h] = position[h] >= 0 ? max(largest[h], most) : largest[h];
            }
            if constexpr (by_boxes) {
                if (below.below != VGGX_BELOW_POOL) {
                    leaving.leave(piece, rows, output, group, lane);
                    continue;
                }
            }
            staging.for_each(box_warp_rows, [&](int row, int chunk, const Vector<Stored> &vector) {
                const Row at = rows.at(row);
                if (at.position < 0) {
                    return;
                }
                if (by_boxes || below.below == VGGX_BELOW_POOL) {
                    scatter_window(below, operand, at, group, chunk, vector);
                } else {
                    staging.at(below.output, at.position, operand.outputs, group, chunk) = vector;
                }
            });
        }
        rows.raise(below.output_scale.largest, largest, images);
    }

  private:
    // One thread an image writes the exponent of what is stored.
    __device__ __forceinline__ float factor_of(const Row &row) const {
        constexpr int smaller = VGGX_STORED_LOG2 - stored_log2<Stored>; // as a power of two, than 16-bit elements are stored
        const VggxScale &scale = operand.input_scale;
        const Rescale result = rescale(pointer<const unsigned>(scale.largest)[row.image], pointer<const int>(scale.exponent)[row.image],
                                       operand.operator_bound, operand.operator_gain, 0.0f);
        if (row.position >= 0 && row.y == 0 && row.x == 0 && first_group == 0 && q == 0) {
            pointer<int>(below.output_scale.exponent)[row.image] = result.exponent + smaller;
        }
        return result.sum_factor * power_of_two(-smaller);
    }

    const VggxTensorMap &output;
    const VggxOperand &operand;
    const VggxBelow &below;
    const int first_group;
    BoxStaging<Stored> leaving;
    const int lane, g, q;
};
