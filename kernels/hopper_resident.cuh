// Convolutions by warpgroups whose operator stays in shared memory (compute capability 9.0). A block copies the operator of its output
// channels once, then boxes of the map only, into a ring; two warpgroups multiply one tile each in turn, so that the epilogue of one
// runs beside the products of the other. Sums go over blocks of 64 channels, then columns, then rows of the taps, as in
// hopper_convolution.cuh.
#pragma once

#include "box.cuh"
#include "ring.cuh"
#include "turns.cuh"
#include "warpgroup_barrier.cuh"
#include "wgmma.cuh"

// `Tile` says how a tap is multiplied, and what the sums are.
template <class Tile> class HopperResident {
    static constexpr unsigned tap_bytes = Tile::columns * 128; // of a tap's operator by 64 channels

  public:
    __device__ __forceinline__ HopperResident(const VggxBoxes &parameters, const VggxOperand &operand)
        : parameters(parameters), operand(operand), boxes(parameters, operand), box_bytes(boxes.bytes()),
          steps(operand.channels / 64 * 3), first_column(int(blockIdx.y) * Tile::columns) {}

    // The role of the thread's warpgroup: `finish(sums, place, first_column, memory, barrier)` is called by those that multiply, with
    // memory and a barrier of the warpgroup's own.
    template <class Finish> __device__ __forceinline__ void run(Finish finish) {
        SharedMemory shared;
        unsigned char *operators = shared.take<unsigned char, 1024>(3 * unsigned(steps) * tap_bytes);
        unsigned char *maps = shared.take<unsigned char, 1024>(parameters.map_slots * box_bytes);
        unsigned char *exchange = shared.take<unsigned char>(2 * VGGX_RESIDENT_EXCHANGE);
        uint64_t *barriers = shared.take<uint64_t>(2 * VGGX_HOPPER_SLOTS);
        uint64_t *turn_barriers = barriers, *own_barriers = barriers + 2, *operators_filled = barriers + 4;
        Ring ring(maps, barriers + 5, parameters.map_slots, box_bytes);
        if (threadIdx.x == 0) {
            Turns::initialise(turn_barriers);
            WarpgroupBarrier::initialise(own_barriers);
            WarpgroupBarrier::initialise(own_barriers + 1);
            mbarrier_init(operators_filled, 1);
            ring.initialise(4);
            mbarrier_init_fence();
        }
        __syncthreads();
        // 3 * 168 registers of the launch become 40 and 2 * 232.
        if (threadIdx.x < 128) {
            registers_release<40>();
            if (threadIdx.x == 0) {
                copy_operators(shared_address(operators), operators_filled);
                copy_boxes(ring);
            }
        } else {
            registers_claim<232>();
            const int consumer = threadIdx.x / 128 - 1;
            Turns turns(turn_barriers, consumer);
            WarpgroupBarrier barrier(own_barriers + consumer);
            mbarrier_wait(operators_filled, 0);
            multiply(consumer, shared_address(operators), ring, turns, [&](typename Tile::Sums &sums, const BoxPlace &place) {
                finish(sums, place, first_column, exchange + consumer * VGGX_RESIDENT_EXCHANGE, barrier);
            });
        }
    }

  private:
    // Taps lie in the order in which they are multiplied.
    __device__ __forceinline__ void copy_operators(unsigned address, uint64_t *filled) const {
        mbarrier_arrive_expect(filled, 3 * unsigned(steps) * tap_bytes);
        for (int step = 0; step < steps; ++step) {
            const int block = step / 3, column = step - 3 * block;
            for (int row = 0; row < 3; ++row) {
                tma_load_2d(address, parameters.operator_, filled, (3 * row + column) * operand.channels + 64 * block, first_column);
                address += tap_bytes;
            }
        }
    }

    // The box of each step is shifted by a column of the taps, and one row further on both sides.
    __device__ __forceinline__ void copy_boxes(Ring ring) const {
        for (int tile = int(blockIdx.x); tile < boxes.tiles; tile += int(gridDim.x)) {
            const BoxPlace place(boxes, tile);
            for (int step = 0; step < steps; ++step) {
                const int block = step / 3, column = step - 3 * block;
                uint64_t *barrier = ring.begin_filling(box_bytes);
                boxes.copy(ring.address(), parameters.map, barrier, 64 * block, place.x + column - 1, place.y - 1, place.image);
                ring.advance();
            }
        }
    }

    template <class Finish>
    __device__ __forceinline__ void multiply(int consumer, unsigned operators, Ring ring, Turns turns, Finish finish) const {
        // A step along y is so many rows of the box, a multiple of 8.
        const unsigned row_bytes = boxes.step_bytes();
        int turn = 0;
        for (int tile = int(blockIdx.x); tile < boxes.tiles; tile += int(gridDim.x), turn ^= 1) {
            if (turn != consumer) {
                ring.skip(steps);
                continue;
            }
            typename Tile::Sums sums;
            unsigned tap_operator = operators;
            int done = -1; // the slot that is read by the products under way
            turns.wait();
            for (int step = 0; step < steps; ++step) {
                ring.wait();
#pragma unroll
                for (int row = 0; row < 3; ++row) {
                    Tile::multiply_tap(sums, matrix_descriptor(ring.address() + unsigned(row) * row_bytes, 1024),
                                       matrix_descriptor(tap_operator, 1024), step > 0 || row > 0);
                    tap_operator += tap_bytes;
                    // The products of the tap before are done.
                    wgmma_wait<1>();
                    if (row == 0 && step > 0) {
                        release(ring, done);
                    }
                }
                done = ring.number();
                ring.advance();
            }
            turns.pass();
            wgmma_wait<0>();
            Tile::fence(sums);
            release(ring, done);
            finish(sums, BoxPlace(boxes, tile));
        }
    }

    __device__ __forceinline__ static void release(const Ring &ring, int slot) {
        if (threadIdx.x % 32 == 0) {
            ring.release(slot);
        }
    }

    const VggxBoxes &parameters;
    const VggxOperand &operand;
    const Boxes boxes;
    const unsigned box_bytes;
    const int steps; // blocks of 64 channels times columns of the taps: the boxes of a tile
    const int first_column; // blocks keep their output channels
};
