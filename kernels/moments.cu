// Moments of convolutions and dense layers: the masked covariance reduction (moments.cuh), with a ring of stages in shared memory.
// The order of every sum depends on the extents of the batch alone.
#include "convolution.cuh"
#include "moments.cuh"

// What a block computes: three parts of 64 rows each, times 64 neurons in four quarters, over one chunk of positions. The parts of
// a convolution are the three taps of a kernel row, which read the same rows of x, one beside the other; those of a dense layer
// are groups of 64 channels.
template <class Element_, bool Convolution> struct MomentTile {
    using Element = Element_;
    using Rows = PositionRows<Element, 64>;
    static constexpr int parts = 3;
    static constexpr int threads = 32 * 4 * parts;
    static constexpr int positions = 128 / int(sizeof(Element)); // of a stage
    static constexpr int x_rows = Convolution ? positions + 2 : parts * positions;
    static constexpr int stage_bytes = (x_rows + positions) * Rows::bytes;
    // What the warps hand on goes by way of the ring.
    static constexpr int least_stages = Convolution ? 3 : 2;
    static_assert(least_stages * stage_bytes >= threads / 32 * 3 * 256 * int(sizeof(float)));
};

// A stage of the ring.
template <class Tile> struct MomentStage {
    unsigned char *x;
    unsigned char *z;
    PositionOperands<typename Tile::Element> operands;
    unsigned char *inside; // which taps of the kernel row lie on the map, bit by bit; convolutions
};

template <class Tile> class MomentRing {
    using Element = typename Tile::Element;

  public:
    __device__ __forceinline__ MomentRing(SharedMemory &shared, int stages)
        : tiles(shared.take<unsigned char>(unsigned(stages * Tile::stage_bytes))),
          factors(shared.take<PositionFactors>(unsigned(stages * Tile::positions))),
          ones(shared.take<Element>(unsigned(stages * Tile::positions))),
          inside(shared.take<unsigned char>(unsigned(stages * Tile::positions))) {}

    __device__ __forceinline__ MomentStage<Tile> stage(int slot) const {
        unsigned char *x = tiles + slot * Tile::stage_bytes;
        const int first = slot * Tile::positions;
        return {x, x + Tile::x_rows * Tile::Rows::bytes, {factors + first, ones + first}, inside + first};
    }

  private:
    unsigned char *tiles;
    PositionFactors *factors;
    Element *ones;
    unsigned char *inside;
};

