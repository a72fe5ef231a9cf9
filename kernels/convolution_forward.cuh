// The end of a forward convolution: bias, ReLU, mask bits, and 2x2 max-pooling where a pool follows.
#pragma once

#include "bits.cuh"
#include "convolution.cuh"
#include "largest.cuh"
#include "staging.cuh"

// Rows in the order of pooling windows, rather than in scan order.
__device__ __forceinline__ bool in_windows(const VggxConvolutionForward &parameters) {
    return parameters.epilogue == VGGX_RECTIFY_POOL;
}

// Of a warp's 64 rows, 16 * Fragments at a time.
template <class Tile, int Fragments = 4> class ForwardEpilogue {
    using Element = typename Tile::Element;
    // The sums of a lane lie in so many rows.
    static constexpr int lane_rows = 2 * Fragments;
    static constexpr int windows = Fragments / 2;
    static_assert(Fragments % 2 == 0, "whole windows");

  public:
    // `table` has the rows of the block, `ring` is free.
    __device__ __forceinline__ ForwardEpilogue(const VggxConvolutionForward &parameters, const Place<Tile> &place,
                                               const Row *table, unsigned char *ring)
        : ForwardEpilogue(parameters, place, table + place.warp_row, Staging<Element>(ring)) {}

    // `rows` are those of the sums.
    __device__ __forceinline__ ForwardEpilogue(const VggxConvolutionForward &parameters, const Place<Tile> &place,
                                               const Row *rows, const Staging<Element> &staging)
        : parameters(parameters), operand(parameters.operand), place(place), rows(rows), group(place.group()), staging(staging) {}

    __device__ __forceinline__ void finish(const FragmentSums<Fragments> &sums) {
        if (parameters.pre_activation != 0) {
            store_pre_activations(sums);
        }
        switch (parameters.epilogue) {
        case VGGX_RECTIFY: rectify(sums); break;
        case VGGX_RECTIFY_POOL: rectify_and_pool(sums); break;
        default: linear(sums); break;
        }
    }

  private:
    // Scales for the image of a row, which most rows share. One thread an image writes the exponent of what is stored.
    __device__ __forceinline__ void scale_for(const Row &row) {
        if (row.image != scaled_image) {
            scaled_image = row.image;
            const VggxScale &input = operand.input_scale;
            const Rescale scale =
                rescale(pointer<const unsigned>(input.largest)[row.image], pointer<const int>(input.exponent)[row.image],
                        operand.operator_bound, operand.operator_gain, parameters.bias_bound);
            sum_factor = scale.sum_factor;
            exponent = scale.exponent;
            const float *values = pointer<const float>(parameters.bias) + group * 64 + 2 * place.q;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    bias[j][e] = values[8 * j + e] * scale.bias_factor;
                }
            }
        }
        if (row.position >= 0 && row.y == 0 && row.x == 0 && group == 0 && place.q == 0) {
            pointer<int>(parameters.output_scale.exponent)[row.image] = exponent;
        }
    }

    // In the units of the image that was scaled for.
    __device__ __forceinline__ float pre_activation(const FragmentSums<Fragments> &sums, int i, int j, int n) const {
        // The product is exact, as is that in the bias.
        return fmaf(sums.values[i][j][n], sum_factor, bias[j][n % 2]);
    }

    // All rows, pooled or not, at their positions.
    __device__ __forceinline__ void store_pre_activations(const FragmentSums<Fragments> &sums) {
#pragma unroll
        for (int n = 0; n < lane_rows; ++n) {
            const int i = n / 2, h = n % 2, local = 16 * i + 8 * h + place.g;
            scale_for(rows[local]);
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                staging.put(local, 8 * j + 2 * place.q,
                            narrow_with_sign<Element>(pre_activation(sums, i, j, 2 * h)),
                            narrow_with_sign<Element>(pre_activation(sums, i, j, 2 * h + 1)));
            }
        }
        staging.for_each(16 * Fragments, [&](int row, int chunk, const Vector<Element> &vector) {
            const int position = rows[row].position;
            if (position >= 0) {
                staging.at(parameters.pre_activation, position, operand.outputs, group, chunk) = vector;
            }
        });
        // What follows is staged in the same place.
        __syncwarp();
    }

    __device__ __forceinline__ void rectify(const FragmentSums<Fragments> &sums) {
        unsigned largest[lane_rows];
        int images[lane_rows];
#pragma unroll
        for (int n = 0; n < lane_rows; ++n) {
            const int i = n / 2, h = n % 2, local = 16 * i + 8 * h + place.g;
            const Row row = rows[local];
            scale_for(row);
            float most = 0.0f;
            unsigned mask = 0;
#pragma unroll
            for (int j = 7; j >= 0; --j) {
                float z[2];
#pragma unroll
                for (int e = 1; e >= 0; --e) {
                    z[e] = pre_activation(sums, i, j, 2 * h + e);
                    mask = push_positive(mask, z[e]);
                    most = fmaxf(most, z[e]);
                }
                staging.rectify_and_put(local, 8 * j + 2 * place.q, z[0], z[1]);
            }
            images[n] = row.image;
            largest[n] = 0;
            if (row.position >= 0) {
                pointer<uint16_t>(parameters.mask)[word_index(row.position, operand.outputs, group, place.q)] =
                    uint16_t(mask);
                largest[n] = rounded_bits(most);
            }
        }
        store(16 * Fragments, [&](int row) { return rows[row].position; });
        raise_images(parameters.output_scale.largest, rows[0].image, rows[16 * Fragments - 1].image, largest, images);
    }

    __device__ __forceinline__ void rectify_and_pool(const FragmentSums<Fragments> &sums) {
        const int height = operand.height / 2, width = operand.width / 2;
        // A window reaching over an odd border is not pooled.
        const auto pooled_position = [&](const Row &corner) {
            const int y = corner.y / 2, x = corner.x / 2;
            return corner.position >= 0 && y < height && x < width ? (corner.image * height + y) * width + x : -1;
        };
        unsigned largest[windows];
        int images[windows];
#pragma unroll
        for (int w = 0; w < windows; ++w) {
            const Row corner = rows[32 * w + place.g];
            scale_for(corner);
            const int position = pooled_position(corner);
            float most = 0.0f;
            unsigned mask = 0, argmax = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                float pooled[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    float best = fmaxf(pre_activation(sums, 2 * w, j, e), 0.0f);
                    unsigned at = 0;
#pragma unroll
                    for (int place_in_window = 1; place_in_window < 4; ++place_in_window) {
                        const float z = pre_activation(sums, 2 * w + place_in_window / 2, j, place_in_window % 2 * 2 + e);
                        const bool better = z > best;
                        best = better ? z : best;
                        at = better ? place_in_window : at;
                    }
                    mask |= unsigned(best > 0.0f) << (2 * j + e);
                    argmax |= at << (2 * (2 * j + e));
                    pooled[e] = best;
                    most = fmaxf(most, best);
                }
                staging.rectify_and_put(8 * w + place.g, 8 * j + 2 * place.q, pooled[0], pooled[1]);
            }
            images[w] = corner.image;
            largest[w] = 0;
            if (position >= 0) {
                const int64_t word = word_index(position, operand.outputs, group, place.q);
                pointer<uint16_t>(parameters.mask)[word] = uint16_t(mask);
                pointer<unsigned>(parameters.argmax)[word] = argmax;
                largest[w] = rounded_bits(most);
            }
        }
        store(8 * windows, [&](int row) { return pooled_position(rows[row / 8 * 32 + row % 8]); });
        raise_images(parameters.output_scale.largest, rows[0].image, rows[16 * Fragments - 1].image, largest, images);
    }

    // The bits of the largest element stored, where `most` was the largest before rounding, which is monotonic.
    __device__ __forceinline__ static unsigned rounded_bits(float most) { return magnitude_bits(widen(narrow<Element>(most))); }

    // Stores what was staged; `position_of(row)` is negative where nothing is to be stored.
    template <class PositionOf> __device__ __forceinline__ void store(int count, PositionOf position_of) const {
        staging.for_each(count, [&](int row, int chunk, const Vector<Element> &vector) {
            const int position = position_of(row);
            if (position >= 0) {
                staging.at(parameters.output, position, operand.outputs, group, chunk) = vector;
            }
        });
    }

    // Float32 in stored units, straight from the registers: a few logits.
    __device__ __forceinline__ void linear(const FragmentSums<Fragments> &sums) {
        unsigned largest[lane_rows];
        int images[lane_rows];
#pragma unroll
        for (int n = 0; n < lane_rows; ++n) {
            const int i = n / 2, h = n % 2;
            const Row row = rows[16 * i + 8 * h + place.g];
            scale_for(row);
            images[n] = row.image;
            largest[n] = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float z = pre_activation(sums, i, j, 2 * h + e);
                    if (row.position >= 0) {
                        largest[n] = max(largest[n], magnitude_bits(z));
                        pointer<float>(parameters.output)[int64_t(row.position) * operand.outputs + group * 64 + 8 * j +
                                                          2 * place.q + e] = z;
                    }
                }
            }
        }
        raise_images(parameters.output_scale.largest, rows[0].image, rows[16 * Fragments - 1].image, largest, images);
    }

    const VggxConvolutionForward &parameters;
    const VggxOperand &operand;
    const Place<Tile> &place;
    const Row *rows;
    const int group;
    Staging<Element> staging;
    int scaled_image = -1;
    float sum_factor = 0.0f;
    int exponent = 0;
    float bias[8][2]; // times the factor
};
