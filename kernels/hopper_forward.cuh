// What warpgroups do with the sums of a forward convolution: bias, ReLU, mask bits and max-pooling, as params.h describes
// VggxConvolutionForward.
#pragma once

#include "box_staging.cuh"
#include "box_sums.cuh"

// Two neighbouring channels.
struct alignas(8) FloatPair {
    float values[2];
};

template <class Tile> class HopperForwardEpilogue {
    using Element = typename Tile::Element;

  public:
    // `memory` is staging of the warp's own, VGGX_HOPPER_STAGING bytes.
    __device__ __forceinline__ HopperForwardEpilogue(const VggxHopperForward &launch, int first_column, unsigned char *memory)
        : launch(launch), parameters(launch.layer), operand(parameters.operand), first_group(first_column / 64), memory(memory),
          leaving(memory), lane(lane_anew()), g(lane / 4), q(lane % 4) {}

    // One half of the tile.
    template <int Half> __device__ __forceinline__ void finish(const BoxSums<Tile> &sums, const BoxRows &rows) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const Row row = rows.at(8 * h + g);
            scale[h] = scale_of(row);
            position[h] = row.position;
            image[h] = row.image;
        }
        unsigned largest[2] = {0, 0};
        int images[2] = {image[0], image[1]};
#pragma unroll
        for (int local = 0; local < Tile::groups; ++local) {
            const int group = first_group + local;
            bias = pointer<const FloatPair>(parameters.bias) + group * 32 + q;
            // A tile has an even number of groups in both halves: the next one goes on with the first piece.
            const int piece = (Half * Tile::groups + local) % 2;
            if (parameters.pre_activation != 0) {
                stage_pre_activations<Half>(sums, local, leaving.begin(piece));
                leaving.leave(piece, rows, launch.pre_activation, group, lane);
                leaving.wait();
            }
            if (parameters.epilogue == VGGX_RECTIFY_POOL) {
                pool<Half>(sums, local, group, rows, largest[0], images[0]);
            } else {
                rectify<Half>(sums, local, group, largest, leaving.begin(piece));
                leaving.leave(piece, rows, launch.output, group, lane);
            }
        }
        if (parameters.epilogue == VGGX_RECTIFY_POOL) {
            images[1] = images[0];
        }
        rows.raise(parameters.output_scale.largest, largest, images);
    }

  private:
    // One thread an image writes the exponent of what is stored.
    __device__ __forceinline__ Rescale scale_of(const Row &row) const {
        const VggxScale &input = operand.input_scale;
        const Rescale result = rescale(pointer<const unsigned>(input.largest)[row.image], pointer<const int>(input.exponent)[row.image],
                                       operand.operator_bound, operand.operator_gain, parameters.bias_bound);
        if (row.position >= 0 && row.y == 0 && row.x == 0 && first_group == 0 && q == 0) {
            pointer<int>(parameters.output_scale.exponent)[row.image] = result.exponent;
        }
        return result;
    }

    template <int Half>
    __device__ __forceinline__ float pre_activation(const BoxSums<Tile> &sums, int local, int j, int h, int e) const {
        // Both products are exact.
        return fmaf(sums.values[Half][4 * (8 * local + j) + 2 * h + e], scale[h].sum_factor, bias[4 * j].values[e] * scale[h].bias_factor);
    }

    template <int Half>
    __device__ __forceinline__ void stage_pre_activations(const BoxSums<Tile> &sums, int local, Staging<Element> staging) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                staging.put(8 * h + g, 8 * j + 2 * q, narrow_with_sign<Element>(pre_activation<Half>(sums, local, j, h, 0)),
                            narrow_with_sign<Element>(pre_activation<Half>(sums, local, j, h, 1)));
            }
        }
    }

    template <int Half>
    __device__ __forceinline__ void rectify(const BoxSums<Tile> &sums, int local, int group, unsigned (&largest)[2],
                                            Staging<Element> staging) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            unsigned mask = 0, most = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                Element stored[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float z = pre_activation<Half>(sums, local, j, h, e);
                    const bool active = z > 0.0f;
                    mask |= unsigned(active) << (2 * j + e);
                    stored[e] = narrow<Element>(active ? z : 0.0f);
                    most = max(most, magnitude_bits(widen(stored[e])));
                }
                staging.put(8 * h + g, 8 * j + 2 * q, stored[0], stored[1]);
            }
            if (position[h] >= 0) {
                pointer<uint16_t>(parameters.mask)[word_index(position[h], operand.outputs, group, q)] = uint16_t(mask);
                largest[h] = max(largest[h], most);
            }
        }
    }

    // The 16 rows of a warp hold four whole windows. They meet in shared memory, in float32, all of it; then lane
    // 8 * window + 4 * part + q pools channels 8 * j + 2 * q + e with j = 4 * part to 4 * part + 3.
    template <int Half>
    __device__ __forceinline__ void pool(const BoxSums<Tile> &sums, int local, int group, const BoxRows &rows, unsigned &largest,
                                         int &window_image) {
        // What was staged before has left.
        __syncwarp();
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                pair_at(8 * h + g, 8 * j + 2 * q) = {
                    {pre_activation<Half>(sums, local, j, h, 0), pre_activation<Half>(sums, local, j, h, 1)}};
            }
        }
        __syncwarp();
        const int window = lane / 8, part = lane / 4 % 2;
        const Row corner = rows.at(BoxRows::of_window(window, 0));
        unsigned mask = 0, argmax = 0;
        Element stored[4][2];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            const int j = 4 * part + n, channel = 8 * j + 2 * q;
            FloatPair best = {{0.0f, 0.0f}};
            unsigned at[2] = {0, 0};
