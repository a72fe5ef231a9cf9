// Forward convolutions and dense layers, fused with bias, ReLU, mask bits and max-pooling.
#include "convolution_forward.cuh"

template <class Tile> __device__ __forceinline__ void convolution_forward(const VggxConvolutionForward &parameters) {
    const VggxOperand &operand = parameters.operand;
    SharedMemory shared;
    unsigned char *ring = shared.take<unsigned char>(ring_bytes<Tile>(operand.stages));
    Row *table = shared.take<Row>(Tile::rows);
    const Place<Tile> place(operand.outputs);
    locate_rows<Tile>(table, operand, place.first_row, in_windows(parameters));
    __syncthreads();
    Sums sums;
    convolve<Tile>(sums, operand, ring, table, place);
    // Warps beyond the last output have nothing to store.
    if (place.group() * 64 < operand.outputs) {
        ForwardEpilogue<Tile>(parameters, place, table, ring).finish(sums);
    }
}

#define VGGX_CONVOLUTION_FORWARD(name, Element, warp_rows, warp_columns, blocks)                                            \
    VGGX_KERNEL(name, VggxConvolutionForward, 32 * warp_rows * warp_columns, blocks) {                                     \
        convolution_forward<Tile<Element, warp_rows, warp_columns>>(parameters);                                           \
    }

VGGX_CONVOLUTION_FORWARD(convolution_forward_f16_256x64, float16, 4, 1, 2)
VGGX_CONVOLUTION_FORWARD(convolution_forward_f16_128x128, float16, 2, 2, 2)
VGGX_CONVOLUTION_FORWARD(convolution_forward_f16_128x256, float16, 2, 4, 1)
VGGX_CONVOLUTION_FORWARD(convolution_forward_bf16_256x64, bfloat16, 4, 1, 2)
VGGX_CONVOLUTION_FORWARD(convolution_forward_bf16_128x128, bfloat16, 2, 2, 2)
VGGX_CONVOLUTION_FORWARD(convolution_forward_bf16_128x256, bfloat16, 2, 4, 1)
VGGX_CONVOLUTION_FORWARD(convolution_forward_f32_256x64, float, 4, 1, 2)
VGGX_CONVOLUTION_FORWARD(convolution_forward_f32_128x128, float, 2, 2, 2)
