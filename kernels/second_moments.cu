// Second moments: products of lines, which second_lines.cu lays out, summed in float32 over short chunks, added in float64.
#include "second_lags.cuh"
#include "second_moments.cuh"

template <class Tile> __device__ __forceinline__ void second_products(const VggxSecondPass &parameters) {
    using Element = typename Tile::Element;
    constexpr int vector = Vector<Element>::count;
    SharedMemory shared;
    unsigned char *ring = shared.take<unsigned char>(parameters.stages * Tile::stage_bytes);

    int index = 0;
    while (index + 1 < parameters.views && int(blockIdx.x) >= parameters.view[index + 1].block) {
        ++index;
    }
    const VggxSecondView &view = parameters.view[index];
    const int channels = parameters.line_channels;
    const int groups = channels / 64;
    // One product holds all lags of the first layer.
    const int lags = parameters.maps.channels == 3 ? 1 : view.lags;
    const int row_tiles = (groups + Tile::warp_rows - 1) / Tile::warp_rows;
    const int column_tiles = (lags * groups + Tile::warp_columns - 1) / Tile::warp_columns;
    const int block = int(blockIdx.x) - view.block;
    const int chunk = block / (row_tiles * column_tiles);
    const int first_row = block / column_tiles % row_tiles * Tile::warp_rows;
    const int first_column = block % column_tiles * Tile::warp_columns;

    const int row = parameters.images * (view.length + view.reach); // positions of a row of all images
    int offsets[Tile::groups];
#pragma unroll
    for (int n = 0; n < Tile::warp_rows; ++n) {
        offsets[n] = first_row + n < groups ? (first_row + n) * (64 / vector) : -1;
    }
#pragma unroll
    for (int n = 0; n < Tile::warp_columns; ++n) {
        const Lag lag((first_column + n) / groups);
        const bool there = first_column + n < lags * groups && on_map(view, lag);
        const int distance = lag.dy * row + lag.dx;
        const int group = (first_column + n) % groups;
        offsets[Tile::warp_rows + n] = there ? distance * (channels / vector) + group * (64 / vector) : -1;
    }
    // The last rows have no partners below them; lags are in the order of their dy.
    const int with_partner = max(view.rows - Lag(first_column / groups).dy, 0) * row;
    const int first = chunk * VGGX_SECOND_CHUNK;
    const int end = min(first + VGGX_SECOND_CHUNK, with_partner);
    const int count = max(0, (end - first + Tile::depth - 1) / Tile::depth);

    const Vector<Element> *line =
        pointer<const Vector<Element>>(parameters.lines) + int64_t(view.line) * (channels / vector);
    LineLoader<Tile> loader(line, offsets, channels, first, end);
    Sums sums;
    multiply_line<Tile>(sums, loader, count, parameters.stages, ring);

    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    const int row_group = first_row + warp / Tile::warp_columns;
    const int column = first_column + warp % Tile::warp_columns;
    if (row_group >= groups || column >= lags * groups) {
        return;
    }
    const int64_t plane = (int64_t(chunk) * lags + column / groups) * channels;
    float *partials = pointer<float>(parameters.partials) + view.partial;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float *to = partials + (plane + row_group * 64 + 16 * i + 8 * h + g) * channels + column % groups * 64 + 2 * q;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                *reinterpret_cast<float2 *>(to + 8 * j) =
                    make_float2(sums.values[i][j][2 * h], sums.values[i][j][2 * h + 1]);
            }
        }
    }
}

VGGX_KERNEL(second_flush, VggxSecondPass, 256, 4) {
    const int channels = parameters.maps.channels;
    const int64_t index = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (index >= int64_t(channels) * channels) {
        return;
    }
    const int row = int(index / channels), column = int(index % channels);
    const int plane = int(blockIdx.y);
    int v = 0;
    while (v + 1 < parameters.views && plane >= parameters.view[v + 1].plane) {
        ++v;
    }
    const VggxSecondView &view = parameters.view[v];
    const int lag = plane - view.plane;
    if (!on_map(view, Lag(lag))) {
        return;
    }
    const bool image = channels == 3;
    const int line_channels = parameters.line_channels;
    const int lags = image ? 1 : view.lags;
    const int64_t size = int64_t(lags) * line_channels * line_channels;
    const float *partials = pointer<const float>(parameters.partials) + view.partial;
    // The first layer's lines know the lags of the map: down a column they are (0, 0), (1, 0), (2, 0).
    const bool down = plane >= VGGX_SECOND_LAGS + 6 && plane < VGGX_SECOND_LAGS + 12;
    partials += image ? row * line_channels + 3 * (down ? 5 * lag : lag) + column
                      : (int64_t(lag) * line_channels + row) * line_channels + column;
    double sum = 0.0;
    for (int chunk = 0; chunk < view.chunks; ++chunk) {
        sum += double(partials[chunk * size]);
    }
    sum *= 4.0;
    if (parameters.regions != 0) {
        const float *pilots = pointer<const float>(parameters.pilots);
        const double *regions = pointer<const double>(parameters.regions) + int64_t(plane) * 2 * channels;
        sum += double(pilots[row]) * regions[channels + column] + regions[row] * double(pilots[column]);
    }
    const int exponent = pointer<const int>(parameters.maps.common)[0];
    pointer<double>(parameters.planes)[int64_t(plane) * channels * channels + index] += ldexp(sum, 2 * exponent);
}

