// Images on their way in from memory of the device that others own: rows may be any distance apart, and begin anywhere.
#include "element.cuh"
#include "reduce.cuh"
#include "scale.cuh"

#ifdef VGGX_HOST
#include <cmath>
#endif

template <class Value> __device__ __forceinline__ const Value *source_row(const VggxSource &source, unsigned row) {
    return pointer<const Value>(source.address + vggx_address(row * source.row_stride));
}

// Bytes and floats are read one by one: nothing is known of how rows are aligned, and neighbouring threads read neighbours.
VGGX_KERNEL(gather_bytes, VggxGather, 256, 4) {
    const int image = int(blockIdx.y);
    const VggxSource source = pointer<const VggxSource>(parameters.sources)[image];
    const unsigned row_bytes = 3u * unsigned(parameters.width);
    const unsigned count = row_bytes * unsigned(parameters.height);
    uint8_t *output = pointer<uint8_t>(parameters.output) + image * int64_t(count);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const unsigned at = blockIdx.x * 1024u + i * 256 + threadIdx.x;
        if (at < count) {
            output[at] = source.address != 0 ? source_row<uint8_t>(source, at / row_bytes)[at % row_bytes] : uint8_t(0);
        }
    }
}

VGGX_KERNEL(gather_largest, VggxGather, 256, 4) {
    const int image = int(blockIdx.y);
    const VggxSource source = pointer<const VggxSource>(parameters.sources)[image];
    const unsigned width = unsigned(parameters.width);
    const unsigned count = source.address != 0 ? 3u * width * unsigned(parameters.height) : 0u;
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const unsigned at = blockIdx.x * 2048u + i * 256 + threadIdx.x;
        if (at < count) {
            largest = max(largest, magnitude_bits(source_row<float>(source, at / width)[at % width]));
        }
    }
    raise_largest(pointer<unsigned>(parameters.bits) + image, largest);
}

template <class Element> __device__ __forceinline__ void gather_planes(const VggxGather &parameters) {
    const int image = int(blockIdx.y);
    const VggxSource source = pointer<const VggxSource>(parameters.sources)[image];
    const unsigned bits = pointer<const unsigned>(parameters.bits)[image];
    const bool is_finite = bits < 0x7f800000u;
    const bool has_values = is_finite && bits > 0; // none are raised of images that fill up
    const int exponent = has_values ? exponent_above_bits(bits) - VGGX_STORED_LOG2 : 0;
    // Exact in double; rounded to float first, as the host does.
    const double factor = ldexp(1.0, -exponent);
    const auto scaled = [&](float value) { return float(double(value) * factor); };
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        // Rounding keeps the order, so no stored value exceeds the largest one's.
        const float largest = has_values ? widen(narrow<Element>(scaled(__uint_as_float(bits)))) : 0.0f;
        pointer<unsigned>(parameters.output_scale.largest)[image] = magnitude_bits(largest);
        pointer<int>(parameters.output_scale.exponent)[image] = exponent;
        if (parameters.counted != 0) {
            pointer<unsigned>(parameters.counted)[image] = is_finite && source.address != 0;
        }
    }
    const unsigned width = unsigned(parameters.width), height = unsigned(parameters.height);
    const unsigned positions = width * height;
    Element *output = pointer<Element>(parameters.output) + image * 3 * int64_t(positions);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const unsigned at = blockIdx.x * 1024u + i * 256 + threadIdx.x;
        if (at < positions) {
#pragma unroll
            for (unsigned channel = 0; channel < 3; ++channel) {
                const float value =
                    has_values ? source_row<float>(source, channel * height + at / width)[at % width] : 0.0f;
                output[3 * int64_t(at) + channel] = narrow<Element>(scaled(value));
            }
        }
    }
}

VGGX_KERNEL(gather_planes_f16, VggxGather, 256, 4) { gather_planes<float16>(parameters); }
VGGX_KERNEL(gather_planes_bf16, VggxGather, 256, 4) { gather_planes<bfloat16>(parameters); }
VGGX_KERNEL(gather_planes_f32, VggxGather, 256, 4) { gather_planes<float>(parameters); }
