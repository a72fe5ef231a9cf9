// The types that maps and operators are stored in, and their conversions. Arithmetic is always in float32.
#pragma once

#include "kernel.cuh"

#ifndef VGGX_HOST
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

struct float16 {
    unsigned short bits;
};

struct bfloat16 {
    unsigned short bits;
};

#ifdef VGGX_HOST

#include "host/element_host.h" // widen and narrow by the C++ compiler's own _Float16, and by integer arithmetic

#else

__device__ __forceinline__ float widen(float16 value) { return __half2float(__ushort_as_half(value.bits)); }
__device__ __forceinline__ float widen(bfloat16 value) { return __uint_as_float(unsigned(value.bits) << 16); }
__device__ __forceinline__ float widen(float value) { return value; }

template <class Element> __device__ __forceinline__ Element narrow(float value);
template <> __device__ __forceinline__ float16 narrow(float value) { return {__half_as_ushort(__float2half_rn(value))}; }
template <> __device__ __forceinline__ bfloat16 narrow(float value) {
    return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
}
template <> __device__ __forceinline__ float narrow(float value) { return value; }

// Rounded once from double.
template <class Element> __device__ __forceinline__ Element narrow(double value);
template <> __device__ __forceinline__ float16 narrow(double value) { return {__half_as_ushort(__double2half(value))}; }
template <> __device__ __forceinline__ bfloat16 narrow(double value) {
    return {__bfloat16_as_ushort(__double2bfloat16(value))};
}
template <> __device__ __forceinline__ float narrow(double value) { return float(value); }

#endif

// z as an element that is positive where z is.
template <class Element> __device__ __forceinline__ Element narrow_with_sign(float z) {
    const Element rounded = narrow<Element>(z);
    if constexpr (sizeof(Element) == 2) {
        return z > 0.0f && rounded.bits == 0 ? Element{1} : rounded;
    } else {
        return rounded;
    }
}

// Two 16-bit elements in a register as instructions take them, the first one low.
template <class Element> __device__ __forceinline__ unsigned narrow_pair(float first, float second);
#ifdef VGGX_HOST
template <class Element> inline unsigned narrow_pair(float first, float second) {
    return unsigned(narrow<Element>(second).bits) << 16 | narrow<Element>(first).bits;
}
#else
// One conversion.
template <> __device__ __forceinline__ unsigned narrow_pair<float16>(float first, float second) {
    const __half2 pair = __floats2half2_rn(first, second);
    return unsigned(__half_as_ushort(__high2half(pair))) << 16 | __half_as_ushort(__low2half(pair));
}
template <> __device__ __forceinline__ unsigned narrow_pair<bfloat16>(float first, float second) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    return unsigned(__bfloat16_as_ushort(__high2bfloat16(pair))) << 16 | __bfloat16_as_ushort(__low2bfloat16(pair));
}
#endif

// Its two elements.
template <class Element> __device__ __forceinline__ float widen_low(unsigned pair) {
    return widen(Element{(unsigned short)(pair & 0xffffu)});
}
template <class Element> __device__ __forceinline__ float widen_high(unsigned pair) {
    return widen(Element{(unsigned short)(pair >> 16)});
}

// 16 bytes: what one thread loads or stores at a time.
template <class Element> struct alignas(16) Vector {
    static constexpr int count = 16 / int(sizeof(Element));
    Element values[count];
};
