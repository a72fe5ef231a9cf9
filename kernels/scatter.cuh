// Unpooling of signals on their way from staging to the map under a pool.
#pragma once

#include "bits.cuh"
#include "staging.cuh"

// Stores one vector of a window's signals: every value goes to its window's argmax; the other three positions of the window, and an
// odd last row or column, which no window covers, get zeros.
template <class Element>
__device__ __forceinline__ void scatter_window(const VggxBelow &below, const VggxOperand &operand, const Row &window, int group, int chunk,
                                               const Vector<Element> &vector) {
    const int height = below.unpooled_height, width = below.unpooled_width;
    const ArgmaxWords argmax =
        pointer<const ArgmaxWords>(below.argmax)[word_index(window.position, operand.outputs, group, 0) / 4];
    // The window reaches a row or a column further at an odd border.
    const int last_row = height % 2 == 1 && window.y == operand.height - 1 ? 2 : 1;
    const int last_column = width % 2 == 1 && window.x == operand.width - 1 ? 2 : 1;
    const int corner = (window.image * height + 2 * window.y) * width + 2 * window.x;
    for (int dy = 0; dy <= last_row; ++dy) {
        for (int dx = 0; dx <= last_column; ++dx) {
            Vector<Element> selected;
#pragma unroll
            for (int k = 0; k < Vector<Element>::count; ++k) {
                const int channel = chunk * Vector<Element>::count + k;
                const int source = argmax_of(word_of(argmax, channel % 8 / 2), channel / 8, channel % 2);
                const bool here = dy < 2 && dx < 2 && source == 2 * dy + dx;
                selected.values[k] = here ? vector.values[k] : Element{};
            }
            Staging<Element>::at(below.output, corner + dy * width + dx, operand.outputs, group, chunk) = selected;
        }
    }
}
