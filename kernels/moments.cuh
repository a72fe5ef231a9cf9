// The masked covariance reduction: products of a layer's patches x with what its pre-activations z become, summed over positions.
//
//   D = Xᵀ · [g₊, n, g₋]     m = 1 where z > 0, g₊ = g · m, g₋ = g · (1 − m), g = (z − c) / 2 with the pilot c of z's regime;
//                             n = 1 in the regime that has fewer positions: m, or 1 − m where z is mostly positive
//
// The other regime's sum of x is what n leaves of all x, which is summed in float64. Were m summed always, the negative regime of a
// neuron that is nearly always active would be what float32 lost of a large sum: tensor cores truncate, so all of it to one side.
//
// All three operands are made in registers from one read of z. A warp has 16 neurons and, as rows, 16 * Fragments channels; lane
// 4 * g + q holds in values[product][i][j][2 * h + e] row 16 * i + 8 * h + g and neuron 8 * j + 2 * q + e, whether tensor cores
// multiply or not.
#pragma once

#include "ptx.cuh"
#include "scale.cuh"

// The three products.
#define VGGX_MOMENT_POSITIVE_XG 0
#define VGGX_MOMENT_RARER_X 1
#define VGGX_MOMENT_NEGATIVE_XG 2

template <int Fragments> struct MomentSums {
    float values[3][Fragments][2][4];
};

// Rows of `Columns` elements in shared memory, one a position. The swizzle spreads eight rows that follow each other, at the same
// chunk of 16 bytes, over all banks.
template <class Element, int Columns> struct PositionRows {
    static constexpr int bytes = Columns * int(sizeof(Element));
    static constexpr int chunks = bytes / 16;

    __device__ __forceinline__ static unsigned key(int row) { return chunks == 4 ? row >> 1 & 3 : row & 7; }
    __device__ __forceinline__ static unsigned offset(int row, int chunk) {
        return unsigned(row * bytes) + ((unsigned(chunk) ^ key(row)) << 4);
    }
    // Where a number of a row lies.
    __device__ __forceinline__ static unsigned element(int row, int column) {
        constexpr int vector = Vector<Element>::count;
        return offset(row, column / vector) + unsigned(column % vector) * unsigned(sizeof(Element));
    }
};

// How a position's z becomes g, in the units of the operand: g = z * deviation - c * pilot. Both are powers of two: the half, what
// brings z to the batch's common exponent, and what brings x there, which has no room in x itself. Zero where a position does not
// count.
struct alignas(8) PositionFactors {
    float deviation;
    float pilot;
};

// Operands of positions, beside their z: g from these, n as a number.
template <class Element> struct PositionOperands {
    PositionFactors *factors;
    Element *ones;

    // Of position `place` among them.
    __device__ __forceinline__ void put(int place, float input_factor, float z_factor) const {
        const float half = 0.5f * input_factor;
        factors[place] = {half * z_factor, half};
        ones[place] = narrow<Element>(input_factor);
    }
};

struct Pilots {
    float positive, negative;

    __device__ __forceinline__ float of(float z) const { return z > 0.0f ? positive : negative; }
};

// In units of the common exponent, halved: |z| and |c| stay below 2^15, their difference need not.
__device__ __forceinline__ float deviation(float z, const Pilots &pilots, const PositionFactors &factors) {
    return fmaf(z, factors.deviation, -(pilots.of(z) * factors.pilot));
}

// The positions of a batch that count.
__device__ __forceinline__ double counted_positions(const VggxMomentMaps &maps) {
    return double(pointer<const int>(maps.common)[2]) * double(maps.height * maps.width);
}

// Whether the negative regime is the rarer one, in this batch.
__device__ __forceinline__ bool mostly_positive(const VggxMoments &parameters, int neuron) {
    return 2.0 * pointer<const double>(parameters.counts)[neuron] > counted_positions(parameters.maps);
}

// Of a neuron: its pilots, and whether z is mostly positive.
struct NeuronRegimes {
    Pilots pilots;
    bool mostly_positive;

    NeuronRegimes() = default;
    __device__ __forceinline__ NeuronRegimes(const VggxMoments &parameters, int neuron)
        : mostly_positive(::mostly_positive(parameters, neuron)) {
        const float *values = pointer<const float>(parameters.pilots) + neuron;
        pilots = {values[0], values[parameters.maps.outputs]};
    }
};

