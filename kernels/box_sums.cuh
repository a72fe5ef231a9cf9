// Tiles of the product of warpgroups (positions of a box x output channels), and where their sums are.
#pragma once

#include "float8.cuh"

// `Cluster` blocks work on different positions for the same columns.
template <class Element_, int Columns, int Cluster = 1> struct HopperTile {
    using Element = Element_;
    static constexpr int cluster = Cluster;
    static constexpr int columns = Columns;
    static constexpr int groups = Columns / 64;
    static constexpr int row_channels = 128 / int(sizeof(Element)); // of a row of a box
    static constexpr unsigned operator_bytes = Columns * 128;
};

// Sums of a warpgroup's tile: rows 0 to 63 and 64 to 127. values[i][4 * j + 2 * h + e] of lane 4 * g + q of warp w has row
// 64 * i + 16 * w + 8 * h + g and column 8 * j + 2 * q + e.
template <class Tile> struct BoxSums {
    float values[2][Tile::columns / 2];
};
