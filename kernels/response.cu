// The responses of a headless network, and what a backward pass starts with.
#include "octet.cuh"
#include "scale.cuh"

template <class Element> __device__ __forceinline__ void channel_sums(const VggxChannelSums &parameters) {
    const int64_t index = int64_t(blockIdx.x) * 128 + threadIdx.x;
    if (index >= int64_t(parameters.images) * parameters.channels) {
        return;
    }
    const int64_t image = index / parameters.channels;
    const int64_t channel = index % parameters.channels;
    const Element *input =
        pointer<const Element>(parameters.input) + image * parameters.positions * parameters.channels + channel;
    double sum = 0.0;
    for (int position = 0; position < parameters.positions; ++position) {
        sum += double(widen(input[int64_t(position) * parameters.channels]));
    }
    pointer<double>(parameters.output)[index] = sum;
}

template <class Element> __device__ __forceinline__ void start(const VggxStart &parameters) {
    const int image = int(blockIdx.y);
    const bool activations = parameters.activations != 0;
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        pointer<unsigned>(parameters.output_scale.largest)[image] =
            activations ? pointer<const unsigned>(parameters.activations_scale.largest)[image] : magnitude_bits(1.0f);
        pointer<int>(parameters.output_scale.exponent)[image] =
            activations ? pointer<const int>(parameters.activations_scale.exponent)[image] : 0;
    }
    OctetPlace place;
    if (!octet_of_thread(1, parameters.positions, parameters.channels, place)) {
        return;
    }
    const int64_t index = place.index(1, parameters.positions, parameters.channels);
    const int target = pointer<const int>(parameters.targets)[image];
    Octet<Element> octet = {};
    if (target / VGGX_OCTET == place.octet && target >= 0) {
        const int64_t at = index * VGGX_OCTET + target % VGGX_OCTET;
        const Element value =
            activations ? pointer<const Element>(parameters.activations)[at] : narrow<Element>(1.0f);
#pragma unroll
        for (int k = 0; k < VGGX_OCTET; ++k) {
            octet.values[k] = k == target % VGGX_OCTET ? value : Element{};
        }
    }
    pointer<Octet<Element>>(parameters.output)[index] = octet;
}

VGGX_KERNEL(channel_sums_f16, VggxChannelSums, 128, 8) { channel_sums<float16>(parameters); }
VGGX_KERNEL(channel_sums_bf16, VggxChannelSums, 128, 8) { channel_sums<bfloat16>(parameters); }
VGGX_KERNEL(channel_sums_f32, VggxChannelSums, 128, 8) { channel_sums<float>(parameters); }

VGGX_KERNEL(start_f16, VggxStart, 256, 4) { start<float16>(parameters); }
VGGX_KERNEL(start_bf16, VggxStart, 256, 4) { start<bfloat16>(parameters); }
VGGX_KERNEL(start_f32, VggxStart, 256, 4) { start<float>(parameters); }
