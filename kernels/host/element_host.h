// Conversions of the elements on the host: float16 by the processor where it can, else by integer arithmetic.
#pragma once

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace vggx_host {

// `value` rounded once, to nearest even, to a format with 1 + `Exponent` + `Mantissa` bits, subnormals included; what is beyond its
// numbers becomes `Beyond`. NaN becomes 0x7fff as on the device.
template <int Exponent, int Mantissa, unsigned Beyond = ((1u << Exponent) - 1) << Mantissa>
inline unsigned short round_to(double value) {
    constexpr int smallest = 2 - (1 << (Exponent - 1)); // exponent of the smallest normal number
    const unsigned long long bits = __builtin_bit_cast(unsigned long long, value);
    const unsigned sign = unsigned(bits >> 63) << (Exponent + Mantissa);
    const int biased = int(bits >> 52 & 0x7ff);
    const unsigned long long fraction = bits & 0xfffffffffffffull;
    if (biased == 0x7ff) {
        return (unsigned short)(fraction ? 0x7fffu : sign | Beyond);
    }
    if (biased == 0) {
        return (unsigned short)sign; // zero, or below 2^-1022: far below half of the smallest subnormal
    }
    const int exponent = biased - 1023;
    // The significand has 52 bits after the point; so many of them are cut off.
    const int shift = 52 - Mantissa + (exponent < smallest ? smallest - exponent : 0);
    if (shift > 54) {
        return (unsigned short)sign;
    }
    const unsigned long long significand = fraction | 1ull << 52;
    const unsigned long long kept = significand >> shift, cut = significand - (kept << shift), half = 1ull << (shift - 1);
    unsigned long long rounded = kept + (cut > half || (cut == half && (kept & 1)));
    // A carry out of the significand raises the exponent by itself, because the fields are adjacent.
    if (exponent >= smallest) {
        rounded += (unsigned long long)(exponent - smallest) << Mantissa;
    }
    return (unsigned short)(sign | (rounded >= Beyond ? Beyond : unsigned(rounded)));
}

} // namespace vggx_host

inline float widen(float16 value) {
#ifdef __F16C__
    return _cvtsh_ss(value.bits);
#else
    const unsigned sign = unsigned(value.bits & 0x8000u) << 16, magnitude = value.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) { // infinity and NaN
        return __builtin_bit_cast(float, sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    }
    // Read as a float the shifted bits are too small by 2^112, exactly, for normal and subnormal numbers.
    return __builtin_bit_cast(float, sign | magnitude << 13) * 0x1p112f;
#endif
}
inline float widen(bfloat16 value) { return __builtin_bit_cast(float, unsigned(value.bits) << 16); }
inline float widen(float value) { return value; }

template <class Element> inline Element narrow(float value);
template <> inline float16 narrow(float value) {
#ifdef __F16C__
    if (value == value) {
        return {(unsigned short)_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)};
    }
#endif
    return {vggx_host::round_to<5, 10>(double(value))};
}
template <> inline bfloat16 narrow(float value) {
    const unsigned bits = __builtin_bit_cast(unsigned, value);
    if (value != value) {
        return {0x7fff};
    }
    return {(unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}
template <> inline float narrow(float value) { return value; }

template <class Element> inline Element narrow(double value);
template <> inline float16 narrow(double value) { return {vggx_host::round_to<5, 10>(value)}; }
template <> inline bfloat16 narrow(double value) { return {vggx_host::round_to<8, 7>(value)}; }
template <> inline float narrow(double value) { return float(value); }
