// What the masked covariance reduction needs beside its products: the images' factors, sums of x, the regimes' counts and pilots, and
// the sums of y. All sums are in float64; threads, warps and slices are added in a fixed order.
#include "moments.cuh"
#include "octet.cuh"
#include "reduce.cuh"

#define VGGX_REGIONS 9

// Sums of a block of 256 threads, `Lanes` of which (8 or 1) share a position, with `Width` channels each and `Count` sums a channel.
// Each warp's lanes are added, then the warps in their order.
template <int Width, int Lanes, int Count> class BlockSums {
    static constexpr int channels = Width * Lanes;

  public:
    double values[Count][Width] = {};

    // Writes the sum `quantity` of channel `channel` to partials[quantity * stride + channel].
    __device__ __forceinline__ void store(SharedMemory &shared, double *partials, int64_t stride) {
        double *of_warps = shared.take<double>(8 * Count * channels);
        const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32;
#pragma unroll
        for (int n = 0; n < Count; ++n) {
#pragma unroll
            for (int k = 0; k < Width; ++k) {
                double sum = values[n][k];
#pragma unroll
                for (int distance = 16; distance >= Lanes; distance /= 2) {
                    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
                }
                if (lane < Lanes) {
                    of_warps[(warp * Count + n) * channels + lane * Width + k] = sum;
                }
            }
        }
        __syncthreads();
        for (int index = thread; index < Count * channels; index += 256) {
            double sum = 0.0;
#pragma unroll
            for (int other = 0; other < 8; ++other) {
                sum += of_warps[other * Count * channels + index];
            }
            partials[index / channels * stride + index % channels] = sum;
        }
    }
};

// A warp adds the slices of a channel; all lanes get the sum.
__device__ __forceinline__ double sum_of_slices(const double *partials, int slices, int64_t stride) {
    double sum = 0.0;
    for (int slice = int(threadIdx.x) % 32; slice < slices; slice += 32) {
        sum += partials[slice * stride];
    }
    return warp_sum(sum);
}

// Channel of a warp in a grid (ceil(channels / 8)) of 256 threads.
__device__ __forceinline__ int channel_of_warp() { return int(blockIdx.x) * 8 + int(threadIdx.x) / 32; }

// Powers of two beyond 2^-126 leave nothing of an image, which is as it should be.
VGGX_KERNEL(moment_factors, VggxMomentMaps, 32, 1) {
    const int lane = int(threadIdx.x), images = parameters.images;
    const unsigned *counted = pointer<const unsigned>(parameters.counted);
    const int *inputs = pointer<const int>(parameters.input_exponent);
    const int *outputs = pointer<const int>(parameters.pre_activation_exponent);
    constexpr int none = -1000000;
    int input = none, output = none, count = 0;
    for (int image = lane; image < images; image += 32) {
        if (counted[image] != 0) {
            input = max(input, inputs[image]);
            output = max(output, outputs[image]);
            ++count;
        }
    }
    input = __reduce_max_sync(0xffffffffu, input);
    output = __reduce_max_sync(0xffffffffu, output);
    count = __reduce_add_sync(0xffffffffu, count);
    float *factors = pointer<float>(parameters.factors);
    for (int image = lane; image < images; image += 32) {
        const bool counts = counted[image] != 0;
        factors[image] = counts ? power_of_two(inputs[image] - input) : 0.0f;
        factors[images + image] = counts ? power_of_two(outputs[image] - output) : 0.0f;
    }
    if (lane == 0) {
        int *common = pointer<int>(parameters.common);
        common[0] = count > 0 ? input : 0;
        common[1] = count > 0 ? output : 0;
        common[2] = count;
        common[3] = 0;
    }
}

// A part of every image's map, of which sums are taken.
struct Region {
    int y, x, height, width;

    __device__ __forceinline__ Region(int region, int map_height, int map_width) {
        const bool bottom = region == 2 || region == 7 || region == 8;
        const bool right = region == 4 || region == 6 || region == 8;
        const bool row = region == 1 || region == 2 || region >= 5;
        const bool column = region >= 3;
        y = bottom ? map_height - 1 : 0;
        x = right ? map_width - 1 : 0;
        height = row ? 1 : map_height;
        width = column ? 1 : map_width;
    }
};