// Two positions' operands of one neuron.
template <class Element>
__device__ __forceinline__ void form_pair(unsigned z, const NeuronRegimes &neuron, const PositionFactors (&factors)[2], unsigned ones,
                                          unsigned (&operands)[3]) {
    const float first = widen_low<Element>(z), second = widen_high<Element>(z);
    const unsigned pair =
        narrow_pair<Element>(deviation(first, neuron.pilots, factors[0]), deviation(second, neuron.pilots, factors[1]));
    const unsigned mask = (first > 0.0f ? 0x0000ffffu : 0u) | (second > 0.0f ? 0xffff0000u : 0u);
    operands[VGGX_MOMENT_POSITIVE_XG] = pair & mask;
    operands[VGGX_MOMENT_RARER_X] = ones & (neuron.mostly_positive ? ~mask : mask);
    operands[VGGX_MOMENT_NEGATIVE_XG] = pair & ~mask;
}

// The neurons of a lane, of the 16 from `first` on: what it makes operands of. Tensor cores want 8 * j + g; the float32 kernels
// 8 * j + 2 * q + e.
template <class Element> struct LaneNeurons {
    NeuronRegimes of[2];

    __device__ __forceinline__ LaneNeurons(const VggxMoments &parameters, int first, int lane) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            of[j] = NeuronRegimes(parameters, first + 8 * j + lane / 4);
        }
    }
};

template <> struct LaneNeurons<float> {
    __device__ __forceinline__ LaneNeurons(const VggxMoments &parameters, int first, int lane) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const NeuronRegimes regimes(parameters, first + 8 * j + 2 * (lane % 4) + e);
                signed_pilots[j][e] = regimes.pilots;
                if (regimes.mostly_positive) {
                    signed_pilots[j][e].positive = -regimes.pilots.positive;
                }
            }
        }
    }

    __device__ __forceinline__ Pilots pilots(int j, int e) const {
        return {fabsf(signed_pilots[j][e].positive), signed_pilots[j][e].negative};
    }
    __device__ __forceinline__ bool mostly_positive(int j, int e) const {
        return __float_as_int(signed_pilots[j][e].positive) < 0;
    }

  private:
    // The positive regime's pilot is never negative: its sign says whether z is mostly positive, for which no registers are left.
    Pilots signed_pilots[2][2];
};

// Tensor cores, 16 positions at a time.
template <class Element, int Count, int Fragments, class RowOf>
__device__ __forceinline__ void multiply_fragments(MomentSums<Fragments> &sums, RowOf row_of, const unsigned char *z, int neuron,
                                                   const PositionOperands<Element> &operands,
                                                   const LaneNeurons<Element> &neurons, int lane) {
    using Neurons = PositionRows<Element, 64>;
    const int q = lane % 4;
    const unsigned z_address = shared_address(z);
#pragma unroll 1
    for (int step = 0; step < Count; step += 16) {
        unsigned values[4]; // neurons 8 * j.., positions 8 * half..
        ldmatrix_x4_transposed(values, z_address + Neurons::offset(step + lane / 8 % 2 * 8 + lane % 8, neuron / 8 + lane / 16));
        unsigned b[3][2][2]; // product, j, half of the depth
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int place = step + 8 * half + 2 * q;
            const PositionFactors factors[2] = {operands.factors[place], operands.factors[place + 1]};
            const unsigned ones = *reinterpret_cast<const unsigned *>(operands.ones + place);
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                unsigned formed[3];
                form_pair<Element>(values[2 * j + half], neurons.of[j], factors, ones, formed);
#pragma unroll
                for (int product = 0; product < 3; ++product) {
                    b[product][j][half] = formed[product];
                }
            }
        }
        unsigned key;
        const unsigned row = shared_address(row_of(step + lane / 16 * 8 + lane % 8, key));
#pragma unroll
        for (int i = 0; i < Fragments; ++i) {
            unsigned a[4];
            ldmatrix_x4_transposed(a, row + ((unsigned(2 * i + lane / 8 % 2) ^ key) << 4));
#pragma unroll
            for (int product = 0; product < 3; ++product) {
#pragma unroll
                for (int j = 0; j < 2; ++j) {
                    mma_m16n8k16<Element>(sums.values[product][i][j], a, b[product][j][0], b[product][j][1]);
                }
            }
        }
    }
}

