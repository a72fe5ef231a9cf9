// Explanations on their way out: scaled so that every image's largest magnitude lies in [1/2, 1).
#include "scale.cuh"

// A power of two in two factors: one alone ends at 2^127, and a subnormal largest magnitude needs up to 2^148.
struct OutputPower {
    int power;
    float first;
    float second;

    __device__ __forceinline__ float scale(float value) const { return value * first * second; }
};

// The power that brings the magnitude with these bits into [1/2, 1); none for zero and for what is not finite.
__device__ __forceinline__ OutputPower output_power(unsigned largest) {
    int power = 0;
    if (largest >= 0x00800000u && largest < 0x7f800000u) {
        power = 126 - int(largest >> 23);
    } else if (largest > 0 && largest < 0x00800000u) {
        power = 117 + __clz(int(largest)); // the bits count in units of 2^-149
    }
    return {power, power_of_two(power / 2), power_of_two(power - power / 2)};
}

__device__ __forceinline__ float output_factor(const VggxOutput &parameters, int image) {
    return parameters.factors != 0 ? pointer<const float>(parameters.factors)[image] : 1.0f;
}

__device__ __forceinline__ OutputPower scale_image(const VggxOutput &parameters, int image) {
    const OutputPower power = output_power(pointer<const unsigned>(parameters.scale.largest)[image]);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        pointer<int>(parameters.exponents)[image] = pointer<const int>(parameters.scale.exponent)[image] - power.power;
    }
    return power;
}

VGGX_KERNEL(output_planes, VggxOutput, 256, 4) {
    const int image = int(blockIdx.y);
    const OutputPower power = scale_image(parameters, image);
    const float factor = output_factor(parameters, image);
    const int64_t count = 3 * int64_t(parameters.positions);
    float *values = pointer<float>(parameters.values) + image * count;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int64_t at = int64_t(blockIdx.x) * 1024 + i * 256 + threadIdx.x;
        if (at < count) {
            values[at] = power.scale(values[at]) * factor;
        }
    }
}

VGGX_KERNEL(output_heat_map, VggxOutput, 256, 4) {
    const int image = int(blockIdx.y);
    const OutputPower power = scale_image(parameters, image);
    const float factor = output_factor(parameters, image);
    const int64_t positions = parameters.positions;
    const float *values = pointer<const float>(parameters.values) + image * 3 * positions;
    float *heat_map = pointer<float>(parameters.heat_map) + image * positions;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int64_t at = int64_t(blockIdx.x) * 1024 + i * 256 + threadIdx.x;
        if (at < positions) {
            // The planes as output_planes writes them. Their sum is exact to a bit in double, and rounded once.
            const auto plane = [&](int channel) { return double(power.scale(values[channel * positions + at]) * factor); };
            heat_map[at] = float(plane(0) + plane(1) + plane(2));
        }
    }
}
