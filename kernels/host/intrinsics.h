// CUDA's built-in types and functions of one thread, as far as the kernels use them.
#pragma once

#include <type_traits>

template <class To, class From> inline To vggx_host_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    return __builtin_bit_cast(To, value);
}

inline unsigned __float_as_uint(float value) { return vggx_host_bits<unsigned>(value); }
inline int __float_as_int(float value) { return vggx_host_bits<int>(value); }
inline float __uint_as_float(unsigned bits) { return vggx_host_bits<float>(bits); }
inline float __int_as_float(int bits) { return vggx_host_bits<float>(bits); }
inline long long __double_as_longlong(double value) { return vggx_host_bits<long long>(value); }
inline double __longlong_as_double(long long bits) { return vggx_host_bits<double>(bits); }

// Overloads instead of a template, so that mixed arguments are as ambiguous, or as converted, as in CUDA.
#define VGGX_HOST_EXTREMES(Value)                                                                                         \
    inline Value min(Value a, Value b) { return b < a ? b : a; }                                                          \
    inline Value max(Value a, Value b) { return a < b ? b : a; }
VGGX_HOST_EXTREMES(int)
VGGX_HOST_EXTREMES(unsigned)
VGGX_HOST_EXTREMES(long)
VGGX_HOST_EXTREMES(unsigned long)
VGGX_HOST_EXTREMES(long long)
VGGX_HOST_EXTREMES(unsigned long long)
#undef VGGX_HOST_EXTREMES
inline unsigned min(int a, unsigned b) { return min(unsigned(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, unsigned(b)); }
inline unsigned max(int a, unsigned b) { return max(unsigned(a), b); }
inline unsigned max(unsigned a, int b) { return max(a, unsigned(b)); }
// As fminf and fmaxf: a NaN gives way.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __clz(int value) { return value ? __builtin_clz(unsigned(value)) : 32; }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float __double2float_rn(double value) { return float(value); }
inline float __fdividef(float a, float b) { return a / b; }

template <class Value> inline Value __ldg(const Value *address) { return *address; }
template <class Value> inline Value __ldcg(const Value *address) { return *address; }
template <class Value> inline Value __ldcs(const Value *address) { return *address; }
template <class Value> inline void __stcg(Value *address, Value value) { *address = value; }
template <class Value> inline void __stcs(Value *address, Value value) { *address = value; }

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct uchar3 {
    unsigned char x, y, z;
};
struct alignas(4) uchar4 {
    unsigned char x, y, z, w;
};
struct alignas(4) ushort2 {
    unsigned short x, y;
};
struct alignas(8) ushort4 {
    unsigned short x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
