// Operators from the tensors of a file: laid out, scaled by a power of two, padded with zeros.
#include "float8.cuh"
#include "reduce.cuh"
#include "scale.cuh"

#ifdef VGGX_HOST
#include <cmath>
#endif

__device__ __forceinline__ int64_t padded(int64_t channels) {
    return (channels + VGGX_CHANNELS - 1) / VGGX_CHANNELS * VGGX_CHANNELS;
}

__device__ __forceinline__ double file_value(vggx_address tensor, int type, int64_t index) {
    switch (type) {
    case VGGX_F16:
        return double(widen(pointer<const float16>(tensor)[index]));
    case VGGX_BF16:
        return double(widen(pointer<const bfloat16>(tensor)[index]));
    default:
        return double(pointer<const float>(tensor)[index]);
    }
}

// first * second * neuron_scale; the product of two floats is exact in double.
__device__ __forceinline__ double operator_value(const VggxPrepareOperator &parameters, int64_t output, int64_t index) {
    double value = file_value(parameters.first, parameters.first_type, index);
    if (parameters.second != 0) {
        value *= file_value(parameters.second, parameters.second_type, index);
    }
    if (parameters.neuron_scales != 0) {
        value *= pointer<const double>(parameters.neuron_scales)[output];
    }
    return value;
}

// An element of the file's tensor, in [outputs, inputs, taps].
struct OperatorElement {
    int64_t output;
    int64_t input; // in the engine's order, padded; an input of the file where flatten is 1
    int64_t tap;
};

// What belongs at an element of the destination, and the number of elements.
__device__ __forceinline__ OperatorElement element_at(const VggxPrepareOperator &parameters, int64_t at, int64_t inputs) {
    const int64_t taps = parameters.taps;
    const int64_t outputs = padded(parameters.outputs);
    switch (parameters.layout) {
    case VGGX_LAYOUT_FORWARD:
        return {at / (taps * inputs), at % inputs, at / inputs % taps};
    case VGGX_LAYOUT_BACKWARD:
        return {at % outputs, at / (taps * outputs), taps - 1 - at / outputs % taps};
    case VGGX_LAYOUT_IMAGE_FORWARD: {
        const int64_t depth = at % VGGX_IMAGE_DEPTH;
        return {at / VGGX_IMAGE_DEPTH, depth % 3, depth / 3};
    }
    default: // VGGX_LAYOUT_IMAGE_BACKWARD
        return {at / 4 % outputs, at % 4, taps - 1 - at / (4 * outputs)};
    }
}

__device__ __forceinline__ int64_t destination_elements(const VggxPrepareOperator &parameters, int64_t inputs) {
    const int64_t outputs = padded(parameters.outputs);
    switch (parameters.layout) {
    case VGGX_LAYOUT_IMAGE_FORWARD:
        return outputs * VGGX_IMAGE_DEPTH;
    case VGGX_LAYOUT_IMAGE_BACKWARD:
        return parameters.taps * outputs * 4;
    default:
        return outputs * parameters.taps * inputs;
    }
}

template <class Element> __device__ __forceinline__ void prepare_operator(const VggxPrepareOperator &parameters) {
    const int64_t at = int64_t(blockIdx.x) * 256 + threadIdx.x;
    const int64_t flatten = parameters.flatten;
    const int64_t channels = parameters.inputs / flatten;
    const int64_t inputs = flatten * padded(channels);
    if (at >= destination_elements(parameters, inputs)) {
        return;
    }
    const OperatorElement element = element_at(parameters, at, inputs);
    const int64_t channel = element.input % padded(channels);
    const int64_t flattened = element.input / padded(channels);
    double value = 0.0;
    if (element.output < parameters.outputs && channel < channels && element.tap < parameters.taps) {
        const int64_t input = channel * flatten + flattened;
        const int64_t index = (element.output * parameters.inputs + input) * parameters.taps + element.tap;
        value = ldexp(operator_value(parameters, element.output, index), parameters.shift);
    }
    if (parameters.layout == VGGX_LAYOUT_IMAGE_BACKWARD) {
        pointer<float>(parameters.destination)[at] = narrow<float>(value);
    } else {
        pointer<Element>(parameters.destination)[at] = narrow<Element>(value);
    }
}