template <class Element, bool Convolution> class MomentKernel {
    using Tile = MomentTile<Element, Convolution>;
    using Rows = typename Tile::Rows;
    static constexpr int vector = Vector<Element>::count;

  public:
    __device__ __forceinline__ MomentKernel(const VggxMoments &parameters, SharedMemory &shared)
        : parameters(parameters), maps(parameters.maps), positions(maps), groups(maps.channels / 64),
          block(int(blockIdx.x), Convolution ? 3 * groups : (groups + Tile::parts - 1) / Tile::parts, maps.outputs),
          ring(shared, parameters.stages), zeros(shared.take<Vector<Element>>(Rows::chunks)) {
        first = block.chunk * parameters.chunk_positions;
        end = min(first + parameters.chunk_positions, positions.all);
        // A convolution's tiles go through the rows of the kernel, then through the groups of channels.
        kernel_row = Convolution ? block.tile % 3 - 1 : 0;
        group = Convolution ? block.tile / 3 : block.tile * Tile::parts;
        if (int(threadIdx.x) < Rows::chunks) {
            zeros[threadIdx.x] = {};
        }
    }

    __device__ __forceinline__ void run() {
        const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
        const int part = warp / 4, quarter = warp % 4 * 16;
        const LaneNeurons<Element> neurons(parameters, block.neuron + quarter, lane);
        MomentSums<4> sums = {};
        const int count = (end - first + Tile::positions - 1) / Tile::positions;
        int to_load = 0;
        for (; to_load < parameters.stages - 1; ++to_load) {
            if (to_load < count) {
                load(to_load, ring.stage(to_load));
            }
            cp_async_commit();
        }
        int to_multiply = 0;
        for (int stage = 0; stage < count; ++stage) {
            wait_for_stage(parameters.stages);
            // Everybody's copies of this stage are there, and everybody is done with the slot that is loaded now.
            __syncthreads();
            if (stage + parameters.stages - 1 < count) {
                load(stage + parameters.stages - 1, ring.stage(to_load));
            }
            cp_async_commit();
            to_load = to_load + 1 == parameters.stages ? 0 : to_load + 1;
            multiply(sums, ring.stage(to_multiply), part, quarter, neurons, lane);
            to_multiply = to_multiply + 1 == parameters.stages ? 0 : to_multiply + 1;
        }
        // The ring is free when everybody is here.
        cp_async_wait<0>();
        __syncthreads();
        float *staging = reinterpret_cast<float *>(ring.stage(0).x) + warp * 3 * 256;
        const int row = Convolution ? (3 * (kernel_row + 1) + part) * maps.channels + group * 64 : (group + part) * 64;
        // The last tile of a dense layer may reach beyond its channels.
        if (Convolution || group + part < groups) {
            store_moments(parameters, sums, staging, block.chunk, row, block.neuron + quarter, lane);
        }
    }

  private:
    __device__ __forceinline__ void load(int stage, const MomentStage<Tile> &slot) const {
        const int begin = first + stage * Tile::positions;
        if (int(threadIdx.x) < Tile::positions) {
            describe(begin + int(threadIdx.x), int(threadIdx.x), slot);
        }
        const int channel_vectors = maps.channels / vector;
        const auto *input = pointer<const Vector<Element>>(maps.input);
        copy<Tile::x_rows>(slot.x, [&](int row, int chunk, bool &valid) {
            // Rows of x that follow each other hold positions that follow each other, from one before the first on: of the
            // map's rows above, at or below.
            const int part = Convolution ? 0 : row / Tile::positions;
            const int position = Convolution ? begin - 1 + row + kernel_row * maps.width : begin + row % Tile::positions;
            valid = position >= 0 && position < positions.all && group + part < groups;
            return input + (valid ? position * channel_vectors + (group + part) * Rows::chunks + chunk : 0);
        });
        const int output_vectors = maps.outputs / vector;
        const auto *z = pointer<const Vector<Element>>(maps.pre_activation) + block.neuron / vector;
        copy<Tile::positions>(slot.z, [&](int row, int chunk, bool &valid) {
            valid = begin + row < end;
            return z + (valid ? (begin + row) * output_vectors + chunk : 0);
        });
    }

    // Copies `Count` rows; `from(row, chunk, valid)` gives 16 bytes in global memory, in vectors of which 32 bits reach 32 GiB.
    template <int Count, class From> __device__ __forceinline__ static void copy(unsigned char *to, From from) {
        // A thread's rows lie so far apart that the swizzle is the same for all.
        constexpr int at_once = Tile::threads / Rows::chunks;
        static_assert(at_once % 8 == 0);
        const int top = int(threadIdx.x) / Rows::chunks, chunk = int(threadIdx.x) % Rows::chunks;
        const unsigned address = shared_address(to) + Rows::offset(top, chunk);
#pragma unroll
        for (int n = 0; n < (Count + at_once - 1) / at_once; ++n) {
            const int row = top + n * at_once;
            if (row < Count) {
                bool valid;
                const auto *source = from(row, chunk, valid);
                cp_async_16(address + unsigned(n * at_once * Rows::bytes), source, valid);
            }
        }
    }

    // What is known of a position without its z. A position behind the chunk does not count.
    __device__ __forceinline__ void describe(int position, int place, const MomentStage<Tile> &slot) const {
        const bool counts = position < end;
        const int image = counts ? position / positions.of_image : 0;
        slot.operands.put(place, counts ? positions.input_factors[image] : 0.0f, counts ? positions.z_factors[image] : 0.0f);
        if (Convolution) {
            const int within = position - image * positions.of_image;
            const int y = within / maps.width + kernel_row, x = within % maps.width;
            const unsigned columns = (x > 0 ? 1u : 0u) | 2u | (x + 1 < maps.width ? 4u : 0u);
            slot.inside[place] = (unsigned char)(counts && y >= 0 && y < maps.height ? columns : 0u);
        }
    }

    __device__ __forceinline__ void multiply(MomentSums<4> &sums, const MomentStage<Tile> &slot, int part, int quarter,
                                             const LaneNeurons<Element> &neurons, int lane) const {
        // Where a tap lies outside the map, a row of zeros.
        const auto row_of = [&](int position, unsigned &key) -> const unsigned char * {
            if (!Convolution) {
                key = Rows::key(position);
                return slot.x + (part * Tile::positions + position) * Rows::bytes;
            }
            key = Rows::key(position + part);
            return slot.inside[position] >> part & 1 ? slot.x + (position + part) * Rows::bytes
                                                     : reinterpret_cast<const unsigned char *>(zeros);
        };
        multiply_positions<Element, Tile::positions>(sums, row_of, slot.z, quarter, slot.operands, neurons, lane);
    }

    const VggxMoments &parameters;
    const VggxMomentMaps &maps;
    const BatchPositions positions;
    const int groups;
    const MomentPart block;
    MomentRing<Tile> ring;
    Vector<Element> *zeros;
    int first, end; // of the chunk
    int kernel_row; // -1, 0 or 1
    int group;      // the first of the block's groups of channels
};

#define VGGX_MOMENTS(name, Element, convolution)                                                                          \
    VGGX_KERNEL(name, VggxMoments, 384, 1) {                                                                               \
        SharedMemory shared;                                                                                               \
        MomentKernel<Element, convolution>(parameters, shared).run();                                                      \
    }

VGGX_MOMENTS(moments_convolution_f16, float16, true)
VGGX_MOMENTS(moments_convolution_bf16, bfloat16, true)
VGGX_MOMENTS(moments_convolution_f32, float, true)
VGGX_MOMENTS(moments_dense_f16, float16, false)
VGGX_MOMENTS(moments_dense_bf16, bfloat16, false)
VGGX_MOMENTS(moments_dense_f32, float, false)

// Sums the chunks in their order.
VGGX_KERNEL(moments_flush, VggxMoments, 256, 4) {
    const int outputs = parameters.maps.outputs;
    const int64_t plane = int64_t(fan_in_of(parameters.maps)) * outputs;
    const int64_t at = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (at >= plane) {
        return;
    }
    const float *partials = pointer<const float>(parameters.partials) + at;
    double products[3] = {};
#pragma unroll 4
    for (int chunk = 0; chunk < parameters.chunks; ++chunk) {
#pragma unroll
        for (int product = 0; product < 3; ++product) {
            products[product] += double(partials[(int64_t(chunk) * 3 + product) * plane]);
        }
    }
    const MomentFlush flush(parameters);
    const int row = int(at / outputs), column = int(at % outputs);
    flush.add(flush.neuron(column), row, column, products);
}
