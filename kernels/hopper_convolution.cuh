// The convolution of warpgroups (compute capability 9.0): one thread copies boxes of the map and of the operator into two rings by
// TMA, two warpgroups multiply a tile of 128 positions each by the same columns of the operator, and go on to the next tiles while the
// rings are filled. Blocks of a cluster work on different tiles for the same columns, and share the boxes of the operator. Sums go over
// blocks of 64 channels (128 in float8), then columns, then rows of the taps, whatever the tile and the batch.
#pragma once

#include "box.cuh"
#include "box_sums.cuh"
#include "ring.cuh"
#include "wgmma.cuh"

// What a block has in shared memory, and the work that it takes.
template <class Tile> class HopperConvolution {
    using Element = typename Tile::Element;

  public:
    __device__ __forceinline__ HopperConvolution(const VggxBoxes &parameters, const VggxOperand &operand)
        : parameters(parameters), operand(operand), boxes(parameters, operand), box_bytes(boxes.bytes()) {
        column_tiles = operand.outputs / Tile::columns;
        work = (boxes.tiles + 2 * Tile::cluster - 1) / (2 * Tile::cluster) * column_tiles;
    }

    // The role of the thread's warpgroup: `finish(sums, place, first_column, warp, staging)` is called by those that multiply.
    template <class Finish> __device__ __forceinline__ void run(Finish finish) {
        SharedMemory shared;
        unsigned char *maps = shared.take<unsigned char, 1024>(parameters.map_slots * 2 * box_bytes);
        unsigned char *operators = shared.take<unsigned char, 1024>(parameters.operator_slots * Tile::operator_bytes);
        unsigned char *staging = shared.take<unsigned char, 1024>(8 * VGGX_HOPPER_STAGING);
        uint64_t *barriers = shared.take<uint64_t>(2 * VGGX_HOPPER_SLOTS);
        Ring map_ring(maps, barriers, parameters.map_slots, 2 * box_bytes);
        Ring operator_ring(operators, barriers + 2 * parameters.map_slots, parameters.operator_slots, Tile::operator_bytes);
        if (threadIdx.x == 0) {
            map_ring.initialise(8);
            operator_ring.initialise(8 * Tile::cluster);
            mbarrier_init_fence();
        }
        meet();
        // 3 * 168 registers of the launch become these and twice those of a warpgroup that multiplies: 40 and 2 * 232, or for fewer sums
        // 56 and 2 * 224.
        if (threadIdx.x < 128) {
            registers_release<Tile::columns == 64 ? 56 : 40>();
            if (threadIdx.x == 0) {
                copy(map_ring, operator_ring);
            }
        } else {
            registers_claim<Tile::columns == 64 ? 224 : 232>();
            multiply(map_ring, operator_ring, staging, finish);
            tma_store_wait_read<0>();
        }
        if (Tile::cluster > 1) {
            // The other block arrives at this one's barriers until it has released its last slot.
            meet();
        }
    }

  private:
    __device__ __forceinline__ static void meet() {
        if (Tile::cluster > 1) {
            cluster_barrier();
        } else {
            __syncthreads();
        }
    }

    // What the blocks of a cluster do at the same time: tiles of their own, for the same columns. Each does as many items; tiles beyond the
    // last one fill up.
    struct Item {
        int pair, first_column;
    };
    __device__ __forceinline__ Item item(int number) const {
        const int pairs = number / column_tiles, rank = Tile::cluster > 1 ? int(cluster_rank()) : 0;
        return {pairs * Tile::cluster + rank, (number - pairs * column_tiles) * Tile::columns};
    }
    __device__ __forceinline__ static int first_item() { return int(blockIdx.x) / Tile::cluster; }
    __device__ __forceinline__ static int item_step() { return int(gridDim.x) / Tile::cluster; }

    __device__ __forceinline__ int channel_blocks() const { return operand.channels / Tile::row_channels; }

    __device__ __forceinline__ void copy(Ring map_ring, Ring operator_ring) const {
        for (int number = first_item(); number < work; number += item_step()) {
            const Item at = item(number);
            const BoxPlace first(boxes, 2 * at.pair), second(boxes, 2 * at.pair + 1);
            for (int block = 0; block < channel_blocks(); ++block) {
                for (int column = 0; column < 3; ++column) {
                    uint64_t *map_barrier = map_ring.begin_filling(2 * box_bytes);
                    copy_box(map_ring.address(), map_barrier, block, column, first);
                    copy_box(map_ring.address() + box_bytes, map_barrier, block, column, second);
                    map_ring.advance();
                    for (int row = 0; row < 3; ++row) {
                        const int tap = 3 * row + column;
                        copy_operator(operator_ring, tap * operand.channels + Tile::row_channels * block, at.first_column);
                        operator_ring.advance();
                    }
                }
            }
        }
    }

    // A row of channels of a tap for all columns. The blocks of a cluster send each other their parts.
    __device__ __forceinline__ void copy_operator(const Ring &ring, int depth, int first_column) const {
        uint64_t *barrier = ring.begin_filling(Tile::operator_bytes);
        if (Tile::cluster > 1) {
            const unsigned rank = cluster_rank();
            tma_load_2d_multicast(ring.address() + rank * (Tile::operator_bytes / Tile::cluster), parameters.operator_, barrier,
                                  (1u << Tile::cluster) - 1, depth, first_column + int(rank) * (Tile::columns / Tile::cluster));
        } else {
            tma_load_2d(ring.address(), parameters.operator_, barrier, depth, first_column);
        }
    }

    // The box of a tile for a column of the taps: one row further on both sides.
    __device__ __forceinline__ void copy_box(unsigned address, uint64_t *barrier, int block, int column, const BoxPlace &place) const {
        boxes.copy(address, parameters.map, barrier, Tile::row_channels * block, place.x + column - 1, place.y - 1, place.image);
    }

    template <class Finish>
    __device__ __forceinline__ void multiply(Ring map_ring, Ring operator_ring, unsigned char *staging, Finish finish) const {
        const int consumer = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 - 4;
        const unsigned row_bytes = boxes.step_bytes(), second_half = boxes.half_bytes() >> 4;
        for (int number = first_item(); number < work; number += item_step()) {
            const Item at = item(number);
            BoxSums<Tile> sums;
            int done_operator = -1, done_map = -1; // slots that are read by the products under way
            bool accumulate = false;
            for (int steps = 3 * channel_blocks(); steps > 0; --steps) {
#pragma unroll
                for (int row = 0; row < 3; ++row) {
                    if (row == 0) {
                        map_ring.wait();
                    }
                    operator_ring.wait();
                    const unsigned box = map_ring.address() + unsigned(consumer) * box_bytes;
                    multiply_tap(sums, matrix_descriptor(box + unsigned(row) * row_bytes, 1024), second_half,
                                 matrix_descriptor(operator_ring.address(), 1024), accumulate);
                    accumulate = true;
                    // The products of the tap before are done.
                    wgmma_wait<1>();
                    release(map_ring, done_map, operator_ring, done_operator);
                    done_operator = operator_ring.number();
                    operator_ring.advance();
                    done_map = row == 2 ? map_ring.number() : -1;
                    if (row == 2) {
                        map_ring.advance();
                    }
                }
            }
            wgmma_wait<0>();
            wgmma_fence_operand(sums.values[0]);
            wgmma_fence_operand(sums.values[1]);
            release(map_ring, done_map, operator_ring, done_operator);
            finish(sums, BoxPlace(boxes, 2 * at.pair + consumer), at.first_column, warp, staging + warp * VGGX_HOPPER_STAGING);
        }
    }

    // Tap by a row of channels: two halves of the tile, four times a depth of 32 bytes.
    __device__ __forceinline__ static void multiply_tap(BoxSums<Tile> &sums, uint64_t rows, unsigned second_half, uint64_t columns,
                                                        bool accumulate) {
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < 4; ++step) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                wgmma_shared<Element, Tile::columns>(sums.values[half], rows + half * second_half + 2 * step, columns + 2 * step,
                                                     accumulate || step > 0);
            }
        }
        wgmma_commit();
    }

    __device__ __forceinline__ static void release(const Ring &map_ring, int map_slot, const Ring &operator_ring, int operator_slot) {
        const int lane = threadIdx.x % 32;
        if (Tile::cluster > 1 && operator_slot >= 0 && lane < Tile::cluster) {
            operator_ring.release_in_cluster(operator_slot, lane);
        }
        if (lane == 0) {
            if (Tile::cluster == 1 && operator_slot >= 0) {
                operator_ring.release(operator_slot);
            }
            if (map_slot >= 0) {
                map_ring.release(map_slot);
            }
        }
    }

    const VggxBoxes &parameters;
    const VggxOperand &operand;

  public:
    const Boxes boxes;

  private:
    const unsigned box_bytes; // of a slot's half, which serves one warpgroup
    int column_tiles, work;
};
