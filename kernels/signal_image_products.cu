// The last backward step for 16-bit elements, by tensor cores: 3x3 over many channels into three,
//
//   pixel(y, x)[c] = sum over tap rows r, tap columns s and channels k of input(y + r - 1, x + s - 1)[k] * operator[r, s][k][c].
//
// As a product over (r, s, k) the matrix would have three columns for the tensor cores' eight, and read every position nine times.
// So a position is multiplied once, over k alone, by all 27 columns (r, s, c), and what comes out is added where it belongs:
//
//   over r   in registers. A warp has 16 columns of the map and goes down its rows; the products of row y belong to the rows y + 1,
//            y and y - 1 of the image, for which a lane keeps the sums of (s, c) until the last row of taps has been added;
//   over s   through shared memory, at the end: the sums of (s, c) at x belong to pixel x - s + 1.
//
// The operator is float32 and is split into two 16-bit parts, high + low, which are multiplied one after the other into the same
// sums: what the parts miss is at most u^2 of a weight, u = 2^-11 for float16 (or 2^-25, half its smallest number, where the largest
// weights are 2^14 and more) and u = 2^-8 for bfloat16. The order of all sums is fixed by the number of channels alone: over k by 64
// channels, then over r, over the groups of 64, over s.
#include "ptx.cuh"
#include "signal_image.cuh"

namespace {

constexpr int warps = 4;
constexpr int threads = 32 * warps;
constexpr int positions = 16 * warps; // columns of the map that a block reads: its pixels and one to either side
constexpr int tile_columns = positions - 2;
constexpr int tile_rows = VGGX_SIGNAL_ROWS;
static_assert(tile_columns == VGGX_SIGNAL_COLUMNS, "as launched");
constexpr int group = 64;
constexpr int steps = group / 16;
constexpr int columns = 9; // (s, c) at 3 * s + c
// Columns of the products: of each row of taps the first eight (s, c), the high parts and then the low ones; the seventh tile has
// the ninth (s, c), at column 2 * r + part.
constexpr int product_tiles = 7;
// Floats from one of the nine columns to the next in shared memory: those of the four lanes that write together, two columns
// apart, and of their eight positions lie in 32 different banks.
constexpr int pitch = positions + 4;

struct alignas(16) Words {
    unsigned values[4];
};

// A lane's two registers of the operator in one product.
struct alignas(8) Fragment {
    unsigned values[2];
};

// The depth of the products is the order in which a lane's loads of 16 bytes bring the channels: of lane 4 * g + q, load t has
// channels 32 * t + 8 * q + 0..7, and step 2 * t + u multiplies 4 * u + 0..3 of these.
//
// Splits the operator of 64 channels: [tile][step][lane][4 channels].
template <class Element> __device__ __forceinline__ void stage_operator(const VggxSignalImage &parameters, int first, Element *parts) {
    const Vector<float> *source = pointer<const Vector<float>>(parameters.operator_);
#pragma unroll 1
    for (int i = int(threadIdx.x); i < 9 * group; i += threads) {
        const int tap = i / group, k = i % group;
        const Vector<float> weights = source[int64_t(tap) * parameters.channels + first + k];
        const int step = k / 32 * 2 + k / 4 % 2, q = k / 8 % 4;
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            const int r = tap / 3, column = tap % 3 * 3 + c;
            const Element high = narrow<Element>(weights.values[c]);
            const Element part[2] = {high, narrow<Element>(weights.values[c] - widen(high))};
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int tile = column < 8 ? 2 * r + n : 6, within = column < 8 ? column : 2 * r + n;
                parts[((tile * steps + step) * 32 + 4 * within + q) * 4 + k % 4] = part[n];
            }
        }
    }
}

// What a warp needs of a row of the map: 16 positions, of which a lane has g and g + 8, of each two loads.
struct MapRow {
    Words loads[2][2];
};

// A warp's 16 columns of one image.
template <class Element> class Strip {
  public:
    // `left` is the first column, which may lie beside the map; channels from `first` on.
    __device__ __forceinline__ Strip(const VggxSignalImage &parameters, int left, int first) : parameters(parameters) {
        const int g = int(threadIdx.x) % 32 / 4, q = int(threadIdx.x) % 4;
        input = pointer<const Element>(parameters.input) +
                int64_t(blockIdx.z) * parameters.height * parameters.width * parameters.channels + first + 8 * q;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            x[h] = left + 8 * h + g;
            inside[h] = x[h] >= 0 && x[h] < parameters.width;
        }
    }

    // Zeros beside the map.
    __device__ __forceinline__ void load(MapRow &row, int y) const {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const bool valid = inside[h] && y >= 0 && y < parameters.height;
            const Element *position = input + (int64_t(y) * parameters.width + x[h]) * parameters.channels;
#pragma unroll
            for (int t = 0; t < 2; ++t) {
                row.loads[h][t] = valid ? *reinterpret_cast<const Words *>(position + 32 * t) : Words{};
            }
        }
    }

  private:
    const VggxSignalImage &parameters;
    const Element *input;
    int x[2];
    bool inside[2];
};

// The products of a row of the map: values[r] of the first eight columns, values[3] of the ninth.
struct Products {
    float values[4][4];
};