// Plain float32, position after position, one fused multiply-add a term.
template <int Count, int Fragments, class RowOf>
__device__ __forceinline__ void multiply_plainly(MomentSums<Fragments> &sums, RowOf row_of, const unsigned char *z, int neuron,
                                                 const PositionOperands<float> &operands, const LaneNeurons<float> &neurons,
                                                 int lane) {
    using Neurons = PositionRows<float, 64>;
    const int g = lane / 4, q = lane % 4;
#pragma unroll 1
    for (int position = 0; position < Count; ++position) {
        const PositionFactors factors = operands.factors[position];
        const float one = operands.ones[position];
        float b[3][2][2]; // product, j, e
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const float *values = reinterpret_cast<const float *>(z + Neurons::element(position, neuron + 8 * j + 2 * q));
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const float value = values[e], formed = deviation(value, neurons.pilots(j, e), factors);
                b[VGGX_MOMENT_POSITIVE_XG][j][e] = value > 0.0f ? formed : 0.0f;
                b[VGGX_MOMENT_RARER_X][j][e] = (value > 0.0f) != neurons.mostly_positive(j, e) ? one : 0.0f;
                b[VGGX_MOMENT_NEGATIVE_XG][j][e] = value > 0.0f ? 0.0f : formed;
            }
        }
        unsigned key;
        const unsigned char *row = row_of(position, key);
#pragma unroll
        for (int i = 0; i < Fragments; ++i) {
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const int channel = 16 * i + 8 * h + g;
                const float x =
                    *reinterpret_cast<const float *>(row + ((unsigned(channel / 4) ^ key) << 4) + channel % 4 * 4);
#pragma unroll
                for (int product = 0; product < 3; ++product) {
#pragma unroll
                    for (int j = 0; j < 2; ++j) {
#pragma unroll
                        for (int e = 0; e < 2; ++e) {
                            float &sum = sums.values[product][i][j][2 * h + e];
                            sum = fmaf(x, b[product][j][e], sum);
                        }
                    }
                }
            }
        }
    }
}

// sums += products over `Count` positions. `row_of(position, key)` gives where the row of x of a position begins, and its key; `z` is
// where the rows of 64 neurons begin, `neuron` the first of this warp's.
template <class Element, int Count, int Fragments, class RowOf>
__device__ __forceinline__ void multiply_positions(MomentSums<Fragments> &sums, RowOf row_of, const unsigned char *z, int neuron,
                                                   const PositionOperands<Element> &operands,
                                                   const LaneNeurons<Element> &neurons, int lane) {
    if constexpr (sizeof(Element) == 2) {
        multiply_fragments<Element, Count>(sums, row_of, z, neuron, operands, neurons, lane);
    } else {
        multiply_plainly<Count>(sums, row_of, z, neuron, operands, neurons, lane);
    }
}

// The positions of a batch and its images' factors.
struct BatchPositions {
    int of_image, all;
    const float *input_factors, *z_factors;

    __device__ __forceinline__ explicit BatchPositions(const VggxMomentMaps &maps)
        : of_image(maps.height * maps.width), all(maps.images * of_image), input_factors(pointer<const float>(maps.factors)),
          z_factors(input_factors + maps.images) {}
};

// Which part of the sums a block has, or one after the other: number `index` of them.
struct MomentPart {
    int tile;   // of the fan-in
    int neuron; // the first of 64
    int chunk;  // of the positions

    // Parts that follow each other have the same positions: x and z stay in the L2 cache.
    __device__ __forceinline__ MomentPart(int index, int tiles, int outputs) {
        const int groups = outputs / 64;
        tile = index % tiles;
        neuron = index / tiles % groups * 64;
        chunk = index / tiles / groups;
    }
};

__device__ __forceinline__ int fan_in_of(const VggxMomentMaps &maps) {
    return maps.channels == 3 ? VGGX_IMAGE_DEPTH : maps.taps * maps.channels;
}

// From sums of chunks to the accumulators, in float64 and true units. With C = c - b, y = 2 g + C, so
//   sum of x y  =  2 * sum of x g  +  C * sum of x,      and x of one regime is what the rarer one leaves of all.
class MomentFlush {
  public:
    __device__ __forceinline__ explicit MomentFlush(const VggxMoments &parameters) : parameters(parameters) {
        const int *common = pointer<const int>(parameters.maps.common);
        input_unit = ldexp(1.0, common[0]);
        z_unit = ldexp(1.0, common[1]);
    }

