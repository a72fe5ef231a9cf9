// Images on their way in: bytes or planes of floats to pixels of Elements.
#include "element.cuh"
#include "scale.cuh"

template <class Element> struct alignas(4 * sizeof(Element)) Quad {
    Element values[4];
};

// Four pixels a thread: twelve bytes are three words, twelve Elements three quads.
template <class Element> __device__ __forceinline__ void normalise(const VggxNormalise &parameters) {
    const int64_t thread = int64_t(blockIdx.x) * 256 + threadIdx.x;
    const int64_t pixels = int64_t(parameters.images) * parameters.positions;

    // Rounding is monotonic: the largest table value, rounded, bounds what is stored.
    const float largest = widen(narrow<Element>(__uint_as_float(parameters.largest)));
    for (int64_t image = thread; image < parameters.images; image += int64_t(gridDim.x) * 256) {
        pointer<unsigned>(parameters.output_scale.largest)[image] = magnitude_bits(largest);
        pointer<int>(parameters.output_scale.exponent)[image] = parameters.exponent;
    }

    const float *table = pointer<const float>(parameters.table);
    const auto stored = [&](int channel, unsigned byte) { return narrow<Element>(table[channel * 256 + int(byte)]); };
    const int64_t first = thread * 4;
    if (first + 4 <= pixels) {
        const uint32_t *words = pointer<const uint32_t>(parameters.pixels) + thread * 3;
        const uint32_t word[3] = {words[0], words[1], words[2]};
        Quad<Element> quads[3];
#pragma unroll
        for (int i = 0; i < 12; ++i) {
            const unsigned forward = word[i / 4] >> 8 * (i % 4) & 255u;
            const int mirrored = i - i % 3 + 2 - i % 3;
            const unsigned backward = word[mirrored / 4] >> 8 * (mirrored % 4) & 255u;
            quads[i / 4].values[i % 4] = stored(i % 3, parameters.reversed ? backward : forward);
        }
        Quad<Element> *output = pointer<Quad<Element>>(parameters.output) + thread * 3;
#pragma unroll
        for (int quad = 0; quad < 3; ++quad) {
            output[quad] = quads[quad];
        }
        return;
    }
    const uint8_t *bytes = pointer<const uint8_t>(parameters.pixels);
    Element *output = pointer<Element>(parameters.output);
    for (int64_t pixel = first; pixel < pixels; ++pixel) {
        for (int channel = 0; channel < 3; ++channel) {
            const int source = parameters.reversed ? 2 - channel : channel;
            output[3 * pixel + channel] = stored(channel, bytes[3 * pixel + source]);
        }
    }
}

template <class Element> __device__ __forceinline__ void interleave(const VggxInterleave &parameters) {
    const int64_t pixel = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (pixel >= int64_t(parameters.images) * parameters.positions) {
        return;
    }
    const int64_t image = pixel / parameters.positions;
    const int64_t position = pixel % parameters.positions;
    const float *planes = pointer<const float>(parameters.planes) + image * 3 * parameters.positions + position;
    Element *output = pointer<Element>(parameters.output) + 3 * pixel;
    for (int channel = 0; channel < 3; ++channel) {
        output[channel] = narrow<Element>(planes[int64_t(channel) * parameters.positions]);
    }
}

VGGX_KERNEL(normalise_f16, VggxNormalise, 256, 4) { normalise<float16>(parameters); }
VGGX_KERNEL(normalise_bf16, VggxNormalise, 256, 4) { normalise<bfloat16>(parameters); }
VGGX_KERNEL(normalise_f32, VggxNormalise, 256, 4) { normalise<float>(parameters); }

VGGX_KERNEL(interleave_f16, VggxInterleave, 256, 4) { interleave<float16>(parameters); }
VGGX_KERNEL(interleave_bf16, VggxInterleave, 256, 4) { interleave<bfloat16>(parameters); }
VGGX_KERNEL(interleave_f32, VggxInterleave, 256, 4) { interleave<float>(parameters); }
