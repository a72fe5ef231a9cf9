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

template <class Tile> class ForwardEpilogue {
    using Element = typename Tile::Element;

  public:
    __device__ __forceinline__ ForwardEpilogue(const VggxConvolutionForward &parameters, const Place<Tile> &place,
                                               const Row *table, unsigned char *ring)
        : parameters(parameters), operand(parameters.operand), place(place), rows(table + place.warp_row),
          group(place.group()), staging(ring) {
        const float *values = pointer<const float>(parameters.bias) + group * 64;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            bias[j][0] = values[8 * j + 2 * place.q];
            bias[j][1] = values[8 * j + 2 * place.q + 1];
        }
    }

    __device__ __forceinline__ void finish(const Sums &sums) {
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
    // One thread an image writes the exponent of what is stored.
    __device__ __forceinline__ Rescale scale_of(const Row &row) const {
        const VggxScale &scale = operand.input_scale;
        const Rescale result = rescale(pointer<const unsigned>(scale.largest)[row.image],
                                       pointer<const int>(scale.exponent)[row.image], operand.operator_bound,
                                       operand.operator_gain, parameters.bias_bound);
        if (row.position >= 0 && row.y == 0 && row.x == 0 && group == 0 && place.q == 0) {
            pointer<int>(parameters.output_scale.exponent)[row.image] = result.exponent;
        }
        return result;
    }

    __device__ __forceinline__ float pre_activation(const Sums &sums, int i, int j, int n, const Rescale &scale) const {
        // Both products are exact.
        return fmaf(sums.values[i][j][n], scale.sum_factor, bias[j][n % 2] * scale.bias_factor);
    }

    // z as an element that is positive where z is.
    __device__ __forceinline__ static Element narrow_with_sign(float z) {
        const Element rounded = narrow<Element>(z);
        if constexpr (sizeof(Element) == 2) {
            return z > 0.0f && rounded.bits == 0 ? Element{1} : rounded;
        } else {
            return rounded;
        }
    }

    // All rows, pooled or not, at their positions.
    __device__ __forceinline__ void store_pre_activations(const Sums &sums) {
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const int i = n / 2, h = n % 2, local = 16 * i + 8 * h + place.g;
            const Rescale scale = scale_of(rows[local]);
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                staging.put(local, 8 * j + 2 * place.q,
                            narrow_with_sign(pre_activation(sums, i, j, 2 * h, scale)),
                            narrow_with_sign(pre_activation(sums, i, j, 2 * h + 1, scale)));
            }
        }
        staging.for_each(64, [&](int row, int chunk, const Vector<Element> &vector) {
            const int position = rows[row].position;
            if (position >= 0) {
                staging.at(parameters.pre_activation, position, operand.outputs, group, chunk) = vector;
            }
        });
        // What follows is staged in the same place.
        __syncwarp();
    }

    __device__ __forceinline__ void rectify(const Sums &sums) {
        unsigned largest[8];
        int images[8];
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const int i = n / 2, h = n % 2, local = 16 * i + 8 * h + place.g;
            const Row row = rows[local];
            const Rescale scale = scale_of(row);
            images[n] = row.image;
            largest[n] = 0;
            unsigned mask = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                Element stored[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float z = pre_activation(sums, i, j, 2 * h + e, scale);
                    const bool active = z > 0.0f;
                    mask |= unsigned(active) << (2 * j + e);
                    stored[e] = narrow<Element>(active ? z : 0.0f);
                    largest[n] = max(largest[n], magnitude_bits(widen(stored[e])));
                }
                staging.put(local, 8 * j + 2 * place.q, stored[0], stored[1]);
            }
            if (row.position >= 0) {
                pointer<uint16_t>(parameters.mask)[word_index(row.position, operand.outputs, group, place.q)] =
                    uint16_t(mask);
            } else {
                largest[n] = 0;
            }
        }
        store(64, [&](int row) { return rows[row].position; });
        raise_images(parameters.output_scale.largest, rows, largest, images);
    }

    __device__ __forceinline__ void rectify_and_pool(const Sums &sums) {
        const int height = operand.height / 2, width = operand.width / 2;
        // A window reaching over an odd border is not pooled.
        const auto pooled_position = [&](const Row &corner) {
            const int y = corner.y / 2, x = corner.x / 2;
            return corner.position >= 0 && y < height && x < width ? (corner.image * height + y) * width + x : -1;
        };
        unsigned largest[2];
        int images[2];
#pragma unroll
        for (int w = 0; w < 2; ++w) {
            const Row corner = rows[32 * w + place.g];
            const Rescale scale = scale_of(corner);
            const int position = pooled_position(corner);
            images[w] = corner.image;
            largest[w] = 0;
            unsigned mask = 0, argmax = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                Element stored[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    float best = fmaxf(pre_activation(sums, 2 * w, j, e, scale), 0.0f);
                    unsigned at = 0;
#pragma unroll
                    for (int place_in_window = 1; place_in_window < 4; ++place_in_window) {
                        const float z = pre_activation(sums, 2 * w + place_in_window / 2, j, place_in_window % 2 * 2 + e, scale);
                        const bool better = z > best;
                        best = better ? z : best;
                        at = better ? place_in_window : at;
                    }
                    mask |= unsigned(best > 0.0f) << (2 * j + e);
                    argmax |= at << (2 * (2 * j + e));
                    stored[e] = narrow<Element>(best);
                    largest[w] = max(largest[w], magnitude_bits(widen(stored[e])));
                }
                staging.put(8 * w + place.g, 8 * j + 2 * place.q, stored[0], stored[1]);
            }
            if (position >= 0) {
                const int64_t word = word_index(position, operand.outputs, group, place.q);
                pointer<uint16_t>(parameters.mask)[word] = uint16_t(mask);
                pointer<unsigned>(parameters.argmax)[word] = argmax;
            } else {
                largest[w] = 0;
            }
        }
        store(16, [&](int row) { return pooled_position(rows[row / 8 * 32 + row % 8]); });
        raise_images(parameters.output_scale.largest, rows, largest, images);
    }

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
    __device__ __forceinline__ void linear(const Sums &sums) {
        unsigned largest[8];
        int images[8];
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const int i = n / 2, h = n % 2;
            const Row row = rows[16 * i + 8 * h + place.g];
            const Rescale scale = scale_of(row);
            images[n] = row.image;
            largest[n] = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float z = pre_activation(sums, i, j, 2 * h + e, scale);
                    if (row.position >= 0) {
                        largest[n] = max(largest[n], magnitude_bits(z));
                        pointer<float>(parameters.output)[int64_t(row.position) * operand.outputs + group * 64 + 8 * j +
                                                          2 * place.q + e] = z;
                    }
                }
            }
        }
        raise_images(parameters.output_scale.largest, rows, largest, images);
    }

    const VggxConvolutionForward &parameters;
    const VggxOperand &operand;
    const Place<Tile> &place;
    const Row *rows; // of this warp
    const int group;
    Staging<Element> staging;
    float bias[8][2];
};
