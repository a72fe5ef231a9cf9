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
struct Delivery {
    double factor;
    int exponent;
};

// As src/explain/fold.rs.
__device__ __forceinline__ Delivery folded(unsigned largest, int exponent) {
    // Exact: beyond 2^2000 nothing is a float any more.
    const double power = ldexp(1.0, max(-2000, min(exponent, 2000)));
    const double product = double(__uint_as_float(largest)) * power;
    if (!(product >= 0x1p-126 && product <= 0x1.fffffep127)) {
        return {1.0, exponent};
    }
    return {power, 0};
}

// Float16 is too narrow for any exponent to be left out: the largest magnitude lies where most of the others are normal.
__device__ __forceinline__ Delivery narrowed(unsigned largest, int exponent) {
    const int more = exponent_above_bits(largest) - VGGX_STORED_LOG2;
    return {ldexp(1.0, -more), saturated_sum(exponent, more)};
}

template <class Output> __device__ __forceinline__ void deliver(const VggxDeliver &parameters) {
    constexpr bool is_float = sizeof(Output) == sizeof(float);
    const int image = int(blockIdx.y);
    const unsigned largest = pointer<const unsigned>(parameters.bits)[image];
    const int exponent =
        saturated_sum(pointer<const int>(parameters.exponents)[image], pointer<const int>(parameters.joins)[image]);
    Delivery delivery = {1.0, 0};
    if (largest > 0) { // else float16 has zeros of one sign
        delivery = is_float ? folded(largest, exponent) : narrowed(largest, exponent);
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        pointer<int>(parameters.scales)[image] = delivery.exponent;
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
            // Rounded once: on the way to float16 the float is exact, but where float16 has nothing left.
            const float value = float(double(values[source]) * delivery.factor);
            pointer<Output>(destination)[at] = narrow<Output>(is_float || largest > 0 ? value : 0.0f);
        }
    }
}

VGGX_KERNEL(deliver_f32, VggxDeliver, 256, 4) { deliver<float>(parameters); }
VGGX_KERNEL(deliver_f16, VggxDeliver, 256, 4) { deliver<float16>(parameters); }