template <class Element>
__device__ __forceinline__ void multiply(Products &products, const MapRow &row, const Fragment (&operator_)[product_tiles][steps]) {
#pragma unroll
    for (int step = 0; step < steps; ++step) {
        const int t = step / 2, u = step % 2;
        const unsigned a[4] = {row.loads[0][t].values[2 * u], row.loads[1][t].values[2 * u], row.loads[0][t].values[2 * u + 1],
                               row.loads[1][t].values[2 * u + 1]};
#pragma unroll
        for (int part = 0; part < 2; ++part) {
#pragma unroll
            for (int r = 0; r < 3; ++r) {
                const Fragment &b = operator_[2 * r + part][step];
                mma_m16n8k16<Element>(products.values[r], a, b.values[0], b.values[1]);
            }
        }
        const Fragment &b = operator_[6][step];
        mma_m16n8k16<Element>(products.values[3], a, b.values[0], b.values[1]);
    }
}

// The sums over the rows of taps, on the way down the map.
class RowSums {
  public:
    // Adds the products of a row of the map, and finishes the sums of the row above it.
    __device__ __forceinline__ void add(const Products &products) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            finished[n] = two_rows[n] + products.values[2][n];
            two_rows[n] = one_row[n] + products.values[1][n];
            one_row[n] = products.values[0][n];
        }
        // Lane q has the ninth column for r = q: sums go from lane to lane, and leave at q = 2.
        const int q = int(threadIdx.x) % 4;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const float before = __shfl_up_sync(0xffffffffu, ninth[h], 1);
            const float both_parts = products.values[3][2 * h] + products.values[3][2 * h + 1];
            ninth[h] = q == 0 ? both_parts : before + both_parts;
        }
    }

    // Adds the finished row to `to`, [columns][pitch], at the warp's first position; or stores it there.
    __device__ __forceinline__ void give(float *to, bool stores) const {
        const int g = int(threadIdx.x) % 32 / 4, q = int(threadIdx.x) % 4;
        const auto put = [&](int column, int position, float value) {
            float &sum = to[column * pitch + position];
            sum = stores ? value : sum + value;
        };
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                put(2 * q + e, 8 * h + g, finished[2 * h + e]);
            }
            if (q == 2) {
                put(8, 8 * h + g, ninth[h]);
            }
        }
    }

  private:
    float finished[4], two_rows[4] = {}, one_row[4] = {};
    float ninth[2] = {};
};

// Adds up columns of taps, and stores the block's pixels.
__device__ __forceinline__ void store_pixels(const VggxSignalImage &parameters, const float *sums) {
    const Rescale scale = signal_image_scale(parameters);
    const int top = int(blockIdx.y) * tile_rows, left = int(blockIdx.x) * tile_columns;
    unsigned largest = 0;
#pragma unroll 1
    for (int i = int(threadIdx.x); i < tile_rows * positions; i += threads) {
        const int row = i / positions, column = i % positions;
        if (column >= tile_columns || top + row >= parameters.height || left + column >= parameters.width) {
            continue;
        }
        // The pixel's own position is one further on.
        const float *at = sums + row * columns * pitch + column;
        float pixel[3];
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            pixel[c] = at[c * pitch] + at[(3 + c) * pitch + 1] + at[(6 + c) * pitch + 2];
        }
        largest = max(largest, store_signal_pixel(parameters, scale, top + row, left + column, pixel));
    }
    raise_largest(pointer<unsigned>(parameters.output_scale.largest) + blockIdx.z, largest);
}

} // namespace

template <class Element> __device__ __forceinline__ void signal_image_products(const VggxSignalImage &parameters) {
    SharedMemory shared;
    float *sums = shared.take<float>(tile_rows * columns * pitch);
    Fragment *fragments = shared.take<Fragment>(product_tiles * steps * 32);

    const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
    const int top = int(blockIdx.y) * tile_rows;
    const int left = int(blockIdx.x) * tile_columns - 1 + 16 * warp;
    // One column beside the map is still read, as zeros.
    const bool works = left <= parameters.width;
    const int last = min(top + tile_rows, parameters.height); // one row below the last pixel
    for (int first = 0; first < parameters.channels; first += group) {
        if (first > 0) {
            __syncthreads(); // everyone has the previous channels' operator
        }
        stage_operator(parameters, first, reinterpret_cast<Element *>(fragments));
        __syncthreads();
        if (!works) {
            continue;
        }
        Fragment operator_[product_tiles][steps];
#pragma unroll
        for (int tile = 0; tile < product_tiles; ++tile) {
#pragma unroll
            for (int step = 0; step < steps; ++step) {
                // The seventh tile has six columns.
                const bool is_column = tile < 6 || lane / 4 < 6;
                operator_[tile][step] = is_column ? fragments[(tile * steps + step) * 32 + lane] : Fragment{};
            }
        }
        const Strip<Element> strip(parameters, left, first);
        RowSums rows;
        MapRow next;
        strip.load(next, top - 1);
#pragma unroll 1
        for (int y = top - 1; y <= last; ++y) {
            const MapRow row = next;
            if (y < last) {
                strip.load(next, y + 1);
            }
            Products products = {};
            multiply<Element>(products, row, operator_);
            rows.add(products);
            if (y > top) {
                rows.give(sums + (y - 1 - top) * columns * pitch + 16 * warp, first == 0);
            }
        }
    }
    __syncthreads();
    store_pixels(parameters, sums);
}

VGGX_KERNEL(signal_image_f16, VggxSignalImage, 128, 3) { signal_image_products<float16>(parameters); }
VGGX_KERNEL(signal_image_bf16, VggxSignalImage, 128, 3) { signal_image_products<bfloat16>(parameters); }
