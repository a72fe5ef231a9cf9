// Conversions of float8 (e4m3) on the host.
#pragma once

#include "element_host.h"

inline float widen(float8 value) {
    const unsigned sign = unsigned(value.bits & 0x80u) << 24, magnitude = value.bits & 0x7fu;
    if (magnitude == 0x7fu) { // NaN
        return __builtin_bit_cast(float, sign | 0x7fc00000u);
    }
    // Read as a float the shifted bits are too small by 2^120, exactly, for normal and subnormal numbers.
    return __builtin_bit_cast(float, sign | magnitude << 20) * 0x1p120f;
}

template <> inline float8 narrow(double value) {
    constexpr unsigned largest = 0x7e;
    return {(unsigned char)(value != value ? 0x7fu : vggx_host::round_to<4, 3, largest>(value))};
}
template <> inline float8 narrow(float value) { return narrow<float8>(double(value)); }
