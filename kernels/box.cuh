// Tiles of positions as boxes of maps (VggxBoxes), and which position of the map each row of a tile is. `Maps` is what has the extents
// of maps: images, height and width.
#pragma once

#include "ptx_hopper.cuh"
#include "tile.cuh"

// Of a tile that a warpgroup multiplies as two halves of 64 rows.
constexpr int box_positions = 128;

// The tiles of a layer.
struct Boxes {
    int width_log2, height_log2, images_log2;
    bool images_between;
    int columns, rows; // tiles along x and y
    int tiles;         // all

    template <class Parameters, class Maps>
    __device__ __forceinline__ Boxes(const Parameters &boxes, const Maps &maps)
        : width_log2(boxes.tile_width_log2), height_log2(boxes.tile_height_log2), images_log2(boxes.tile_images_log2),
          images_between(boxes.images_between != 0), columns(above(maps.width, width_log2)), rows(above(maps.height, height_log2)),
          tiles(columns * rows * above(maps.images, images_log2)) {}

    // Bytes of 64 channels of a tile's box with two rows of the map more.
    __device__ __forceinline__ unsigned bytes() const { return ((1u << height_log2) + 2u) * (128u << (width_log2 + images_log2)); }

    // From a position to the one below it in such a box; a multiple of 1024 bytes.
    __device__ __forceinline__ unsigned step_bytes() const { return 128u << (width_log2 + (images_between ? images_log2 : 0)); }

    // From row 0 of a tile to row 64 in such a box. Where that begins a second image, it lies behind the two rows that the first has more.
    __device__ __forceinline__ unsigned half_bytes() const {
        const bool second_image = !images_between && images_log2 == 1;
        return 64u * 128u + (second_image ? 2u * step_bytes() : 0u);
    }

    // Starts copying a box of a map, 64 channels from `channel` on, that begins at this place. One thread calls it.
    __device__ __forceinline__ void copy(unsigned address, const VggxTensorMap &map, uint64_t *barrier, int channel, int x, int y,
                                         int image) const {
        if (images_between) {
            tma_load_4d(address, map, barrier, channel, x, image, y);
        } else {
            tma_load_4d(address, map, barrier, channel, x, y, image);
        }
    }

  private:
    // ceil(extent / 2^log2)
    __device__ __forceinline__ static int above(int extent, int log2) { return (extent + (1 << log2) - 1) >> log2; }
};

// Where a tile begins. Tiles beyond the last one lie beyond the last image.
struct BoxPlace {
    int x, y, image;

    __device__ __forceinline__ BoxPlace(const Boxes &boxes, int tile) {
        const int of_images = boxes.columns * boxes.rows, images = tile / of_images, within = tile - images * of_images;
        const int row = within / boxes.columns;
        x = (within - row * boxes.columns) << boxes.width_log2;
        y = row << boxes.height_log2;
        image = images << boxes.images_log2;
    }
};

// Row `row` of a tile.
template <class Maps>
__device__ __forceinline__ Row locate_in_box(const Boxes &boxes, const BoxPlace &place, const Maps &maps, int row) {
    const int middle_log2 = boxes.images_between ? boxes.images_log2 : boxes.height_log2;
    const int middle = row >> boxes.width_log2 & ((1 << middle_log2) - 1), outer = row >> (boxes.width_log2 + middle_log2);
    Row result;
    result.x = place.x + (row & ((1 << boxes.width_log2) - 1));
    result.y = place.y + (boxes.images_between ? outer : middle);
    result.image = place.image + (boxes.images_between ? middle : outer);
    const bool inside = result.x < maps.width && result.y < maps.height && result.image < maps.images;
    result.image = min(result.image, maps.images - 1);
    result.position = inside ? (result.image * maps.height + result.y) * maps.width + result.x : -1;
    return result;
}
