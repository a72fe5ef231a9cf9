// float8: e4m3, four bits of exponent and three of fraction. The largest number is 448, normal ones end at 2^-6, subnormal ones at 2^-9;
// there is no infinity. What is larger becomes 448.
#pragma once

#include "octet.cuh"

#ifndef VGGX_HOST
#include <cuda_fp8.h>
#endif

struct float8 {
    unsigned char bits;
};

#ifdef VGGX_HOST

#include "host/float8_host.h"

#else

__device__ __forceinline__ float widen(float8 value) {
    return __half2float(__ushort_as_half(__nv_cvt_fp8_to_halfraw(value.bits, __NV_E4M3).x));
}

template <> __device__ __forceinline__ float8 narrow(float value) { return {__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3)}; }
template <> __device__ __forceinline__ float8 narrow(double value) { return {__nv_cvt_double_to_fp8(value, __NV_SATFINITE, __NV_E4M3)}; }

#endif

template <> struct alignas(8) Octet<float8> {
    float8 values[VGGX_OCTET];
};

// Stored values of a map stay below 2^stored_log2 in magnitude.
template <class Element> constexpr int stored_log2 = VGGX_STORED_LOG2;
template <> constexpr int stored_log2<float8> = 8;
