// The last backward step, 3x3 over many channels into three: what its kernels share, scaling and storing pixels.
#pragma once

#include "element.cuh"
#include "reduce.cuh"
#include "scale.cuh"

// How the sums of the block's image become stored values. The first thread of the image's first block writes their exponent.
__device__ __forceinline__ Rescale signal_image_scale(const VggxSignalImage &parameters) {
    const int image = int(blockIdx.z);
    const Rescale scale = rescale(pointer<const unsigned>(parameters.input_scale.largest)[image],
                                  pointer<const int>(parameters.input_scale.exponent)[image], parameters.operator_bound,
                                  parameters.operator_gain, 0.0f);
    if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) {
        pointer<int>(parameters.output_scale.exponent)[image] = scale.exponent;
    }
    return scale;
}

// Stores the three sums of a pixel. Returns the bits of the largest magnitude stored.
__device__ __forceinline__ unsigned store_signal_pixel(const VggxSignalImage &parameters, const Rescale &scale, int y, int x,
                                                       const float (&sums)[3]) {
    const int64_t positions = int64_t(parameters.height) * parameters.width;
    float *output = pointer<float>(parameters.output) + int64_t(blockIdx.z) * 3 * positions + int64_t(y) * parameters.width + x;
    unsigned largest = 0;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        const float stored = sums[channel] * scale.sum_factor;
        output[channel * positions] = stored;
        largest = max(largest, magnitude_bits(stored));
    }
    return largest;
}
