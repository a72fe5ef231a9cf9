// A warp's 16 rows of one half of a tile at the end of a convolution of warpgroups: where they lie, and what leaves through staging.
#pragma once

#include "bits.cuh"
#include "box.cuh"
#include "largest.cuh"
#include "ptx_hopper.cuh"
#include "staging.cuh"

constexpr int box_warp_rows = 16;

class BoxRows {
  public:
    // Rows 64 * half + 16 * (warp % 4) and the next 15.
    __device__ __forceinline__ BoxRows(const Boxes &boxes, const BoxPlace &place, const VggxOperand &operand, int half, int warp)
        : boxes(boxes), place(place), operand(operand), first(64 * half + warp % 4 * box_warp_rows) {}

    // Starts copying the rows of a group of 64 channels from staging at `source` to their places in a map: one lane.
    __device__ __forceinline__ void store(const VggxTensorMap &map, unsigned source, int group) const {
        const int middle_log2 = boxes.images_between ? boxes.images_log2 : boxes.height_log2;
        const int x = place.x + (first & ((1 << boxes.width_log2) - 1));
        const int middle = first >> boxes.width_log2 & ((1 << middle_log2) - 1), outer = first >> (boxes.width_log2 + middle_log2);
        const int third = (boxes.images_between ? place.image : place.y) + middle;
        const int fourth = (boxes.images_between ? place.y : place.image) + outer;
        tma_store_4d(map, source, 64 * group, x, third, fourth);
    }

    __device__ __forceinline__ Row at(int row) const { return locate_in_box(boxes, place, operand, first + row); }

    // The row of place `in_window` (2 * dy + dx) of 2x2 window `window` (0..3), where tiles are 8 positions wide and images outermost: the
    // 16 rows are two of the map then.
    __device__ __forceinline__ static int of_window(int window, int in_window) {
        return in_window / 2 * 8 + 2 * window + in_window % 2;
    }

    // Raises `largest` by what lanes hold for images of these rows.
    template <int Count>
    __device__ __forceinline__ void raise(vggx_address largest, const unsigned (&bits)[Count], const int (&images)[Count]) const {
        raise_images(largest, at(0).image, at(box_warp_rows - 1).image, bits, images);
    }

  private:
    const Boxes &boxes;
    const BoxPlace &place;
    const VggxOperand &operand;
    const int first;
};