    // What belongs to a neuron.
    struct Neuron {
        double positive_offset, negative_offset;
        bool mostly_positive;
    };

    __device__ __forceinline__ Neuron neuron(int column) const {
        const NeuronRegimes regimes(parameters, column);
        const double bias = double(pointer<const float>(parameters.bias)[column]);
        return {double(regimes.pilots.positive) * z_unit - bias, double(regimes.pilots.negative) * z_unit - bias,
                regimes.mostly_positive};
    }

    // Adds the sums of the three products at a row of the fan-in.
    __device__ __forceinline__ void add(const Neuron &neuron, int row, int column, const double (&products)[3]) const {
        const int64_t at = int64_t(row) * parameters.maps.outputs + column;
        const double all = pointer<const double>(parameters.input_sums)[row];
        const double rarer = products[VGGX_MOMENT_RARER_X] * input_unit, other = all - rarer;
        const double positive = neuron.mostly_positive ? other : rarer;
        const double negative = neuron.mostly_positive ? rarer : other;
        const double unit = 2.0 * input_unit * z_unit;
        pointer<double>(parameters.positive_x)[at] += positive;
        pointer<double>(parameters.positive_xy)[at] +=
            products[VGGX_MOMENT_POSITIVE_XG] * unit + neuron.positive_offset * positive;
        pointer<double>(parameters.negative_xy)[at] +=
            products[VGGX_MOMENT_NEGATIVE_XG] * unit + neuron.negative_offset * negative;
    }

  private:
    const VggxMoments &parameters;
    double input_unit, z_unit;
};

// Adds a warp's sums to the accumulators: 16 rows by 16 neurons at a time, by way of `staging`, 3 * 256 floats of the warp's own.
template <int Fragments>
__device__ __forceinline__ void add_moments(const VggxMoments &parameters, const MomentSums<Fragments> &sums, float *staging, int row,
                                            int column, int lane) {
    const int g = lane / 4, q = lane % 4;
    const MomentFlush flush(parameters);
    // A lane adds one neuron of every other row.
    const MomentFlush::Neuron neuron = flush.neuron(column + lane % 16);
#pragma unroll
    for (int i = 0; i < Fragments; ++i) {
#pragma unroll
        for (int product = 0; product < 3; ++product) {
#pragma unroll
            for (int j = 0; j < 2; ++j) {
#pragma unroll
                for (int n = 0; n < 4; ++n) {
                    staging[product * 256 + (n / 2 * 8 + g) * 16 + 8 * j + 2 * q + n % 2] = sums.values[product][i][j][n];
                }
            }
        }
        __syncwarp();
#pragma unroll 1
        for (int index = lane; index < 256; index += 32) {
            const double products[3] = {double(staging[index]), double(staging[256 + index]), double(staging[512 + index])};
            flush.add(neuron, row + 16 * i + index / 16, column + lane % 16, products);
        }
        __syncwarp();
    }
}

// Hands a warp's sums on: to the accumulators, or to the partials of its chunk. `row` is the first of its rows in the fan-in,
// `column` the first of its neurons.
template <int Fragments>
__device__ __forceinline__ void store_moments(const VggxMoments &parameters, const MomentSums<Fragments> &sums, float *staging,
                                              int chunk, int row, int column, int lane) {
    if (parameters.chunks == 1) {
        add_moments(parameters, sums, staging, row, column, lane);
        return;
    }
    const int g = lane / 4, q = lane % 4, outputs = parameters.maps.outputs;
    const int64_t plane = int64_t(fan_in_of(parameters.maps)) * outputs;
    float *partials = pointer<float>(parameters.partials) + chunk * 3 * plane;
    struct alignas(8) Pair {
        float first, second;
    };
#pragma unroll
    for (int product = 0; product < 3; ++product) {
#pragma unroll
        for (int i = 0; i < Fragments; ++i) {
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                float *to = partials + product * plane + int64_t(row + 16 * i + 8 * h + g) * outputs + column + 2 * q;
#pragma unroll
                for (int j = 0; j < 2; ++j) {
                    const float *values = sums.values[product][i][j];
                    *reinterpret_cast<Pair *>(to + 8 * j) = {values[2 * h], values[2 * h + 1]};
                }
            }
        }
    }
}
