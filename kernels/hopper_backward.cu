// Backward convolutions by warpgroups, fused with the gates of the ReLU below and with unpooling: what convolution_backward.cu
// does, for compute capability 9.0.
#include "hopper_backward.cuh"
#include "hopper_convolution.cuh"

template <class Tile, class Stored> __device__ __forceinline__ void hopper_backward(const VggxHopperBackward &parameters) {
    const VggxConvolutionBackward &layer = parameters.layer;
    HopperConvolution<Tile> convolution(parameters.boxes, layer.operand);
    convolution.run([&](const BoxSums<Tile> &sums, const BoxPlace &place, int first_column, int warp, unsigned char *memory) {
        HopperBackwardEpilogue<Tile, Stored> epilogue(parameters, first_column, memory);
        epilogue.template finish<0>(sums, BoxRows(convolution.boxes, place, layer.operand, 0, warp));
        epilogue.template finish<1>(sums, BoxRows(convolution.boxes, place, layer.operand, 1, warp));
    });
}

// Alone, and by clusters of two blocks.
#define VGGX_HOPPER_BACKWARD(name, Element, Stored, columns)                                                                \
    VGGX_KERNEL(name, VggxHopperBackward, VGGX_HOPPER_THREADS, 1) { hopper_backward<HopperTile<Element, columns>, Stored>(parameters); } \
    VGGX_CLUSTER_KERNEL(name##_cluster, VggxHopperBackward, VGGX_HOPPER_THREADS, 1, 2) {                                        \
        hopper_backward<HopperTile<Element, columns, 2>, Stored>(parameters);                                                  \
    }

VGGX_HOPPER_BACKWARD(hopper_backward_f16_256x64, float16, float16, 64)
VGGX_HOPPER_BACKWARD(hopper_backward_f16_256x128, float16, float16, 128)
VGGX_HOPPER_BACKWARD(hopper_backward_bf16_256x64, bfloat16, bfloat16, 64)
VGGX_HOPPER_BACKWARD(hopper_backward_bf16_256x128, bfloat16, bfloat16, 128)

// Signals in float8 on the way in, on the way out, or both.
VGGX_HOPPER_BACKWARD(hopper_backward_f16_to_f8_256x128, float16, float8, 128)
VGGX_HOPPER_BACKWARD(hopper_backward_f8_256x128, float8, float8, 128)
VGGX_HOPPER_BACKWARD(hopper_backward_f8_to_f16_256x64, float8, float16, 64)
VGGX_HOPPER_BACKWARD(hopper_backward_f8_to_f16_256x128, float8, float16, 128)
