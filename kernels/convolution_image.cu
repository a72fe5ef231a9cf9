// The first convolution. Its depth is 27 = 9 taps * 3 channels, too little for a pipeline: each block gathers its rows of 27
// values, padded to 32, straight into one tile and multiplies once.
#include "convolution_forward.cuh"
#include "image_patch.cuh"

// Rows hold depth 3 * tap + channel. Tiles of VGGX_ROW_BYTES follow each other, one for float16, two for float32.
template <class Tile>
__device__ __forceinline__ void gather(const VggxOperand &operand, const Row *table, int first_column, unsigned char *tiles) {
    using Element = typename Tile::Element;
    constexpr int vector = Vector<Element>::count;
    const Element *map = pointer<const Element>(operand.input);
#pragma unroll 1
    for (int local = threadIdx.x; local < Tile::rows; local += Tile::threads) {
        const Row row = table[local];
        Element values[VGGX_IMAGE_DEPTH] = {};
        if (row.position >= 0) {
            gather_patch(values, map, row.position, row.y, row.x, operand.height, operand.width);
        }
#pragma unroll
        for (int n = 0; n < VGGX_IMAGE_DEPTH / vector; ++n) {
            Vector<Element> chunk;
#pragma unroll
            for (int k = 0; k < vector; ++k) {
                chunk.values[k] = values[n * vector + k];
            }
            *reinterpret_cast<Vector<Element> *>(tiles + n / 4 * Tile::stage_bytes + swizzled(local, n % 4)) = chunk;
        }
    }
    constexpr int chunks = VGGX_IMAGE_DEPTH / vector;
    const auto *operators = pointer<const Vector<Element>>(operand.operator_) + int64_t(first_column) * chunks;
    for (int index = threadIdx.x; index < Tile::columns * chunks; index += Tile::threads) {
        const int column = index / chunks, n = index % chunks;
        *reinterpret_cast<Vector<Element> *>(tiles + n / 4 * Tile::stage_bytes + swizzled(Tile::rows + column, n % 4)) =
            operators[index];
    }
}

template <class Element> __device__ __forceinline__ void convolution_image(const VggxConvolutionForward &parameters) {
    using ImageTile = Tile<Element, 4, 1>;
    const VggxOperand &operand = parameters.operand;
    constexpr int stages = VGGX_IMAGE_DEPTH / ImageTile::depth;
    SharedMemory shared;
    unsigned char *tiles = shared.take<unsigned char>(ring_bytes<ImageTile>(stages));
    Row *table = shared.take<Row>(ImageTile::rows);
    const Place<ImageTile> place(operand.outputs);
    locate_rows<ImageTile>(table, operand, place.first_row, in_windows(parameters));
    __syncthreads();
    gather<ImageTile>(operand, table, place.first_column, tiles);
    __syncthreads();
    Sums sums = {};
#pragma unroll 1
    for (int stage = 0; stage < stages; ++stage) {
        const unsigned char *tile = tiles + stage * ImageTile::stage_bytes;
        multiply_stage<Element>(sums, tile + place.warp_row * VGGX_ROW_BYTES, tile + ImageTile::rows * VGGX_ROW_BYTES, place.lane);
    }
    __syncthreads();
    ForwardEpilogue<ImageTile>(parameters, place, table, tiles).finish(sums);
}

VGGX_KERNEL(convolution_image_f16, VggxConvolutionForward, 128, 2) { convolution_image<float16>(parameters); }
VGGX_KERNEL(convolution_image_bf16, VggxConvolutionForward, 128, 2) { convolution_image<bfloat16>(parameters); }
VGGX_KERNEL(convolution_image_f32, VggxConvolutionForward, 128, 2) { convolution_image<float>(parameters); }
