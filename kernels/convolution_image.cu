// The first convolution. Its depth is 27 = 9 taps * 3 channels, too little for a pipeline: each block gathers its rows of 27
// values, padded to 32, into one tile and multiplies once.
//
// A block's 256 rows are a box of 8x32 positions of one image. The pixels under it and around it come to shared memory first, three
// neighbouring loads a pixel instead of 27 scattered ones a position; what lies beside the image is zero there.
#include "convolution_forward.cuh"

namespace {

constexpr int box_height = 8;
constexpr int box_width = 32;
constexpr int patch_height = box_height + 2;
constexpr int patch_row = (box_width + 2) * 3; // elements
constexpr int patch_elements = patch_height * patch_row;

struct BoxPosition {
    int y, x;
};

// Where a row of the tile lies in the box: in scan order, or window by window of a 2x2 max-pool as in locate_in_windows.
__device__ __forceinline__ BoxPosition position_in_box(int row, bool windows) {
    if (!windows) {
        return {row / box_width, row % box_width};
    }
    const int window = row / 32 * 8 + row % 8, place = row % 32 / 8;
    return {window / (box_width / 2) * 2 + place / 2, window % (box_width / 2) * 2 + place % 2};
}

// The box of one image that a block has.
class ImageBox {
  public:
    // Boxes follow each other along x, then y, then images.
    __device__ __forceinline__ ImageBox(const VggxOperand &operand, int index) : operand(operand) {
        const int across = (operand.width + box_width - 1) / box_width;
        const int down = (operand.height + box_height - 1) / box_height;
        const int row = index / across;
        image = row / down;
        top = (row - image * down) * box_height;
        left = (index - row * across) * box_width;
    }

    __device__ __forceinline__ Row locate(int row, bool windows) const {
        const BoxPosition position = position_in_box(row, windows);
        Row result;
        result.image = image;
        result.y = top + position.y;
        result.x = left + position.x;
        const bool inside = result.y < operand.height && result.x < operand.width;
        result.position = inside ? (image * operand.height + result.y) * operand.width + result.x : -1;
        return result;
    }

    // The box with a border of one pixel: [patch_height][box_width + 2][3].
    template <int Threads, class Element> __device__ __forceinline__ void load(Element *patch) const {
        const int row_elements = operand.width * 3, first = (left - 1) * 3;
        const Element *map = pointer<const Element>(operand.input) + int64_t(image) * operand.height * row_elements;
#pragma unroll
        for (int n = 0; n < (patch_elements + Threads - 1) / Threads; ++n) {
            const int at = n * Threads + int(threadIdx.x);
            const int y = top - 1 + at / patch_row, element = first + at % patch_row;
            const bool inside = y >= 0 && y < operand.height && element >= 0 && element < row_elements;
            const Element value = inside ? map[int64_t(y) * row_elements + element] : Element{};
            if (at < patch_elements) {
                patch[at] = value;
            }
        }
    }

  private:
    const VggxOperand &operand;
    int image, top, left;
};

} // namespace

// Rows hold depth 3 * tap + channel. Tiles of VGGX_ROW_BYTES follow each other, one for float16, two for float32.
template <class Tile>
__device__ __forceinline__ void gather(const VggxOperand &operand, const typename Tile::Element *patch, bool windows, int first_column,
                                       unsigned char *tiles) {
    using Element = typename Tile::Element;
    constexpr int vector = Vector<Element>::count;
#pragma unroll 1
    for (int local = threadIdx.x; local < Tile::rows; local += Tile::threads) {
        const BoxPosition position = position_in_box(local, windows);
        const Element *corner = patch + position.y * patch_row + position.x * 3;
        Element values[VGGX_IMAGE_DEPTH] = {};
#pragma unroll
        for (int depth = 0; depth < 27; ++depth) {
            values[depth] = corner[depth / 9 * patch_row + depth % 9];
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
    static_assert(ImageTile::rows == box_height * box_width);
    constexpr int stages = VGGX_IMAGE_DEPTH / ImageTile::depth;
    // Half of a warp's rows at a time: that leaves registers for three blocks, of which some load while others store.
    constexpr int fragments = 2, rows_at_once = 16 * fragments;
    constexpr unsigned staging_bytes = rows_at_once * 64 * unsigned(sizeof(Element)); // of a warp
    static_assert(patch_elements <= rows_at_once * 64, "the patch lies where a warp stages later");
    const VggxOperand &operand = parameters.operand;
    SharedMemory shared;
    unsigned char *tiles = shared.take<unsigned char>(stages * ImageTile::stage_bytes);
    unsigned char *staging = shared.take<unsigned char>(ImageTile::warps * staging_bytes);
    Row *table = shared.take<Row>(ImageTile::rows);
    const Place<ImageTile> place(operand.outputs);
    const ImageBox box(operand, place.first_row / ImageTile::rows);
    const bool windows = in_windows(parameters);
    Element *patch = reinterpret_cast<Element *>(staging);
    box.load<ImageTile::threads>(patch);
    for (int row = threadIdx.x; row < ImageTile::rows; row += ImageTile::threads) {
        table[row] = box.locate(row, windows);
    }
    __syncthreads();
    gather<ImageTile>(operand, patch, windows, place.first_column, tiles);
    __syncthreads();
    const Staging<Element> staged(staging, threadIdx.x / 32 * staging_bytes);
#pragma unroll 1
    for (int row = place.warp_row; row < place.warp_row + 64; row += rows_at_once) {
        FragmentSums<fragments> sums = {};
#pragma unroll 1
        for (int stage = 0; stage < stages; ++stage) {
            const unsigned char *tile = tiles + stage * ImageTile::stage_bytes;
            multiply_stage<Element>(sums, tile + row * VGGX_ROW_BYTES, tile + ImageTile::rows * VGGX_ROW_BYTES, place.lane);
        }
        ForwardEpilogue<ImageTile, fragments>(parameters, place, table + row, staged).finish(sums);
        __syncwarp(); // what follows is staged in the same place
    }
}

VGGX_KERNEL(convolution_image_f16, VggxConvolutionForward, 128, 3) { convolution_image<float16>(parameters); }
VGGX_KERNEL(convolution_image_bf16, VggxConvolutionForward, 128, 3) { convolution_image<bfloat16>(parameters); }
VGGX_KERNEL(convolution_image_f32, VggxConvolutionForward, 128, 2) { convolution_image<float>(parameters); }