// A warp sums a row: 8 elements a lane at a time. Sums of at most depth / 256 + 12 floats err by less than 2^-15 of the sum
// for any depth below 2^16; the factor covers it.
template <class Element> __device__ __forceinline__ void operator_bound(const VggxOperatorBound &parameters) {
    const int row = int(blockIdx.x) * 8 + int(threadIdx.x) / 32;
    if (row >= parameters.rows) {
        return;
    }
    const int octets = parameters.depth / VGGX_OCTET;
    const Octet<Element> *elements = pointer<const Octet<Element>>(parameters.operator_) + int64_t(row) * octets;
    float sum = 0.0f;
    for (int octet = int(threadIdx.x) % 32; octet < octets; octet += 32) {
        const Octet<Element> values = elements[octet];
#pragma unroll
        for (int k = 0; k < VGGX_OCTET; ++k) {
            sum += fabsf(widen(values.values[k]));
        }
    }
    sum = warp_sum(sum) * (1.0f + 0x1p-10f);
    if (threadIdx.x % 32 == 0) {
        atomicMax(pointer<unsigned>(parameters.bound), magnitude_bits(sum));
    }
}

VGGX_KERNEL(prepare_operator_f16, VggxPrepareOperator, 256, 4) { prepare_operator<float16>(parameters); }
VGGX_KERNEL(prepare_operator_bf16, VggxPrepareOperator, 256, 4) { prepare_operator<bfloat16>(parameters); }
VGGX_KERNEL(prepare_operator_f8, VggxPrepareOperator, 256, 4) { prepare_operator<float8>(parameters); }
VGGX_KERNEL(prepare_operator_f32, VggxPrepareOperator, 256, 4) { prepare_operator<float>(parameters); }

VGGX_KERNEL(operator_largest, VggxPrepareOperator, 256, 4) {
    const int64_t per_output = int64_t(parameters.inputs) * parameters.taps;
    const int64_t count = parameters.outputs * per_output;
    unsigned largest = 0;
    for (int i = 0; i < 4; ++i) {
        const int64_t index = int64_t(blockIdx.x) * 1024 + i * 256 + threadIdx.x;
        if (index < count) {
            const double value = operator_value(parameters, index / per_output, index);
            largest = max(largest, magnitude_bits(narrow<float>(value)));
        }
    }
    raise_largest(pointer<unsigned>(parameters.destination), largest);
}

VGGX_KERNEL(operator_bound_f16, VggxOperatorBound, 256, 4) { operator_bound<float16>(parameters); }
VGGX_KERNEL(operator_bound_bf16, VggxOperatorBound, 256, 4) { operator_bound<bfloat16>(parameters); }
VGGX_KERNEL(operator_bound_f8, VggxOperatorBound, 256, 4) { operator_bound<float8>(parameters); }
VGGX_KERNEL(operator_bound_f32, VggxOperatorBound, 256, 4) { operator_bound<float>(parameters); }

VGGX_KERNEL(operator_bound_image, VggxOperatorBound, 32, 1) {
    const float *elements = pointer<const float>(parameters.operator_);
    float sum = 0.0f;
    for (int row = int(threadIdx.x); row < parameters.depth; row += 32) {
        sum += fabsf(elements[int64_t(row) * 4 + blockIdx.x]);
    }
    sum = warp_sum(sum) * (1.0f + 0x1p-10f);
    if (threadIdx.x == 0) {
        atomicMax(pointer<unsigned>(parameters.bound), magnitude_bits(sum));
    }
}
