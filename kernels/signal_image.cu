// The last backward step in float32: 3x3 over many channels into three, by fused multiply-adds. (signal_image_products.cu has it for
// 16-bit elements.)
//
// A block computes 8x32 pixels. It stages their halo of 10x34 positions in shared memory, 64 channels at a time, with the
// operator of those channels. A warp has 4 columns of pixels, a lane the channels of one octet in one column of 8 pixels:
// every value that is loaded and widened meets up to three rows of taps and three outputs. At the end the eight lanes of a
// column add up their octets. The order of all sums is fixed by the number of channels alone.
#include "octet.cuh"
#include "ptx.cuh"
#include "signal_image.cuh"

namespace {

constexpr int tile_rows = 8;
constexpr int tile_columns = 32;
constexpr int halo_rows = tile_rows + 2;
constexpr int halo_columns = tile_columns + 2;
constexpr int group = 64;
constexpr int octets = group / VGGX_OCTET;
constexpr int threads = 256;
static_assert(octets * tile_columns == threads && tile_rows == octets, "a lane ends with one pixel");

// The halo holds halves of octets, 16 bytes each: [position][half][octet], so that the eight lanes of a column read 128 contiguous
// bytes at a time.
constexpr int halves = octets * 2;

__device__ __forceinline__ void stage_halo(const VggxSignalImage &parameters, int image, int first_channel, Vector<float> *halo) {
    const float *input = pointer<const float>(parameters.input);
    const int top = int(blockIdx.y) * tile_rows - 1;
    const int left = int(blockIdx.x) * tile_columns - 1;
    for (int i = int(threadIdx.x); i < halo_rows * halo_columns * halves; i += threads) {
        const int position = i / halves;
        const int half = i % halves;
        const int y = top + position / halo_columns;
        const int x = left + position % halo_columns;
        const bool inside = y >= 0 && y < parameters.height && x >= 0 && x < parameters.width;
        const int64_t pixel = (int64_t(image) * parameters.height + y) * parameters.width + x;
        const int64_t at = pixel * parameters.channels + first_channel + half * Vector<float>::count;
        const int slot = half % 2 * octets + half / 2;
        cp_async_16(shared_address(halo + position * halves + slot), inside ? input + at : input, inside);
    }
}

// [tap][channel of the octet][octet]: the eight octets of a channel are 128 contiguous bytes.
__device__ __forceinline__ void stage_operator(const VggxSignalImage &parameters, int first_channel,
                                               Vector<float> *operator_) {
    const Vector<float> *source = pointer<const Vector<float>>(parameters.operator_);
    for (int i = int(threadIdx.x); i < 9 * group; i += threads) {
        const int tap = i / group;
        const int channel = i % group;
        const int slot = (tap * VGGX_OCTET + channel % VGGX_OCTET) * octets + channel / VGGX_OCTET;
        cp_async_16(shared_address(operator_ + slot), source + int64_t(tap) * parameters.channels + first_channel + channel,
                    true);
    }
}

// Adds what the octet of this lane, in column `column` of the tile, gives to its eight pixels. By halves of an octet, since
// the weights of a whole one would fill the registers.
__device__ __forceinline__ void add_octet(const Vector<float> *halo, const float *operator_, int column, int octet,
                                          float (&sums)[tile_rows][3]) {
#pragma unroll 1
    for (int step = 0; step < 6; ++step) {
        const int tap_column = step / 2;
        const int half = step % 2;
        float weights[3][4][3];
#pragma unroll
        for (int tap_row = 0; tap_row < 3; ++tap_row) {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                // One by one: as a vector the unused fourth value would take a register too.
                const int row = (3 * tap_row + tap_column) * VGGX_OCTET + 4 * half + k;
                const float *weight = operator_ + (row * octets + octet) * 4;
#pragma unroll
                for (int output = 0; output < 3; ++output) {
                    weights[tap_row][k][output] = weight[output];
                }
            }
        }
        const Vector<float> *first = halo + (column + tap_column) * halves + half * octets + octet;
#pragma unroll
        for (int halo_row = 0; halo_row < halo_rows; ++halo_row) {
            const Vector<float> position = first[halo_row * halo_columns * halves];
#pragma unroll
            for (int tap_row = 0; tap_row < 3; ++tap_row) {
                const int row = halo_row - tap_row;
                if (row < 0 || row >= tile_rows) {
                    continue;
                }
#pragma unroll
                for (int k = 0; k < 4; ++k) {
#pragma unroll
                    for (int output = 0; output < 3; ++output) {
                        sums[row][output] += position.values[k] * weights[tap_row][k][output];
                    }
                }
            }
        }
    }
}

// Adds up the octets of a column, which are the eight lanes that differ in the lowest three bits; lane l ends with the pixel
// in row l % 8. Each step halves the rows: a lane keeps those that agree with it in one bit and gives the others away.
__device__ __forceinline__ void add_lanes(const float (&sums)[tile_rows][3], int octet, float (&pixel)[3]) {
#pragma unroll
    for (int output = 0; output < 3; ++output) {
        float four[4], two[2];
#pragma unroll
        for (int row = 0; row < 4; ++row) {
            const bool upper = (octet & 4) != 0;
            const float kept = upper ? sums[row + 4][output] : sums[row][output];
            const float given = upper ? sums[row][output] : sums[row + 4][output];
            four[row] = kept + __shfl_xor_sync(0xffffffffu, given, 4);
        }
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const bool upper = (octet & 2) != 0;
            const float kept = upper ? four[row + 2] : four[row];
            const float given = upper ? four[row] : four[row + 2];
            two[row] = kept + __shfl_xor_sync(0xffffffffu, given, 2);
        }
        const bool upper = (octet & 1) != 0;
        pixel[output] = (upper ? two[1] : two[0]) + __shfl_xor_sync(0xffffffffu, upper ? two[0] : two[1], 1);
    }
}

} // namespace

VGGX_KERNEL(signal_image_f32, VggxSignalImage, 256, 2) {
    SharedMemory shared;
    Vector<float> *halo = shared.take<Vector<float>>(halo_rows * halo_columns * halves);
    Vector<float> *operator_ = shared.take<Vector<float>>(9 * group);

    const int image = int(blockIdx.z);
    const int octet = int(threadIdx.x) % octets;
    const int column = int(threadIdx.x) / octets;
    float sums[tile_rows][3] = {};
    for (int first = 0; first < parameters.channels; first += group) {
        if (first > 0) {
            __syncthreads(); // everyone is done with the previous channels
        }
        stage_halo(parameters, image, first, halo);
        stage_operator(parameters, first, operator_);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        add_octet(halo, operator_->values, column, octet, sums);
    }
    float pixel[3];
    add_lanes(sums, octet, pixel);

    const Rescale scale = signal_image_scale(parameters);
    const int y = int(blockIdx.y) * tile_rows + octet;
    const int x = int(blockIdx.x) * tile_columns + column;
    unsigned largest = 0;
    if (y < parameters.height && x < parameters.width) {
        largest = store_signal_pixel(parameters, scale, y, x, pixel);
    }
    raise_largest(pointer<unsigned>(parameters.output_scale.largest) + image, largest);
}
