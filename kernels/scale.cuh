// Powers of two that keep every image's maps within range (see params.h).
#pragma once

#include "kernel.cuh"

// Bits of |value|: ordered like the magnitudes, also across infinity to NaN.
__device__ __forceinline__ unsigned magnitude_bits(float value) { return __float_as_uint(value) & 0x7fffffffu; }

// 2^power, for -126 <= power <= 127; 0 below, where nothing would be left.
__device__ __forceinline__ float power_of_two(int power) {
    return power < -126 ? 0.0f : __uint_as_float(unsigned(min(power, 127) + 127) << 23);
}

// The smallest e with value < 2^e for a finite value > 0; for 0 a very small one.
__device__ __forceinline__ int exponent_above(float value) {
    return value > 0.0f ? int(__float_as_uint(value) >> 23) - 126 : -100000;
}

// As exponent_above, of the magnitude with these bits, and exact for subnormal ones too.
__device__ __forceinline__ int exponent_above_bits(unsigned bits) {
    return bits >= 0x00800000u ? int(bits >> 23) - 126 : -117 - __clz(int(bits)); // the bits count in units of 2^-149
}

// How one image's sums become stored values: stored = sum * sum_factor + bias * bias_factor.
struct Rescale {
    float sum_factor;
    float bias_factor;
    int exponent; // of the stored map
};

// `largest`: bits of an upper bound of the stored input; `exponent`: the input's. |sum| <= largest * bound, where the true sum
// is sum * 2^(gain + exponent); |bias| <= bias_bound in true units. (A subnormal bound counts as 2^-126: exponent_above is
// then too large by less than 23, on the safe side.)
__device__ __forceinline__ Rescale rescale(unsigned largest, int exponent, float bound, int gain, float bias_bound) {
    // Each factor's exponent apart: their product could leave float's range. The sum of two terms needs one bit more.
    const float input = __uint_as_float(largest);
    const int sum_above = exponent_above(input) + exponent_above(bound) + gain + exponent;
    const int bias_above = exponent_above(bias_bound);
    const int above = max(sum_above, bias_above) + (bias_bound > 0.0f ? 1 : 0);
    Rescale result;
    result.exponent = above < -50000 ? 0 : above - VGGX_STORED_LOG2;
    // Factors beyond 2^127 do not exist; such tiny maps are stored smaller than they could be.
    const int bias_power = bias_bound > 0.0f ? -result.exponent : 0;
    result.exponent += max(0, max(gain + exponent - result.exponent, bias_power) - 127);
    result.sum_factor = power_of_two(gain + exponent - result.exponent);
    result.bias_factor = power_of_two(-result.exponent);
    return result;
}