template <class Element, int Width, int Lanes> __device__ __forceinline__ void moment_inputs(const VggxMomentInputs &parameters) {
    const VggxMomentMaps &maps = parameters.maps;
    const Region region(int(blockIdx.z), maps.height, maps.width);
    const int of_image = region.height * region.width, all = maps.images * of_image;
    const int64_t first = int64_t(blockIdx.x) * parameters.slice_positions;
    const int end = int(min(first + parameters.slice_positions, int64_t(all)));
    const float *factors = pointer<const float>(maps.factors);
    const int lane = int(threadIdx.x) % Lanes, channel = int(blockIdx.y) * 64 + lane * Width;
    const Element *input = pointer<const Element>(maps.input) + channel;
    BlockSums<Width, Lanes, 1> sums;
    for (int64_t index = first + int(threadIdx.x) / Lanes; index < end; index += 256 / Lanes) {
        const int image = int(index) / of_image, within = int(index) % of_image;
        const int y = region.y + within / region.width, x = region.x + within % region.width;
        const int64_t position = (int64_t(image) * maps.height + y) * maps.width + x;
        const double factor = double(factors[image]);
        const Element *values = input + position * maps.channels;
        if constexpr (Width == VGGX_OCTET) {
            const Octet<Element> octet = *reinterpret_cast<const Octet<Element> *>(values);
#pragma unroll
            for (int k = 0; k < Width; ++k) {
                sums.values[0][k] += double(widen(octet.values[k])) * factor;
            }
        } else {
#pragma unroll
            for (int k = 0; k < Width; ++k) {
                sums.values[0][k] += double(widen(values[k])) * factor;
            }
        }
    }
    SharedMemory shared;
    const int64_t row = int64_t(blockIdx.z) * parameters.slices + blockIdx.x;
    sums.store(shared, pointer<double>(parameters.partials) + row * maps.channels + int(blockIdx.y) * 64, 0);
}

VGGX_KERNEL(moment_inputs_f16, VggxMomentInputs, 256, 4) { moment_inputs<float16, VGGX_OCTET, 8>(parameters); }
VGGX_KERNEL(moment_inputs_bf16, VggxMomentInputs, 256, 4) { moment_inputs<bfloat16, VGGX_OCTET, 8>(parameters); }
VGGX_KERNEL(moment_inputs_f32, VggxMomentInputs, 256, 4) { moment_inputs<float, VGGX_OCTET, 8>(parameters); }

VGGX_KERNEL(moment_inputs_image_f16, VggxMomentInputs, 256, 4) { moment_inputs<float16, 3, 1>(parameters); }
VGGX_KERNEL(moment_inputs_image_bf16, VggxMomentInputs, 256, 4) { moment_inputs<bfloat16, 3, 1>(parameters); }
VGGX_KERNEL(moment_inputs_image_f32, VggxMomentInputs, 256, 4) { moment_inputs<float, 3, 1>(parameters); }

VGGX_KERNEL(moment_inputs_taps, VggxMomentInputs, 256, 4) {
    const VggxMomentMaps &maps = parameters.maps;
    const int channel = channel_of_warp();
    if (channel >= maps.channels) {
        return;
    }
    const double *partials = pointer<const double>(parameters.partials) + channel;
    const int64_t plane = int64_t(parameters.slices) * maps.channels;
    const int regions = maps.taps == 9 ? VGGX_REGIONS : 1;
    double sums[VGGX_REGIONS] = {};
#pragma unroll
    for (int region = 0; region < VGGX_REGIONS; ++region) {
        if (region < regions) {
            sums[region] = sum_of_slices(partials + region * plane, parameters.slices, maps.channels);
        }
    }
    if (threadIdx.x % 32 != 0) {
        return;
    }
    const double unit = ldexp(1.0, pointer<const int>(maps.common)[0]);
#pragma unroll
    for (int tap = 0; tap < 9; ++tap) {
        if (tap < maps.taps) {
            double sum = sums[0];
            if (maps.taps == 9) {
                // A patch's tap above the position never meets the last row, and so on; what row and column have in common
                // is taken off once.
                const int dy = tap / 3 - 1, dx = tap % 3 - 1;
                sum -= dy < 0 ? sums[2] : dy > 0 ? sums[1] : 0.0;
                sum -= dx < 0 ? sums[4] : dx > 0 ? sums[3] : 0.0;
                if (dy != 0 && dx != 0) {
                    sum += dy < 0 ? (dx < 0 ? sums[8] : sums[7]) : (dx < 0 ? sums[6] : sums[5]);
                }
            }
            const int at = tap * maps.channels + channel;
            pointer<double>(parameters.batch_sums)[at] = sum * unit;
            pointer<double>(parameters.sums)[at] += sum * unit;
        }
    }
}

