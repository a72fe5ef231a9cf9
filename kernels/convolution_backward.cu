// Backward convolutions and dense layers: the forward product with the rotated, transposed operator, fused with the gates of the
// ReLU below and with unpooling.
#include "bits.cuh"
#include "convolution.cuh"
#include "largest.cuh"
#include "scatter.cuh"

template <class Tile> class BackwardEpilogue {
    using Element = typename Tile::Element;

  public:
    __device__ __forceinline__ BackwardEpilogue(const VggxConvolutionBackward &parameters, const Place<Tile> &place,
                                                const Row *table, unsigned char *ring)
        : operand(parameters.operand), below(parameters.below), place(place), rows(table + place.warp_row),
          group(place.group()), staging(ring) {}

    __device__ __forceinline__ void finish(const Sums &sums) {
        stage(sums);
        if (below.below == VGGX_BELOW_POOL) {
            scatter();
        } else {
            staging.for_each(64, [&](int row, int chunk, const Vector<Element> &vector) {
                const int position = rows[row].position;
                if (position >= 0) {
                    staging.at(below.output, position, operand.outputs, group, chunk) = vector;
                }
            });
        }
    }

  private:
    // One thread an image writes the exponent of what is stored.
    __device__ __forceinline__ float scale_of(const Row &row) const {
        const VggxScale &scale = operand.input_scale;
        const Rescale result =
            rescale(pointer<const unsigned>(scale.largest)[row.image], pointer<const int>(scale.exponent)[row.image],
                    operand.operator_bound, operand.operator_gain, 0.0f);
        if (row.position >= 0 && row.y == 0 && row.x == 0 && group == 0 && place.q == 0) {
            pointer<int>(below.output_scale.exponent)[row.image] = result.exponent;
        }
        return result.sum_factor;
    }

    // Stages what passes the gates.
    __device__ __forceinline__ void stage(const Sums &sums) {
        unsigned largest[8];
        int images[8];
        const int gate = below.below == VGGX_BELOW_NOTHING ? 0 : below.gate;
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const int i = n / 2, h = n % 2, local = 16 * i + 8 * h + place.g;
            const Row row = rows[local];
            const float factor = scale_of(row);
            images[n] = row.image;
            largest[n] = 0;
            unsigned mask = 0;
            if (gate & VGGX_GATE_MASK && row.position >= 0) {
                mask = pointer<const uint16_t>(below.mask)[word_index(row.position, operand.outputs, group, place.q)];
            }
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                Element stored[2];
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const float signal = sums.values[i][j][2 * h + e] * factor;
                    stored[e] = narrow<Element>(gated(signal, gate, mask_bit(mask, j, e)));
                    largest[n] = max(largest[n], magnitude_bits(widen(stored[e])));
                }
                staging.put(local, 8 * j + 2 * place.q, stored[0], stored[1]);
            }
            largest[n] = row.position >= 0 ? largest[n] : 0;
        }
        raise_images(below.output_scale.largest, rows, largest, images);
    }

    __device__ __forceinline__ void scatter() const {
        staging.for_each(64, [&](int row, int chunk, const Vector<Element> &vector) {
            if (rows[row].position >= 0) {
                scatter_window(below, operand, rows[row], group, chunk, vector);
            }
        });
    }

    const VggxOperand &operand;
    const VggxBelow &below;
    const Place<Tile> &place;
    const Row *rows; // of this warp
    const int group;
    Staging<Element> staging;
};

template <class Tile> __device__ __forceinline__ void convolution_backward(const VggxConvolutionBackward &parameters) {
    const VggxOperand &operand = parameters.operand;
    SharedMemory shared;
    unsigned char *ring = shared.take<unsigned char>(ring_bytes<Tile>(operand.stages));
    Row *table = shared.take<Row>(Tile::rows);
    const Place<Tile> place(operand.outputs);
    locate_rows<Tile>(table, operand, place.first_row, false);
    __syncthreads();
    Sums sums;
    convolve<Tile>(sums, operand, ring, table, place);
    // Warps beyond the last output have nothing to store.
    if (place.group() * 64 < operand.outputs) {
        BackwardEpilogue<Tile>(parameters, place, table, ring).finish(sums);
    }
}

#define VGGX_CONVOLUTION_BACKWARD(name, Element, warp_rows, warp_columns, blocks)                                           \
    VGGX_KERNEL(name, VggxConvolutionBackward, 32 * warp_rows * warp_columns, blocks) {                                    \
        convolution_backward<Tile<Element, warp_rows, warp_columns>>(parameters);                                          \
    }

VGGX_CONVOLUTION_BACKWARD(convolution_backward_f16_256x64, float16, 4, 1, 2)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_f16_128x128, float16, 2, 2, 2)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_f16_128x256, float16, 2, 4, 1)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_bf16_256x64, bfloat16, 4, 1, 2)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_bf16_128x128, bfloat16, 2, 2, 2)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_bf16_128x256, bfloat16, 2, 4, 1)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_f32_256x64, float, 4, 1, 2)
VGGX_CONVOLUTION_BACKWARD(convolution_backward_f32_128x128, float, 2, 2, 2)