template <class Tile> __device__ __forceinline__ void second_dense(const VggxSecondDense &parameters) {
    using Element = typename Tile::Element;
    constexpr int vector = Vector<Element>::count;
    if (blockIdx.x > blockIdx.y) {
        return; // above the diagonal
    }
    SharedMemory shared;
    unsigned char *ring = shared.take<unsigned char>(parameters.stages * Tile::stage_bytes);
    const int channels = parameters.maps.channels;
    const int first_row = int(blockIdx.y) * Tile::warp_rows, first_column = int(blockIdx.x) * Tile::warp_columns;
    int offsets[Tile::groups];
#pragma unroll
    for (int n = 0; n < Tile::groups; ++n) {
        const int group = n < Tile::warp_rows ? first_row + n : first_column + n - Tile::warp_rows;
        offsets[n] = group < channels / 64 ? group * (64 / vector) : -1;
    }
    LineLoader<Tile> loader(pointer<const Vector<Element>>(parameters.lines), offsets, channels, 0, parameters.images);
    Sums sums;
    multiply_line<Tile>(sums, loader, (parameters.images + Tile::depth - 1) / Tile::depth, parameters.stages, ring);

    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    const int rows = (first_row + warp / Tile::warp_columns) * 64;
    const int columns = (first_column + warp % Tile::warp_columns) * 64;
    const int exponent = pointer<const int>(parameters.maps.common)[0];
    const double unit = ldexp(1.0, 2 * exponent);
    const float *pilots = pointer<const float>(parameters.pilots);
    const double *left = pointer<const double>(parameters.regions);
    const double *right = left + channels;
    double *triangle = pointer<double>(parameters.triangle);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int row = rows + 16 * i + 8 * h + g;
            if (row >= channels) {
                continue;
            }
            double *to = triangle + int64_t(row) * (row + 1) / 2;
#pragma unroll
            for (int j = 0; j < 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const int column = columns + 8 * j + 2 * q + e;
                    if (column > row) {
                        continue;
                    }
                    double sum = 4.0 * double(sums.values[i][j][2 * h + e]);
                    if (parameters.regions != 0) {
                        sum += double(pilots[row]) * right[column] + left[row] * double(pilots[column]);
                    }
                    to[column] += sum * unit;
                }
            }
        }
    }
}

#define VGGX_SECOND_PRODUCTS(name, Element, warp_rows, warp_columns, blocks)                                                \
    VGGX_KERNEL(name, VggxSecondPass, 32 * warp_rows * warp_columns, blocks) {                                             \
        second_products<ProductTile<Element, warp_rows, warp_columns>>(parameters);                                        \
    }

VGGX_SECOND_PRODUCTS(second_products_f16_64x256, float16, 1, 4, 2)
VGGX_SECOND_PRODUCTS(second_products_f16_128x256, float16, 2, 4, 1)
VGGX_SECOND_PRODUCTS(second_products_bf16_64x256, bfloat16, 1, 4, 2)
VGGX_SECOND_PRODUCTS(second_products_bf16_128x256, bfloat16, 2, 4, 1)
VGGX_SECOND_PRODUCTS(second_products_f32_64x256, float, 1, 4, 2)
VGGX_SECOND_PRODUCTS(second_products_f32_128x128, float, 2, 2, 2)

VGGX_KERNEL(second_dense_f16, VggxSecondDense, 128, 2) { second_dense<ProductTile<float16, 2, 2>>(parameters); }
VGGX_KERNEL(second_dense_bf16, VggxSecondDense, 128, 2) { second_dense<ProductTile<bfloat16, 2, 2>>(parameters); }
VGGX_KERNEL(second_dense_f32, VggxSecondDense, 128, 2) { second_dense<ProductTile<float, 2, 2>>(parameters); }
