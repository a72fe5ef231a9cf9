// Forward convolutions by warpgroups, fused with bias, ReLU, mask bits and max-pooling: what convolution_forward.cu does, for
// compute capability 9.0.
#include "hopper_convolution.cuh"
#include "hopper_forward.cuh"

template <class Tile> __device__ __forceinline__ void hopper_forward(const VggxHopperForward &parameters) {
    const VggxConvolutionForward &layer = parameters.layer;
    HopperConvolution<Tile> convolution(parameters.boxes, layer.operand);
    convolution.run([&](const BoxSums<Tile> &sums, const BoxPlace &place, int first_column, int warp, unsigned char *memory) {
        HopperForwardEpilogue<Tile> epilogue(parameters, first_column, memory);
        epilogue.template finish<0>(sums, BoxRows(convolution.boxes, place, layer.operand, 0, warp));
        epilogue.template finish<1>(sums, BoxRows(convolution.boxes, place, layer.operand, 1, warp));
    });
}

// Alone, and by clusters of two blocks.
#define VGGX_HOPPER_FORWARD(name, Element, columns)                                                                         \
    VGGX_KERNEL(name, VggxHopperForward, VGGX_HOPPER_THREADS, 1) { hopper_forward<HopperTile<Element, columns>>(parameters); }   \
    VGGX_CLUSTER_KERNEL(name##_cluster, VggxHopperForward, VGGX_HOPPER_THREADS, 1, 2) {                                         \
        hopper_forward<HopperTile<Element, columns, 2>>(parameters);                                                           \
    }

VGGX_HOPPER_FORWARD(hopper_forward_f16_256x64, float16, 64)
VGGX_HOPPER_FORWARD(hopper_forward_f16_256x128, float16, 128)
VGGX_HOPPER_FORWARD(hopper_forward_bf16_256x64, bfloat16, 64)
VGGX_HOPPER_FORWARD(hopper_forward_bf16_256x128, bfloat16, 128)
