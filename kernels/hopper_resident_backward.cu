// Backward convolutions by warpgroups with the operator in shared memory, fused with the gates of the ReLU below and with unpooling.
#include "hopper_resident.cuh"
#include "transposed_backward.cuh"

template <class Element> __device__ __forceinline__ void resident_backward(const VggxHopperBackward &parameters) {
    HopperResident<TransposedTile<Element>> convolution(parameters.boxes, parameters.layer.operand);
    convolution.run([&](const TransposedSums &sums, const BoxPlace &place, int first_column, unsigned char *, WarpgroupBarrier &) {
        TransposedBackwardEpilogue<Element>(parameters.layer, place, first_column).finish(sums);
    });
}

#define VGGX_RESIDENT_BACKWARD(name, Element)                                                                               \
    VGGX_KERNEL(name, VggxHopperBackward, VGGX_HOPPER_THREADS, 1) { resident_backward<Element>(parameters); }

VGGX_RESIDENT_BACKWARD(hopper_resident_backward_f16_256x64, float16)
VGGX_RESIDENT_BACKWARD(hopper_resident_backward_bf16_256x64, bfloat16)
