// Moments of convolutions by warpgroups: the masked covariance reduction of moments.cu for compute capability 9.0.
//
//   D [64 neurons, 3 taps * 64 channels] = A [64, positions] · B [positions, 192], three times: with A = g₊, n and g₋ (moments.cuh)
//
// Each warpgroup that multiplies has one of the three. It makes its A in registers, from one tile of z, and all share B: a box of x,
// shifted by a column of the taps, with two rows more than the tile. The three taps of the column begin one row of the map after the other
// in it, which is what a matrix descriptor says of columns that follow each other. Sums go over the tiles of a chunk, in each over its
// rows, whatever the grid.
#include "box.cuh"
#include "moments.cuh"
#include "ring.cuh"
#include "wgmma.cuh"

template <class Element> class HopperMoments {
    using Neurons = PositionRows<Element, 64>;
    static constexpr unsigned z_bytes = unsigned(box_positions * Neurons::bytes);
    static constexpr int depth = 16; // positions of a product

  public:
    __device__ __forceinline__ explicit HopperMoments(const VggxHopperMoments &parameters)
        : parameters(parameters), layer(parameters.layer), maps(layer.maps), boxes(parameters, maps), box_bytes(boxes.bytes()),
          tiles_of_chunk(layer.chunk_positions / box_positions), parts(3 * (maps.channels / 64)),
          work(layer.chunks * parts * (maps.outputs / 64)) {}

    __device__ __forceinline__ void run() {
        SharedMemory shared;
        const int slots = layer.stages;
        unsigned char *memory = shared.take<unsigned char, 1024>(unsigned(slots) * (box_bytes + z_bytes));
        const PositionOperands<Element> operands = {shared.take<PositionFactors>(unsigned(slots * box_positions)),
                                                    shared.take<Element>(unsigned(slots * box_positions))};
        Ring ring(memory, shared.take<uint64_t>(unsigned(2 * slots)), slots, box_bytes + z_bytes);
        if (threadIdx.x == 0) {
            // Warps that multiply, and warps that fill.
            ring.initialise(12, 4);
            mbarrier_init_fence();
        }
        __syncthreads();
        const int warpgroup = int(threadIdx.x) / 128;
        // 4 * 128 registers of the launch become 32 and 3 * 160.
        if (warpgroup == 0) {
            registers_release<32>();
            fill(ring, operands);
        } else {
            registers_claim<160>();
            if (warpgroup == 1) {
                multiply<VGGX_MOMENT_POSITIVE_XG>(ring, operands);
            } else if (warpgroup == 2) {
                multiply<VGGX_MOMENT_RARER_X>(ring, operands);
            } else {
                multiply<VGGX_MOMENT_NEGATIVE_XG>(ring, operands);
            }
        }
    }

  private:
    // One part of the sums, and its tiles.
    struct Item {
        MomentPart part;
        int column, channel; // of the taps; the first of 64
        int begin, end;      // tiles

        __device__ __forceinline__ Item(const HopperMoments &moments, int index)
            : part(index, moments.parts, moments.maps.outputs), column(part.tile % 3), channel(part.tile / 3 * 64),
              begin(part.chunk * moments.tiles_of_chunk), end(min(begin + moments.tiles_of_chunk, moments.boxes.tiles)) {}
    };

    // One thread copies boxes; each of the 128 describes a position.
    __device__ __forceinline__ void fill(Ring ring, const PositionOperands<Element> &operands) const {
        const float *input_factors = pointer<const float>(maps.factors), *z_factors = input_factors + maps.images;
        for (int index = int(blockIdx.x); index < work; index += int(gridDim.x)) {
            const Item item(*this, index);
            for (int tile = item.begin; tile < item.end; ++tile) {
                const BoxPlace place(boxes, tile);
                const Row row = locate_in_box(boxes, place, maps, int(threadIdx.x));
                // Of a position beside the map nothing counts: a tap may lie on it.
                const bool counts = row.position >= 0;
                const float input_factor = counts ? input_factors[row.image] : 0.0f, z_factor = counts ? z_factors[row.image] : 0.0f;
                ring.wait_until_free();
                operands.put(ring.number() * box_positions + int(threadIdx.x), input_factor, z_factor);
                __syncwarp();
                if (threadIdx.x == 0) {
                    uint64_t *barrier = ring.expect(box_bytes + z_bytes);
                    boxes.copy(ring.address(), parameters.input, barrier, item.channel, place.x + item.column - 1, place.y - 1,
                               place.image);
                    boxes.copy(ring.address() + box_bytes, parameters.pre_activation, barrier, item.part.neuron, place.x, place.y,
                               place.image);
                } else if (threadIdx.x % 32 == 0) {
                    ring.written();
                }
                ring.advance();
            }
        }
    }

    template <int Product> __device__ __forceinline__ void multiply(Ring ring, const PositionOperands<Element> &operands) const {
        const int lane = int(threadIdx.x) % 32, quarter = int(threadIdx.x) / 32 % 4 * 16;
        const unsigned step_bytes = boxes.step_bytes(), half_bytes = boxes.half_bytes();
        for (int index = int(blockIdx.x); index < work; index += int(gridDim.x)) {
            const Item item(*this, index);
            LaneNeurons<Element> neurons(layer, item.part.neuron + quarter, lane);
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                // What is masked away needs no pilot of its own, and z none to be chosen for it.
                Pilots &pilots = neurons.of[j].pilots;
                (Product == VGGX_MOMENT_POSITIVE_XG ? pilots.negative : pilots.positive) =
                    Product == VGGX_MOMENT_POSITIVE_XG ? pilots.positive : pilots.negative;
            }
            float sums[96];
            // Of two steps: products under way read the other one.
            unsigned a[2][4];
            int done = -1; // the slot that they read
            bool accumulate = false;
            for (int tile = item.begin; tile < item.end; ++tile) {
                ring.wait();
                const unsigned z = ring.address() + box_bytes;
                const int first = ring.number() * box_positions;
#pragma unroll
                for (int step = 0; step < box_positions / depth; ++step) {
                    form<Product>(a[step % 2], z, quarter, step * depth, operands, first, neurons, lane);
                    const unsigned rows = unsigned(step % 4 * depth) * 128u + (step < 4 ? 0u : half_bytes);
                    wgmma_fence();
                    wgmma_registers<Element, 192>(sums, a[step % 2], matrix_descriptor(ring.address() + rows, 1024, step_bytes),
                                                  accumulate);
                    wgmma_commit();
                    accumulate = true;
                    // The products of the step before are done.
                    wgmma_wait<1>();
                    if (step == 0) {
                        release(ring, done);
                    }
                }
                done = ring.number();
                ring.advance();
            }
            wgmma_wait<0>();
            wgmma_fence_operand(sums);
            release(ring, done);
            store<Product>(sums, item, quarter);
        }
    }

    // The operand of 16 neurons of this warp and positions `step` to step + 15 of the tile.
    template <int Product>
    __device__ __forceinline__ static void form(unsigned (&a)[4], unsigned z, int quarter, int step,
                                                const PositionOperands<Element> &operands, int first,
                                                const LaneNeurons<Element> &neurons, int lane) {
        unsigned values[4]; // neurons 8 * j.., positions 8 * half..: number 2 * half + j
        ldmatrix_x4_transposed(values, z + Neurons::offset(step + lane / 16 * 8 + lane % 8, quarter / 8 + lane / 8 % 2));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int place = first + step + 8 * half + 2 * (lane % 4);
            const PositionFactors factors[2] = {operands.factors[place], operands.factors[place + 1]};
            const unsigned ones = *reinterpret_cast<const unsigned *>(operands.ones + place);
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                unsigned formed[3];
                form_pair<Element>(values[2 * half + j], neurons.of[j], factors, ones, formed);
                a[2 * half + j] = formed[Product];
            }
        }
    }

    __device__ __forceinline__ static void release(const Ring &ring, int slot) {
        if (threadIdx.x % 32 == 0 && slot >= 0) {
            ring.release(slot);
        }
    }

    // Sums of neurons quarter + 8 * h + g and columns 8 * j + 2 * q + e, 64 to a tap; eight lanes fill 32 bytes of a row.
    template <int Product>
    __device__ __forceinline__ void store(const float (&sums)[96], const Item &item, int quarter) const {
        const int lane = lane_anew(), g = lane / 4, q = lane % 4;
        const int64_t outputs = maps.outputs, tap_stride = 3 * maps.channels * outputs;
        const int row = item.column * maps.channels + item.channel + 2 * q;
        float *to = pointer<float>(layer.partials) + (int64_t(item.part.chunk) * 3 + Product) * fan_in_of(maps) * outputs + row * outputs +
                    item.part.neuron + quarter + g;
#pragma unroll
        for (int tap = 0; tap < 3; ++tap) {
#pragma unroll
            for (int j = 0; j < 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        to[tap * tap_stride + (8 * j + e) * outputs + 8 * h] = sums[4 * (8 * tap + j) + 2 * h + e];
                    }
                }
            }
        }
    }

    const VggxHopperMoments &parameters;
    const VggxMoments &layer;
    const VggxMomentMaps &maps;
    const Boxes boxes;
    const unsigned box_bytes;
    const int tiles_of_chunk;
    const int parts; // of 192 rows of the fan-in
    const int work;
};

#define VGGX_HOPPER_MOMENTS(name, Element)                                                                                  \
    VGGX_KERNEL(name, VggxHopperMoments, VGGX_HOPPER_MOMENT_THREADS, 1) { HopperMoments<Element>(parameters).run(); }

VGGX_HOPPER_MOMENTS(hopper_moments_f16, float16)
VGGX_HOPPER_MOMENTS(hopper_moments_bf16, bfloat16)
