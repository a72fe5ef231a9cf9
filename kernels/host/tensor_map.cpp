// The rules of cuTensorMapEncodeTiled, as CUDA's driver API states them.
#include "tensor_map.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace vggx_host {

namespace {

// Bytes of an element of a CUtensorMapDataType.
unsigned bytes_of(unsigned type) {
    constexpr unsigned bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
    return type < sizeof bytes / sizeof *bytes ? bytes[type] : 0;
}

template <class... Values> std::string text(const char *format, Values... values) {
    char line[200];
    std::snprintf(line, sizeof line, format, values...);
    return line;
}

} // namespace

std::string encode(const TensorMapRequest &request, void *map) {
    TensorMap result = {};
    result.magic = tensor_map_magic;
    result.address = std::uint64_t(reinterpret_cast<std::uintptr_t>(request.address));
    result.rank = std::uint8_t(request.rank);
    result.element_bytes = std::uint8_t(bytes_of(request.type));
    if (reinterpret_cast<std::uintptr_t>(map) % 64 != 0) {
        return "a tensor map that is not aligned to 64 bytes";
    }
    if (request.rank < 1 || request.rank > 5 || result.element_bytes == 0) {
        return text("a tensor of %u dimensions of type %u", request.rank, request.type);
    }
    if (result.address == 0 || result.address % 16 != 0) {
        return text("a tensor at 0x%llx, which is not a multiple of 16", (unsigned long long)result.address);
    }
    if (request.interleave != 0 || request.fill != 0 || request.swizzle > 3 || request.promotion > 3) {
        return "interleaved tensors, other fillings and swizzles are unknown to host execution";
    }
    result.swizzle = std::uint8_t(request.swizzle == 0 ? 0 : 16u << request.swizzle);
    for (unsigned i = 0; i < request.rank; i++) {
        if (request.extents[i] == 0 || request.extents[i] > 1ull << 32) {
            return text("an extent of %llu", (unsigned long long)request.extents[i]);
        }
        if (request.box[i] == 0 || request.box[i] > 256) {
            return text("a box of %u along dimension %u; 1 to 256 are allowed", request.box[i], i);
        }
        if (request.element_strides[i] != 1) {
            return text("a stride of %u elements along dimension %u, unknown to host execution", request.element_strides[i], i);
        }
        result.extents[i] = request.extents[i];
        result.box[i] = std::uint16_t(request.box[i]);
    }
    for (unsigned i = 0; i + 1 < request.rank; i++) {
        if (request.strides[i] % 16 != 0 || request.strides[i] >= 1ull << 40) {
            return text("a stride of %llu bytes, which is not a multiple of 16 below 2^40", (unsigned long long)request.strides[i]);
        }
        result.strides[i] = request.strides[i];
    }
    const unsigned inner = result.box[0] * result.element_bytes;
    if (inner % 16 != 0) {
        return text("a box whose rows have %u bytes, which is not a multiple of 16", inner);
    }
    if (result.swizzle != 0 && inner > result.swizzle) {
        return text("a box whose rows have %u bytes, more than the %u of the swizzle", inner, unsigned(result.swizzle));
    }
    std::memcpy(map, &result, sizeof result);
    return "";
}

BoxRow row_of_box(const TensorMap &map, const int *coordinates, unsigned number) {
    std::uint64_t address = map.address;
    bool inside = true;
    for (unsigned i = 1, rest = number; i < map.rank; rest /= map.box[i], i++) {
        const std::int64_t at = std::int64_t(coordinates[i]) + rest % map.box[i];
        inside = inside && at >= 0 && std::uint64_t(at) < map.extents[i];
        address += std::uint64_t(at) * map.strides[i - 1];
    }
    const std::int64_t first = coordinates[0];
    const std::int64_t begin = std::max<std::int64_t>(first, 0);
    const std::int64_t end = std::min<std::int64_t>(first + map.box[0], std::int64_t(map.extents[0]));
    if (!inside || begin >= end) {
        return {map.address, 0, 0};
    }
    const unsigned bytes = map.element_bytes;
    return {address + std::uint64_t(begin) * bytes, unsigned(begin - first) * bytes, unsigned(end - first) * bytes};
}

} // namespace vggx_host
