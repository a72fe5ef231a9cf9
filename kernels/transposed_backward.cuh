// What warpgroups do with transposed sums of a backward convolution: the gates of the ReLU below, and unpooling, as params.h describes
// VggxConvolutionBackward.
#pragma once

#include "bits.cuh"
#include "largest.cuh"
#include "transposed.cuh"

template <class Element> class TransposedBackwardEpilogue {
  public:
    __device__ __forceinline__ TransposedBackwardEpilogue(const VggxConvolutionBackward &parameters, const BoxPlace &tile,
                                                          int first_column)
        : operand(parameters.operand), below(parameters.below), tile(tile), to(operand, first_column / 64) {
        const VggxScale &scale = operand.input_scale;
        const Rescale result = rescale(pointer<const unsigned>(scale.largest)[tile.image], pointer<const int>(scale.exponent)[tile.image],
                                       operand.operator_bound, operand.operator_gain, 0.0f);
        // One thread an image writes the exponent of what is stored.
        if (tile.y == 0 && tile.x == 0 && first_column == 0 && threadIdx.x % 128 == 0) {
            pointer<int>(below.output_scale.exponent)[tile.image] = result.exponent;
        }
        factor = result.sum_factor;
    }

    __device__ __forceinline__ void finish(const TransposedSums &sums) const {
        const int gate = below.below == VGGX_BELOW_NOTHING ? 0 : below.gate;
        // All on their way at once: four bits of each j.
        unsigned passes[4] = {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu};
        if (gate & VGGX_GATE_MASK) {
            load_masks(passes);
        }
        unsigned largest = 0;
#pragma unroll
        for (int j = 0; j < 32; ++j) {
            unsigned pairs[2];
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                // The mask is for channels and positions as they leave.
                const int sign = gate & VGGX_GATE_SIGN;
                pairs[h] = narrow_pair<Element>(gated(sums.values[4 * j + 2 * h] * factor, sign, true),
                                                gated(sums.values[4 * j + 2 * h + 1] * factor, sign, true));
            }
            const ChannelQuad quad = masked(to.gather(pairs[0], pairs[1]), passes[j / 8] >> (j % 8 * 4));
            const int position = transposed_position(operand, tile, j, to.g);
            if (position >= 0) {
                largest = max(largest, largest_of(quad));
                if (below.below == VGGX_BELOW_POOL) {
                    scatter(position, tile.y + j / 2, tile.x + j % 2 * 8 + to.g, quad);
                } else {
                    to.store(below.output, position, quad);
                }
            }
        }
        const float stored = widen(Element{(unsigned short)largest});
        raise_largest(pointer<unsigned>(below.output_scale.largest) + tile.image, magnitude_bits(stored));
    }

  private:
    // Two neighbouring words of mask bits or argmaxes.
    template <class Word> struct alignas(2 * sizeof(Word)) WordPair {
        Word words[2];
    };

    // The lane's two of a position.
    template <class Word> __device__ __forceinline__ WordPair<Word> words_of(vggx_address words, int position) const {
        return pointer<const WordPair<Word>>(words)[word_index(position, operand.outputs, to.group, to.word()) / 2];
    }

    __device__ __forceinline__ void load_masks(unsigned (&passes)[4]) const {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            passes[n] = 0;
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const int position = transposed_position(operand, tile, 8 * n + i, to.g);
                if (position >= 0) {
                    const WordPair<uint16_t> mask = words_of<uint16_t>(below.mask, position);
                    const unsigned first = unsigned(mask.words[0]) >> to.place() & 3u;
                    const unsigned second = unsigned(mask.words[1]) >> to.place() & 3u;
                    passes[n] |= (second << 2 | first) << (4 * i);
                }
            }
        }
    }

    // Zero for channels whose bit, of the last four, is not set.
    __device__ __forceinline__ static ChannelQuad masked(const ChannelQuad &quad, unsigned bits) {
        return {{quad.pairs[0] & halves(bits), quad.pairs[1] & halves(bits >> 2)}};
    }

    // 0xffff in the halves of a word whose bit, of the last two, is set.
    __device__ __forceinline__ static unsigned halves(unsigned bits) { return (bits & 1u) * 0xffffu | (bits >> 1 & 1u) * 0xffff0000u; }

    // Every signal goes to its window's argmax; the other three positions of the window, and an odd last row or column, which no
    // window covers, get zeros.
    __device__ __forceinline__ void scatter(int position, int y, int x, const ChannelQuad &quad) const {
        const int height = below.unpooled_height, width = below.unpooled_width;
        const WordPair<unsigned> argmax = words_of<unsigned>(below.argmax, position);
        const unsigned first = argmax.words[0] >> (2 * to.place()), second = argmax.words[1] >> (2 * to.place());
        // The window reaches a row or a column further at an odd border.
        const int last_row = height % 2 == 1 && y == operand.height - 1 ? 2 : 1;
        const int last_column = width % 2 == 1 && x == operand.width - 1 ? 2 : 1;
        const int corner = (tile.image * height + 2 * y) * width + 2 * x;
        for (int dy = 0; dy <= last_row; ++dy) {
            for (int dx = 0; dx <= last_column; ++dx) {
                const bool covered = dy < 2 && dx < 2;
                const unsigned source = unsigned(2 * dy + dx);
                const unsigned here = unsigned(covered && (first & 3u) == source) | unsigned(covered && (first >> 2 & 3u) == source) << 1 |
                                      unsigned(covered && (second & 3u) == source) << 2 |
                                      unsigned(covered && (second >> 2 & 3u) == source) << 3;
                to.store(below.output, corner + dy * width + dx, masked(quad, here));
            }
        }
    }

    const VggxOperand &operand;
    const VggxBelow &below;
    const BoxPlace tile;
    const TransposedLane to;
    float factor;
};
