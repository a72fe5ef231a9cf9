// Patches of images: their means, their ranks by the relevance in them, and copies of images in which some are replaced.
#include "kernel.cuh"

// The pixels of a patch.
struct Patch {
    int top, bottom, left, right; // the last two of each pair are not part of it

    __device__ __forceinline__ Patch(int patch, int height, int width, int side) {
        const int columns = (width + side - 1) / side;
        top = patch / columns * side;
        left = patch % columns * side;
        bottom = min(top + side, height);
        right = min(left + side, width);
    }

    __device__ __forceinline__ int pixels() const { return (bottom - top) * (right - left); }
};

__device__ __forceinline__ int patch_count(int height, int width, int side) {
    return (height + side - 1) / side * ((width + side - 1) / side);
}

VGGX_KERNEL(patch_means, VggxPatches, 64, 8) {
    const int height = parameters.height, width = parameters.width, side = parameters.side;
    const int patches = patch_count(height, width, side);
    const int thread = int(blockIdx.x) * 64 + int(threadIdx.x);
    if (thread >= 3 * patches) {
        return;
    }
    const Patch patch(thread % patches, height, width, side);
    const int64_t plane = (int64_t(blockIdx.y) * 3 + thread / patches) * height * width;
    const float *values = pointer<const float>(parameters.values) + plane;
    float *means = pointer<float>(parameters.means) + plane;
    double sum = 0.0;
    for (int row = patch.top; row < patch.bottom; ++row) {
        for (int column = patch.left; column < patch.right; ++column) {
            sum += double(values[int64_t(row) * width + column]);
        }
    }
    const float mean = float(sum / double(patch.pixels()));
    for (int row = patch.top; row < patch.bottom; ++row) {
        for (int column = patch.left; column < patch.right; ++column) {
            means[int64_t(row) * width + column] = mean;
        }
    }
}

VGGX_KERNEL(patch_sums, VggxPatches, 64, 8) {
    const int height = parameters.height, width = parameters.width, side = parameters.side;
    const int patches = patch_count(height, width, side);
    const int number = int(blockIdx.x) * 64 + int(threadIdx.x);
    if (number >= patches) {
        return;
    }
    const Patch patch(number, height, width, side);
    const float *values = pointer<const float>(parameters.values) + int64_t(blockIdx.y) * 3 * height * width;
    double sum = 0.0;
    for (int channel = 0; channel < 3; ++channel) {
        for (int row = patch.top; row < patch.bottom; ++row) {
            for (int column = patch.left; column < patch.right; ++column) {
                const double value = double(values[(int64_t(channel) * height + row) * width + column]);
                sum += parameters.absolute != 0 && value < 0.0 ? -value : value;
            }
        }
    }
    pointer<double>(parameters.sums)[int64_t(blockIdx.y) * patches + number] = sum;
}

// Every patch counts those before it: quadratic, but once a map, and all threads of a warp read the same sum.
VGGX_KERNEL(patch_ranks, VggxPatches, 64, 8) {
    const int patches = patch_count(parameters.height, parameters.width, parameters.side);
    const int number = int(blockIdx.x) * 64 + int(threadIdx.x);
    if (number >= patches) {
        return;
    }
    const double *sums = pointer<const double>(parameters.sums) + int64_t(blockIdx.y) * patches;
    const double own = sums[number];
    unsigned before = 0;
    for (int other = 0; other < patches; ++other) {
        const double sum = sums[other];
        const bool precedes = parameters.least_first != 0 ? sum < own : sum > own;
        before += precedes || (sum == own && other < number) ? 1u : 0u;
    }
    pointer<unsigned>(parameters.ranks)[int64_t(blockIdx.y) * patches + number] = before;
}

VGGX_KERNEL(replace_patches, VggxReplacePatches, 256, 4) {
    const int height = parameters.height, width = parameters.width, side = parameters.side;
    const int positions = height * width;
    const int columns = (width + side - 1) / side;
    const VggxAlteredCopy copy = pointer<const VggxAlteredCopy>(parameters.copies)[blockIdx.y];
    const unsigned *ranks =
        pointer<const unsigned>(parameters.ranks) + int64_t(blockIdx.y) * patch_count(height, width, side);
    const int64_t from = int64_t(copy.image) * 3 * positions;
    const float *image = pointer<const float>(parameters.images) + from;
    const float *filling = pointer<const float>(parameters.fillings) + from;
    float *output = pointer<float>(parameters.output) + int64_t(blockIdx.y) * 3 * positions;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int at = int(blockIdx.x) * 1024 + i * 256 + int(threadIdx.x);
        if (at < positions) {
            const unsigned rank = ranks[at / width / side * columns + at % width / side];
            const float *source = rank >= copy.first && rank < copy.end ? filling : image;
#pragma unroll
            for (int channel = 0; channel < 3; ++channel) {
                const int64_t value = int64_t(channel) * positions + at;
                output[value] = source[value];
            }
        }
    }
}
