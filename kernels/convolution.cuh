// The implicit-GEMM convolution: a ring of stages in shared memory, filled by cp.async while earlier ones are multiplied.
// The order of every sum is that of the operator's row (tap after tap, channel after channel), whatever the tile, the number of
// stages and the batch, so results are the same bits for all of them.
#pragma once

#include "multiply.cuh"

// Copies the tile's rows (of the map, shifted tap by tap) and columns (of the operator) into the stages, one after the other.
template <class Tile> class Loader {
    using Element = typename Tile::Element;
    static constexpr int vector = Vector<Element>::count;
    // Four threads copy the four 16-byte chunks of a row's stage.
    static constexpr int rows_at_once = Tile::threads / 4;
    static constexpr int row_count = Tile::rows / rows_at_once;
    static constexpr int column_count = Tile::columns / rows_at_once;

  public:
    __device__ __forceinline__ Loader(const VggxOperand &operand, const Row *table, int first_column)
        : map(pointer<const Vector<Element>>(operand.input)),
          operator_(pointer<const Vector<Element>>(operand.operator_)), channel_vectors(operand.channels / vector),
          width(operand.width), taps(operand.taps) {
        const int first = threadIdx.x / 4;
        chunk = threadIdx.x % 4;
#pragma unroll
        for (int n = 0; n < row_count; ++n) {
            const Row row = table[first + n * rows_at_once];
            map_offset[n] = max(row.position, 0) * channel_vectors + chunk;
            inside[n] = row.position < 0 ? 0 : taps == 1 ? 1 : taps_inside(operand, row);
        }
        const int depth_vectors = taps * channel_vectors;
#pragma unroll
        for (int n = 0; n < column_count; ++n) {
            const int column = first_column + first + n * rows_at_once;
            column_inside[n] = column < operand.outputs;
            operator_offset[n] = column_inside[n] ? column * depth_vectors + chunk : 0;
        }
        begin_tap(0);
    }

    // Starts the copies of the next stage into `stage`. To be called once a stage, in their order.
    __device__ __forceinline__ void load(unsigned char *stage) {
        const unsigned address = shared_address(stage);
        const int first = threadIdx.x / 4;
#pragma unroll
        for (int n = 0; n < row_count; ++n) {
            const bool valid = inside[n] >> tap & 1;
            const int offset = valid ? map_offset[n] + shift : 0;
            cp_async_16(address + swizzled(first + n * rows_at_once, chunk), map + offset, valid);
        }
#pragma unroll
        for (int n = 0; n < column_count; ++n) {
            cp_async_16(address + swizzled(Tile::rows + first + n * rows_at_once, chunk), operator_ + operator_offset[n],
                        column_inside[n]);
            operator_offset[n] += column_inside[n] ? 4 : 0;
        }
        shift += 4;
        channel += 4;
        if (channel == channel_vectors) {
            begin_tap(tap + 1);
        }
    }

  private:
    // The taps whose neighbour of this position lies on the map, bit by bit.
    __device__ __forceinline__ static unsigned taps_inside(const VggxOperand &operand, const Row &row) {
        // Bits 0, 1, 2 of `columns` are the columns left of, at and right of the position.
        const unsigned columns = (row.x > 0 ? 1u : 0u) | 2u | (row.x + 1 < operand.width ? 4u : 0u);
        return (row.y > 0 ? columns : 0u) | columns << 3 | (row.y + 1 < operand.height ? columns << 6 : 0u);
    }

    __device__ __forceinline__ void begin_tap(int next) {
        tap = next;
        channel = 0;
        shift = taps == 1 ? 0 : ((tap / 3 - 1) * width + tap % 3 - 1) * channel_vectors;
    }

    const Vector<Element> *map;
    const Vector<Element> *operator_;
    int channel_vectors, width, taps;
    int chunk;
    // In vectors of 16 bytes: 32 bits then reach 32 GiB.
    int map_offset[row_count], operator_offset[column_count];
    unsigned inside[row_count];
    bool column_inside[column_count];
    // The next stage: its tap, its first channel vector, and both as an offset into the map.
    int tap, channel, shift;
};

// All copies but those of the newest `stages` - 2 groups have arrived.
__device__ __forceinline__ void wait_for_stage(int stages) {
    switch (stages) {
    case 2: cp_async_wait<0>(); break;
    case 3: cp_async_wait<1>(); break;
    case 4: cp_async_wait<2>(); break;
    case 5: cp_async_wait<3>(); break;
    case 6: cp_async_wait<4>(); break;
    case 7: cp_async_wait<5>(); break;
    default: cp_async_wait<6>(); break;
    }
}

// The sums of the whole tile. `ring` holds operand.stages stages. Ends with a barrier: the ring is free then.
template <class Tile>
__device__ __forceinline__ void convolve(Sums &sums, const VggxOperand &operand, unsigned char *ring, const Row *table,
                                         const Place<Tile> &place) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                sums.values[i][j][n] = 0.0f;
            }
        }
    }
    Loader<Tile> loader(operand, table, place.first_column);
    const int count = operand.taps * operand.channels / Tile::depth;
    int to_load = 0; // the slot of the ring that is loaded next
    for (; to_load < operand.stages - 1; ++to_load) {
        if (to_load < count) {
            loader.load(ring + to_load * Tile::stage_bytes);
        }
        cp_async_commit();
    }
    int to_multiply = 0;
    for (int stage = 0; stage < count; ++stage) {
        wait_for_stage(operand.stages);
        // Everybody's copies of this stage are there, and everybody is done with the slot that is loaded now.
        __syncthreads();
        if (stage + operand.stages - 1 < count) {
            loader.load(ring + to_load * Tile::stage_bytes);
        }
        cp_async_commit();
        to_load = to_load + 1 == operand.stages ? 0 : to_load + 1;
        const unsigned char *slot = ring + to_multiply * Tile::stage_bytes;
        multiply_stage<typename Tile::Element>(sums, slot + place.warp_row * VGGX_ROW_BYTES,
                                               slot + (Tile::rows + place.warp_column) * VGGX_ROW_BYTES, place.lane);
        to_multiply = to_multiply + 1 == operand.stages ? 0 : to_multiply + 1;
    }
    // The epilogue stages its results where the ring was; empty groups may still be open, but nothing is on its way.
    cp_async_wait<0>();
    __syncthreads();
}

// Bytes of the ring, or of what the epilogue stages there if that is more.
template <class Tile> __device__ __forceinline__ unsigned ring_bytes(int stages) {
    return unsigned(max(stages * Tile::stage_bytes, Tile::staging_bytes));
}