// Visits the z of this thread's octet at the positions of its slice that count: visit(z, position's z factor).
template <class Element, class Visit>
__device__ __forceinline__ void visit_octets(const VggxMomentResponses &parameters, Visit visit) {
    const VggxMomentMaps &maps = parameters.maps;
    const BatchPositions positions(maps);
    const unsigned *counted = pointer<const unsigned>(maps.counted);
    const auto *map = pointer<const Octet<Element>>(maps.pre_activation) + int(blockIdx.y) * 8 + int(threadIdx.x) % 8;
    const int first = int(blockIdx.x) * parameters.slice_positions;
    const int end = min(first + parameters.slice_positions, positions.all);
    for (int position = first + int(threadIdx.x) / 8; position < end; position += 32) {
        const int image = position / positions.of_image;
        // As a whole, and before it is known whether it counts.
        const Octet<Element> octet = map[int64_t(position) * (maps.outputs / VGGX_OCTET)];
        if (counted[image] != 0) {
            visit(octet, positions.z_factors[image]);
        }
    }
}

// Where the partials of this block's slice and group of neurons begin.
__device__ __forceinline__ double *partials_of_block(const VggxMomentResponses &parameters, int count) {
    return pointer<double>(parameters.partials) + int64_t(blockIdx.x) * count * parameters.maps.outputs + int(blockIdx.y) * 64;
}

template <class Element> __device__ __forceinline__ void moment_regimes(const VggxMomentResponses &parameters) {
    BlockSums<VGGX_OCTET, 8, 3> sums;
    visit_octets<Element>(parameters, [&](const Octet<Element> &octet, float factor) {
#pragma unroll
        for (int k = 0; k < VGGX_OCTET; ++k) {
            const float z = widen(octet.values[k]);
            const double value = double(z) * double(factor);
            sums.values[0][k] += z > 0.0f ? 1.0 : 0.0;
            sums.values[1][k] += z > 0.0f ? value : 0.0;
            sums.values[2][k] += z > 0.0f ? 0.0 : value;
        }
    });
    SharedMemory shared;
    sums.store(shared, partials_of_block(parameters, 3), parameters.maps.outputs);
}

VGGX_KERNEL(moment_regimes_f16, VggxMomentResponses, 256, 2) { moment_regimes<float16>(parameters); }
VGGX_KERNEL(moment_regimes_bf16, VggxMomentResponses, 256, 2) { moment_regimes<bfloat16>(parameters); }
VGGX_KERNEL(moment_regimes_f32, VggxMomentResponses, 256, 2) { moment_regimes<float>(parameters); }

template <class Element> __device__ __forceinline__ void moment_pilots(const VggxMomentResponses &parameters) {
    const VggxMomentMaps &maps = parameters.maps;
    const int neuron = channel_of_warp(), outputs = maps.outputs;
    if (neuron >= outputs) {
        return;
    }
    const double *partials = pointer<const double>(parameters.partials) + neuron;
    double sums[3];
#pragma unroll
    for (int n = 0; n < 3; ++n) {
        sums[n] = sum_of_slices(partials + n * outputs, parameters.slices, 3 * int64_t(outputs));
    }
    if (threadIdx.x % 32 == 0) {
        const double negative = counted_positions(maps) - sums[0];
        float *pilots = pointer<float>(parameters.pilots) + neuron;
        pilots[0] = sums[0] > 0.0 ? widen(narrow<Element>(sums[1] / sums[0])) : 0.0f;
        pilots[outputs] = negative > 0.0 ? widen(narrow<Element>(sums[2] / negative)) : 0.0f;
        pointer<double>(parameters.counts)[neuron] = sums[0];
    }
}

