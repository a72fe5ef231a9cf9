// Explanations on their way to memory of the device that others own.
#include "element.cuh"
#include "reduce.cuh"
#include "scale.cuh"

#ifdef VGGX_HOST
#include <cmath>
#endif

VGGX_KERNEL(deliver_largest, VggxDeliver, 256, 4) {
    const int image = int(blockIdx.y);
    const int64_t count = int64_t(parameters.channels) * parameters.positions;
    const float *values = pointer<const float>(parameters.values) + image * count;
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const int64_t at = int64_t(blockIdx.x) * 2048 + i * 256 + threadIdx.x;
        if (at < count) {
            largest = max(largest, magnitude_bits(values[at]));
        }
    }
    raise_largest(pointer<unsigned>(parameters.bits) + image, largest);
}

// Exponents add up to what an int32 holds, and stay there.
__device__ __forceinline__ int saturated_sum(int one, int other) {
    const int64_t sum = int64_t(one) + other;
    return sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : int(sum);
}

// What an image's values are multiplied with, and the exponent that is left then.
struct Folded {
    double factor;
    int exponent;
};

// As src/explain/fold.rs.
__device__ __forceinline__ Folded fold(unsigned largest, int exponent) {
    if (largest == 0) {
        return {1.0, 0};
    }
    // Exact: beyond 2^2000 nothing is a float any more.
    const double power = ldexp(1.0, max(-2000, min(exponent, 2000)));
    const double folded = double(__uint_as_float(largest)) * power;
    if (!(folded >= 0x1p-126 && folded <= 0x1.fffffep127)) {
        return {1.0, exponent};
    }
    return {power, 0};
}

struct DeliveredImage {
    Folded folded;
    double second; // of float16
    int exponent;

    __device__ __forceinline__ float value(float stored) const { return float(double(stored) * folded.factor); }
};

__device__ __forceinline__ DeliveredImage delivered_image(const VggxDeliver &parameters, int image, bool to_float16) {
    const unsigned largest = pointer<const unsigned>(parameters.bits)[image];
    const int exponent =
        saturated_sum(pointer<const int>(parameters.exponents)[image], pointer<const int>(parameters.joins)[image]);
    DeliveredImage result = {fold(largest, exponent), 1.0, 0};
    int more = 0;
    if (to_float16 && largest != 0) {
        more = exponent_above_bits(magnitude_bits(result.value(__uint_as_float(largest)))) - VGGX_STORED_LOG2;
        result.second = ldexp(1.0, -more);
    }
    result.exponent = saturated_sum(result.folded.exponent, more);
    return result;
}

template <class Output> __device__ __forceinline__ void deliver(const VggxDeliver &parameters) {
    constexpr bool to_float16 = sizeof(Output) == 2;
    const int image = int(blockIdx.y);
    const DeliveredImage delivered = delivered_image(parameters, image, to_float16);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        pointer<int>(parameters.scales)[image] = delivered.exponent;
    }
    const vggx_address destination = pointer<const vggx_address>(parameters.destinations)[image];
    if (destination == 0) {
        return;
    }
    const int64_t positions = parameters.positions;
    const int64_t count = parameters.channels * positions;
    const float *values = pointer<const float>(parameters.values) + image * count;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int64_t at = int64_t(blockIdx.x) * 1024 + i * 256 + threadIdx.x;
        if (at < count) {
            const int64_t channel = at / positions;
            const int64_t source = parameters.reversed ? at + (parameters.channels - 1 - 2 * channel) * positions : at;
            const float value = delivered.value(values[source]);
            // The float is exact but where float16 has nothing left.
            pointer<Output>(destination)[at] = to_float16 ? narrow<Output>(float(double(value) * delivered.second)) : narrow<Output>(value);
        }
    }
}

VGGX_KERNEL(deliver_f32, VggxDeliver, 256, 4) { deliver<float>(parameters); }
VGGX_KERNEL(deliver_f16, VggxDeliver, 256, 4) { deliver<float16>(parameters); }
