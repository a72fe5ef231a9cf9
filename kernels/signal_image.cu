// The last backward step: 3x3 over many channels into three. As a matrix it is so narrow that tensor cores would idle; float32
// FMAs keep up with the memory that the input comes from.
//
// A block computes 8x32 pixels. It stages their halo of 10x34 positions in shared memory, 64 channels at a time, with the
// operator of those channels. A warp has 4 columns of pixels, a lane the channels of one octet in one column of 8 pixels:
// every value that is loaded and widened meets up to three rows of taps and three outputs. At the end the eight lanes of a
// column add up their octets. The order of all sums is fixed by the number of channels alone.
#include "octet.cuh"
#include "ptx.cuh"
#include "reduce.cuh"
#include "scale.cuh"

namespace {

constexpr int tile_rows = 8;
constexpr int tile_columns = 32;
constexpr int halo_rows = tile_rows + 2;
constexpr int halo_columns = tile_columns + 2;
constexpr int group = 64;
constexpr int octets = group / VGGX_OCTET;
constexpr int threads = 256;
static_assert(octets * tile_columns == threads && tile_rows == octets, "a lane ends with one pixel");

// The halo holds chunks of 16 bytes, of which an octet has one (16-bit types) or two (float): [position][chunk of the octet]
// [octet], so that the eight lanes of a column read 128 contiguous bytes at a time.
template <class Element> constexpr int chunks_of_octet = VGGX_OCTET / Vector<Element>::count;

template <class Element>
__device__ __forceinline__ void stage_halo(const VggxSignalImage &parameters, int image, int first_channel,
                                           Vector<Element> *halo) {
    constexpr int chunks = octets * chunks_of_octet<Element>;
    const Element *input = pointer<const Element>(parameters.input);
    const int top = int(blockIdx.y) * tile_rows - 1;
    const int left = int(blockIdx.x) * tile_columns - 1;
    for (int i = int(threadIdx.x); i < halo_rows * halo_columns * chunks; i += threads) {
        const int position = i / chunks;
        const int chunk = i % chunks;
        const int y = top + position / halo_columns;
        const int x = left + position % halo_columns;
        const bool inside = y >= 0 && y < parameters.height && x >= 0 && x < parameters.width;
        const int64_t pixel = (int64_t(image) * parameters.height + y) * parameters.width + x;
        const int64_t at = pixel * parameters.channels + first_channel + chunk * Vector<Element>::count;
        const int slot = chunk % chunks_of_octet<Element> * octets + chunk / chunks_of_octet<Element>;
        cp_async_16(shared_address(halo + position * chunks + slot), inside ? input + at : input, inside);
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

// Half an octet.
template <class Element> struct alignas(4 * sizeof(Element)) Quad {
    Element values[4];
};

// Adds what the octet of this lane, in column `column` of the tile, gives to its eight pixels. By halves of an octet, since
// the weights of a whole one would fill the registers.
template <class Element>
__device__ __forceinline__ void add_octet(const Vector<Element> *halo, const float *operator_, int column, int octet,
                                          float (&sums)[tile_rows][3]) {
    constexpr int chunks = octets * chunks_of_octet<Element>;
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
        const Vector<Element> *first = halo + (column + tap_column) * chunks;
#pragma unroll
        for (int halo_row = 0; halo_row < halo_rows; ++halo_row) {
            const Quad<Element> *position = reinterpret_cast<const Quad<Element> *>(first + halo_row * halo_columns * chunks);
            const Quad<Element> quad = position[chunks_of_octet<Element> == 1 ? 2 * octet + half : half * octets + octet];
            float values[4];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                values[k] = widen(quad.values[k]);
            }
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
                        sums[row][output] += values[k] * weights[tap_row][k][output];
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

template <class Element> __device__ __forceinline__ void signal_image(const VggxSignalImage &parameters) {
    SharedMemory shared;
    Vector<Element> *halo =
        shared.take<Vector<Element>>(halo_rows * halo_columns * octets * chunks_of_octet<Element>);
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

    const Rescale scale =
        rescale(pointer<const unsigned>(parameters.input_scale.largest)[image],
                pointer<const int>(parameters.input_scale.exponent)[image], parameters.operator_bound,
                parameters.operator_gain, 0.0f);
    if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) {
        pointer<int>(parameters.output_scale.exponent)[image] = scale.exponent;
    }
    const int y = int(blockIdx.y) * tile_rows + octet;
    const int x = int(blockIdx.x) * tile_columns + column;
    unsigned largest = 0;
    if (y < parameters.height && x < parameters.width) {
        const int64_t positions = int64_t(parameters.height) * parameters.width;
        float *output = pointer<float>(parameters.output) + image * 3 * positions + int64_t(y) * parameters.width + x;
#pragma unroll
        for (int channel = 0; channel < 3; ++channel) {
            const float stored = pixel[channel] * scale.sum_factor;
            output[channel * positions] = stored;
            largest = max(largest, magnitude_bits(stored));
        }
    }
    raise_largest(pointer<unsigned>(parameters.output_scale.largest) + image, largest);
}

VGGX_KERNEL(signal_image_f16, VggxSignalImage, 256, 2) { signal_image<float16>(parameters); }
VGGX_KERNEL(signal_image_bf16, VggxSignalImage, 256, 2) { signal_image<bfloat16>(parameters); }
VGGX_KERNEL(signal_image_f32, VggxSignalImage, 256, 2) { signal_image<float>(parameters); }