VGGX_KERNEL(moment_pilots_f16, VggxMomentResponses, 256, 4) { moment_pilots<float16>(parameters); }
VGGX_KERNEL(moment_pilots_bf16, VggxMomentResponses, 256, 4) { moment_pilots<bfloat16>(parameters); }
VGGX_KERNEL(moment_pilots_f32, VggxMomentResponses, 256, 4) { moment_pilots<float>(parameters); }

template <class Element> __device__ __forceinline__ void moment_deviations(const VggxMomentResponses &parameters) {
    const float *values = pointer<const float>(parameters.pilots) + int(blockIdx.y) * 64 + int(threadIdx.x) % 8 * VGGX_OCTET;
    Pilots pilots[VGGX_OCTET];
#pragma unroll
    for (int k = 0; k < VGGX_OCTET; ++k) {
        pilots[k] = {values[k], values[parameters.maps.outputs + k]};
    }
    BlockSums<VGGX_OCTET, 8, 4> sums;
    visit_octets<Element>(parameters, [&](const Octet<Element> &octet, float factor) {
        // The operand of the products without the power of two that stands for x's: the same bits, unless that power makes it
        // subnormal.
        const PositionFactors factors = {0.5f * factor, 0.5f};
#pragma unroll
        for (int k = 0; k < VGGX_OCTET; ++k) {
            const float z = widen(octet.values[k]);
            const double g = double(widen(narrow<Element>(deviation(z, pilots[k], factors))));
            const double positive = z > 0.0f ? g : 0.0, negative = z > 0.0f ? 0.0 : g;
            sums.values[0][k] += positive;
            sums.values[1][k] += positive * positive;
            sums.values[2][k] += negative;
            sums.values[3][k] += negative * negative;
        }
    });
    SharedMemory shared;
    sums.store(shared, partials_of_block(parameters, 4), parameters.maps.outputs);
}

VGGX_KERNEL(moment_deviations_f16, VggxMomentResponses, 256, 1) { moment_deviations<float16>(parameters); }
VGGX_KERNEL(moment_deviations_bf16, VggxMomentResponses, 256, 1) { moment_deviations<bfloat16>(parameters); }
VGGX_KERNEL(moment_deviations_f32, VggxMomentResponses, 256, 1) { moment_deviations<float>(parameters); }

// Adds the sums of y and y * y of `count` positions, where y = 2 g + c - b.
__device__ __forceinline__ void add_responses(vggx_address y, vggx_address yy, int neuron, double count, double g, double gg,
                                              double offset) {
    pointer<double>(y)[neuron] += g + count * offset;
    pointer<double>(yy)[neuron] += gg + 2.0 * offset * g + count * offset * offset;
}

VGGX_KERNEL(moment_responses, VggxMomentResponses, 256, 4) {
    const VggxMomentMaps &maps = parameters.maps;
    const int neuron = channel_of_warp(), outputs = maps.outputs;
    if (neuron >= outputs) {
        return;
    }
    const double *partials = pointer<const double>(parameters.partials) + neuron;
    double sums[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) {
        sums[n] = sum_of_slices(partials + n * outputs, parameters.slices, 4 * int64_t(outputs));
    }
    if (threadIdx.x % 32 == 0) {
        const int *common = pointer<const int>(maps.common);
        const double z_unit = ldexp(1.0, common[1]), unit = 2.0 * z_unit;
        const double positive = pointer<const double>(parameters.counts)[neuron];
        const double negative = counted_positions(maps) - positive;
        const double bias = double(pointer<const float>(parameters.bias)[neuron]);
        const float *pilots = pointer<const float>(parameters.pilots) + neuron;
        pointer<double>(parameters.positive_count)[neuron] += positive;
        add_responses(parameters.positive_y, parameters.positive_yy, neuron, positive, sums[0] * unit, sums[1] * unit * unit,
                      double(pilots[0]) * z_unit - bias);
        add_responses(parameters.negative_y, parameters.negative_yy, neuron, negative, sums[2] * unit, sums[3] * unit * unit,
                      double(pilots[outputs]) * z_unit - bias);
    }
}
