// Products of a line with itself at a distance: sums += line[k]^T * line[k + distance] over positions k, by the block's tile of
// channels x channels. Operands lie in shared memory as they lie in the line, channels innermost; fragments are transposed as
// they are loaded.
#pragma once

#include "ptx.cuh"
#include "tile.cuh"

// A warp computes 64 rows (channels of line[k]) by 64 columns (channels of line[k + distance]): one group of 64 channels each.
template <class Element_, int WarpRows, int WarpColumns> struct ProductTile {
    using Element = Element_;
    static constexpr int warp_rows = WarpRows;
    static constexpr int warp_columns = WarpColumns;
    static constexpr int groups = WarpRows + WarpColumns;
    static constexpr int threads = 32 * WarpRows * WarpColumns;
    static constexpr int row_bytes = 64 * int(sizeof(Element));
    // A stage holds 4 KiB of each group: so many positions.
    static constexpr int group_bytes = 4096;
    static constexpr int depth = group_bytes / row_bytes;
    static constexpr int stage_bytes = groups * group_bytes;
};

// Byte offset of 16-byte chunk `chunk` of position `position` in a group's stage. The swizzle spreads the eight positions that
// ldmatrix reads together over all banks.
template <class Element> __device__ __forceinline__ unsigned product_offset(int position, int chunk) {
    return unsigned(position * 64 * int(sizeof(Element)) + ((chunk ^ (position & 7)) << 4));
}

// Tensor cores: one stage. `rows` and `columns` are the stages of this warp's two groups.
template <class Element>
__device__ __forceinline__ void multiply_lines(Sums &sums, const unsigned char *rows, const unsigned char *columns, int lane) {
    const unsigned row_address = shared_address(rows), column_address = shared_address(columns);
#pragma unroll
    for (int step = 0; step < 2; ++step) {
        unsigned a[4][4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int position = 16 * step + lane / 16 * 8 + lane % 8;
            ldmatrix_x4_transposed(a[i], row_address + product_offset<Element>(position, 2 * i + lane / 8 % 2));
        }
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            unsigned b[4];
            const int position = 16 * step + lane / 8 % 2 * 8 + lane % 8;
            ldmatrix_x4_transposed(b, column_address + product_offset<Element>(position, j + lane / 16));
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                mma_m16n8k16<Element>(sums.values[i][j], a[i], b[0], b[1]);
                mma_m16n8k16<Element>(sums.values[i][j + 1], a[i], b[2], b[3]);
            }
        }
    }
}

// Plain float32, one fused multiply-add a term, position after position.
template <>
__device__ __forceinline__ void multiply_lines<float>(Sums &sums, const unsigned char *rows, const unsigned char *columns, int lane) {
    const int g = lane / 4, q = lane % 4;
#pragma unroll 1
    for (int position = 0; position < 16; ++position) {
        float a[4][2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const int channel = 16 * i + 8 * h + g;
                a[i][h] = *reinterpret_cast<const float *>(rows + product_offset<float>(position, channel / 4) + channel % 4 * 4);
            }
        }
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const int channel = 8 * j + 2 * q;
            struct alignas(8) Two {
                float values[2];
            };
            const Two b =
                *reinterpret_cast<const Two *>(columns + product_offset<float>(position, channel / 4) + channel % 4 * 4);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int h = 0; h < 2; ++h) {
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        sums.values[i][j][2 * h + e] = fmaf(a[i][h], b.values[e], sums.values[i][j][2 * h + e]);
                    }
                }
            }
        }
    }
}

// Copies the stages of a tile's groups of channels, one after the other.
template <class Tile> class LineLoader {
    using Element = typename Tile::Element;
    static constexpr int vector = Vector<Element>::count;
    static constexpr int chunks = Tile::row_bytes / 16; // of a position's group
    static constexpr int copies = Tile::group_bytes / 16 / Tile::threads; // of a group, by each thread
    static constexpr int positions_at_once = Tile::threads / chunks;

  public:
    // `offsets`: where each group begins, in vectors from the line's first position, or -1 for one that is not there.
    __device__ __forceinline__ LineLoader(const Vector<Element> *line, const int (&offsets)[Tile::groups], int channels, int first,
                                          int end)
        : line(line), channel_vectors(channels / vector), end(end), chunk(threadIdx.x % chunks),
          position(first + int(threadIdx.x) / chunks) {
#pragma unroll
        for (int group = 0; group < Tile::groups; ++group) {
            this->offsets[group] = offsets[group];
        }
    }

    // Starts the copies of the next stage into `stage`. To be called once a stage, in their order.
    __device__ __forceinline__ void load(unsigned char *stage) {
        const unsigned address = shared_address(stage);
        const int row = int(threadIdx.x) / chunks;
#pragma unroll
        for (int n = 0; n < copies; ++n) {
            const int at = position + n * positions_at_once;
            const unsigned to = address + product_offset<Element>(row + n * positions_at_once, chunk);
#pragma unroll
            for (int group = 0; group < Tile::groups; ++group) {
                const bool valid = at < end && offsets[group] >= 0;
                const int offset = valid ? at * channel_vectors + offsets[group] + chunk : 0;
                cp_async_16(to + group * Tile::group_bytes, line + offset, valid);
            }
        }
        position += Tile::depth;
    }

  private:
    const Vector<Element> *line;
    int offsets[Tile::groups];
    int channel_vectors;
    int end; // positions from here on count as zeros
    int chunk;
    int position;
};

// The newest `stages` - 2 groups of copies may be under way still.
__device__ __forceinline__ void wait_for_line_stage(int stages) {
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

// The sums of the whole tile over positions first..end. `ring` holds `stages` stages.
template <class Tile>
__device__ __forceinline__ void multiply_line(Sums &sums, LineLoader<Tile> &loader, int count, int stages, unsigned char *ring) {
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
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int rows = warp / Tile::warp_columns * Tile::group_bytes;
    const int columns = (Tile::warp_rows + warp % Tile::warp_columns) * Tile::group_bytes;
    int to_load = 0;
    for (; to_load < stages - 1; ++to_load) {
        if (to_load < count) {
            loader.load(ring + to_load * Tile::stage_bytes);
        }
        cp_async_commit();
    }
    int to_multiply = 0;
    for (int stage = 0; stage < count; ++stage) {
        wait_for_line_stage(stages);
        // Everybody's copies of this stage are there, and everybody is done with the slot that is loaded now.
        __syncthreads();
        if (stage + stages - 1 < count) {
            loader.load(ring + to_load * Tile::stage_bytes);
        }
        cp_async_commit();
        to_load = to_load + 1 == stages ? 0 : to_load + 1;
        const unsigned char *slot = ring + to_multiply * Tile::stage_bytes;
        multiply_lines<typename Tile::Element>(sums, slot + rows, slot + columns, lane);
        to_multiply = to_multiply + 1 == stages ? 0 : to_multiply + 1;
    }
    cp_async_wait<0>();
}
