// Forward convolutions by warpgroups with the operator in shared memory, fused with bias, ReLU, mask bits and max-pooling.
#include "hopper_resident.cuh"
#include "transposed_forward.cuh"

template <class Element> __device__ __forceinline__ void resident_forward(const VggxHopperForward &parameters) {
    HopperResident<TransposedTile<Element>> convolution(parameters.boxes, parameters.layer.operand);
    convolution.run([&](const TransposedSums &sums, const BoxPlace &place, int first_column, unsigned char *memory,
                        WarpgroupBarrier &barrier) {
        TransposedForwardEpilogue<Element>(parameters.layer, place, first_column, memory, barrier).finish(sums);
    });
}

#define VGGX_RESIDENT_FORWARD(name, Element)                                                                                \
    VGGX_KERNEL(name, VggxHopperForward, VGGX_HOPPER_THREADS, 1) { resident_forward<Element>(parameters); }

VGGX_RESIDENT_FORWARD(hopper_resident_forward_f16_256x64, float16)
VGGX_RESIDENT_FORWARD(hopper_resident_forward_bf16_256x64, bfloat16)