#pragma unroll
            for (int in_window = 0; in_window < 4; ++in_window) {
                const FloatPair z = pair_at(BoxRows::of_window(window, in_window), channel);
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const bool better = z.values[e] > best.values[e];
                    best.values[e] = better ? z.values[e] : best.values[e];
                    at[e] = better ? in_window : at[e];
                }
            }
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                mask |= unsigned(best.values[e] > 0.0f) << (2 * j + e);
                argmax |= at[e] << (2 * (2 * j + e));
                stored[n][e] = narrow<Element>(best.values[e]);
            }
        }
        mask |= __shfl_xor_sync(0xffffffffu, mask, 4);
        argmax |= __shfl_xor_sync(0xffffffffu, argmax, 4);
        // Everybody has read; the same memory takes what is stored.
        __syncwarp();
        Staging<Element> staging(memory, 0);
        const int pooled = pooled_position(corner);
        window_image = corner.image;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            staging.put(window, 8 * (4 * part + n) + 2 * q, stored[n][0], stored[n][1]);
            if (pooled >= 0) {
                largest = max(largest, max(magnitude_bits(widen(stored[n][0])), magnitude_bits(widen(stored[n][1]))));
            }
        }
        if (pooled >= 0 && part == 0) {
            const int64_t word = word_index(pooled, operand.outputs, group, q);
            pointer<uint16_t>(parameters.mask)[word] = uint16_t(mask);
            pointer<unsigned>(parameters.argmax)[word] = argmax;
        }
        staging.for_each(4, [&](int row, int chunk, const Vector<Element> &vector) {
            const int to = pooled_position(rows.at(BoxRows::of_window(row, 0)));
            if (to >= 0) {
                staging.at(parameters.output, to, operand.outputs, group, chunk) = vector;
            }
        });
    }

    // Of a window with this first position; -1 where there is none, and where a window reaches over an odd border.
    __device__ __forceinline__ int pooled_position(const Row &corner) const {
        const int height = operand.height / 2, width = operand.width / 2, y = corner.y / 2, x = corner.x / 2;
        return corner.position >= 0 && y < height && x < width ? (corner.image * height + y) * width + x : -1;
    }

    // Sixteen rows of 64 floats, whose chunks of 16 bytes are swizzled over the banks.
    __device__ __forceinline__ FloatPair &pair_at(int row, int channel) const {
        const int chunk = channel / 4 ^ (row & 7);
        return reinterpret_cast<FloatPair *>(memory)[row * 32 + chunk * 2 + channel % 4 / 2];
    }

    const VggxHopperForward &launch;
    const VggxConvolutionForward &parameters;
    const VggxOperand &operand;
    const int first_group;
    unsigned char *memory;
    BoxStaging<Element> leaving;
    const int lane, g, q;
    // Of rows g and g + 8.
    Rescale scale[2];
    int position[2], image[2];
    const FloatPair *bias; // of the group, from channel 2 * q on
};
