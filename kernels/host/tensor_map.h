// What cuTensorMapEncodeTiled writes here: a tensor in global memory, and the box of it that is copied at a time.
#pragma once

#include <cstdint>
#include <string>

namespace vggx_host {

constexpr std::uint64_t tensor_map_magic = 0x70616d2d78676776; // "vggx-map"

// In the 128 bytes of the driver's structure. Dimensions from the innermost one on.
struct TensorMap {
    std::uint64_t magic;
    std::uint64_t address;
    std::uint64_t extents[5];
    std::uint64_t strides[4]; // bytes; of dimension i + 1
    std::uint16_t box[5];
    std::uint8_t rank;
    std::uint8_t element_bytes;
    std::uint8_t swizzle; // bytes of a row of the pattern: 0, 32, 64, 128
    std::uint8_t reserved[23];

    unsigned row_bytes() const { return unsigned(box[0]) * element_bytes; }
    unsigned box_bytes() const {
        unsigned bytes = element_bytes;
        for (unsigned i = 0; i < rank; i++) {
            bytes *= box[i];
        }
        return bytes;
    }
};
static_assert(sizeof(TensorMap) == 128);

// What a driver is given.
struct TensorMapRequest {
    unsigned type; // CUtensorMapDataType
    unsigned rank;
    const void *address;
    const std::uint64_t *extents;
    const std::uint64_t *strides;
    const std::uint32_t *box;
    const std::uint32_t *element_strides;
    unsigned interleave, swizzle, promotion, fill;
};

// Why a driver refuses it; nothing: it is encoded in `map`.
std::string encode(const TensorMapRequest &request, void *map);

// A row of a box: its bytes `begin` to `end` are those of the tensor from `address` on, others lie outside; begin = end where all do.
struct BoxRow {
    std::uint64_t address;
    unsigned begin, end;
};

// Row `number` of the box at these coordinates.
BoxRow row_of_box(const TensorMap &map, const int *coordinates, unsigned number);

// Where a byte of a box lies in shared memory: 16-byte chunks change places within `swizzle` bytes by the row of the pattern.
inline unsigned swizzled_address(unsigned address, unsigned swizzle) {
    const unsigned rows = swizzle / 16;
    return rows ? address ^ ((address >> 7 & (rows - 1)) << 4) : address;
}

} // namespace vggx_host
