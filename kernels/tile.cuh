// The tile of a convolution's matrix product that one block computes, and which position of the map each of its rows is.
//
// A convolution is the product of im2col(input) [positions, taps * channels] with the transposed operator; no im2col matrix
// is ever stored. A warp computes 64 rows (positions) by 64 columns (output channels) as 4 x 8 mma fragments of 16 x 8. Lane
// 4 * g + q holds, in values[i][j][2 * h + e], row 16 * i + 8 * h + g and column 8 * j + 2 * q + e. The float32 kernels
// keep their sums in the same places, so that all epilogues are the same.
#pragma once

#include "element.cuh"

template <class Element_, int WarpRows, int WarpColumns> struct Tile {
    using Element = Element_;
    static constexpr int warp_columns = WarpColumns;
    static constexpr int warps = WarpRows * WarpColumns;
    static constexpr int threads = 32 * warps;
    static constexpr int rows = 64 * WarpRows;
    static constexpr int columns = 64 * WarpColumns;
    // Elements of a row that one stage of the pipeline holds.
    static constexpr int depth = VGGX_ROW_BYTES / int(sizeof(Element));
    static constexpr int stage_bytes = (rows + columns) * VGGX_ROW_BYTES;
    // What the epilogue stages: a 64 x 64 piece a warp.
    static constexpr int staging_bytes = warps * 64 * 64 * int(sizeof(Element));
};

// The sums of 16 * Fragments rows.
template <int Fragments> struct FragmentSums {
    float values[Fragments][8][4];
};

// Of all rows of a warp.
using Sums = FragmentSums<4>;

// Where a thread stands in its block's tile.
template <class Tile> struct Place {
    int lane, g, q;
    int warp_row, warp_column; // first row and column of the warp within the tile
    int first_row;             // of the tile, among all rows
    int first_column;          // of the tile, among the outputs

    __device__ __forceinline__ explicit Place(int outputs) {
        const int thread = threadIdx.x, warp = thread / 32;
        lane = thread % 32;
        g = lane / 4;
        q = lane % 4;
        warp_row = warp / Tile::warp_columns * 64;
        warp_column = warp % Tile::warp_columns * 64;
        // Blocks that follow each other share their rows: the operator stays in the L2 cache, the map is read once.
        const int column_tiles = (outputs + Tile::columns - 1) / Tile::columns;
        first_row = int(blockIdx.x) / column_tiles * Tile::rows;
        first_column = int(blockIdx.x) % column_tiles * Tile::columns;
    }

    // The 64 output channels of this thread's warp, as a group of 64; the last tile may reach beyond the outputs.
    __device__ __forceinline__ int group() const { return (first_column + warp_column) / 64; }
};

// The position in the input's map (and in the unpooled output's) that a row of the tile is.
struct alignas(16) Row {
    int position; // (image * height + y) * width + x; -1 beside or behind the maps
    int image;    // also of rows without a position: never decreasing from row to row
    int y, x;
};

// Row `row` among all rows, in scan order.
__device__ __forceinline__ Row locate_in_scan_order(const VggxOperand &operand, int row) {
    const int positions = operand.height * operand.width;
    Row result;
    result.image = row / positions;
    const int within = row - result.image * positions;
    result.y = within / operand.width;
    result.x = within - result.y * operand.width;
    result.position = row;
    if (result.image >= operand.images) {
        result.image = operand.images - 1;
        result.position = -1;
    }
    return result;
}

// Row `row` of the tile that begins at row `first`, window by window of a 2x2 max-pool: the four positions of a window
// are rows 8 apart, i.e. values[i][..][2 * h] of one thread with i even or odd and h = 0 or 1, so that pooling needs no
// exchange between threads. Windows go on from row to row and from image to image, so that tiles are full for every extent;
// windows at an odd border reach beyond it.
__device__ __forceinline__ Row locate_in_windows(const VggxOperand &operand, int first, int row) {
    const int window = first / 4 + row / 32 * 8 + row % 8;
    const int place = row % 32 / 8; // 2 * dy + dx
    const int columns = (operand.width + 1) / 2;
    const int windows = columns * ((operand.height + 1) / 2);
    Row result;
    result.image = window / windows;
    const int within = window - result.image * windows;
    const int window_y = within / columns;
    result.y = 2 * window_y + place / 2;
    result.x = 2 * (within - window_y * columns) + place % 2;
    const bool inside = result.image < operand.images && result.y < operand.height && result.x < operand.width;
    result.image = min(result.image, operand.images - 1);
    result.position = inside ? (result.image * operand.height + result.y) * operand.width + result.x : -1;
    return result;
}

// Fills the table of the tile's rows; a barrier must follow.
template <class Tile>
__device__ __forceinline__ void locate_rows(Row *rows, const VggxOperand &operand, int first, bool windows) {
    for (int row = threadIdx.x; row < Tile::rows; row += Tile::threads) {
        rows[row] = windows ? locate_in_windows(operand, first, row) : locate_in_scan_order(operand, first + row);
    }
}
