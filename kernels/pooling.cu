// Adaptive average pooling, forward and backward, and the unpooling of a map that is there already.
#include "below.cuh"
#include "reduce.cuh"

// The positions that cell `index` of `cells` averages, as torch chooses them: floor(i n / s) up to ceil((i + 1) n / s).
// With the roles of cells and positions exchanged it gives the cells that a position belongs to.
struct Window {
    int begin;
    int end;
};

__device__ __forceinline__ Window window_of(int index, int cells, int extent) {
    return {int(int64_t(index) * extent / cells), int((int64_t(index + 1) * extent + cells - 1) / cells)};
}

template <class Element> __device__ __forceinline__ void average_pool(const VggxAveragePool &parameters) {
    const int side = parameters.side;
    const int channels = parameters.channels;
    OctetPlace cell;
    if (!octet_of_thread(side, side, channels, cell)) {
        return;
    }
    const Octet<Element> *input = pointer<const Octet<Element>>(parameters.input);
    const Window rows = window_of(cell.y, side, parameters.height);
    const Window columns = window_of(cell.x, side, parameters.width);
    float sums[VGGX_OCTET] = {};
    for (int y = rows.begin; y < rows.end; ++y) {
        for (int x = columns.begin; x < columns.end; ++x) {
            const OctetPlace place = {cell.image, y, x, cell.octet};
            const Octet<Element> octet = input[place.index(parameters.height, parameters.width, channels)];
#pragma unroll
            for (int k = 0; k < VGGX_OCTET; ++k) {
                sums[k] += widen(octet.values[k]);
            }
        }
    }
    const float positions = float((rows.end - rows.begin) * (columns.end - columns.begin));
    Octet<Element> averages;
#pragma unroll
    for (int k = 0; k < VGGX_OCTET; ++k) {
        averages.values[k] = narrow<Element>(sums[k] / positions);
    }
    pointer<Octet<Element>>(parameters.output)[cell.index(side, side, channels)] = averages;
}

template <class Element> __device__ __forceinline__ void average_pool_backward(const VggxAveragePool &parameters) {
    const int side = parameters.side;
    const int height = parameters.height;
    const int width = parameters.width;
    const int channels = parameters.channels;
    const int image = int(blockIdx.y);
    const Rescale scale = rescale(pointer<const unsigned>(parameters.input_scale.largest)[image],
                                  pointer<const int>(parameters.input_scale.exponent)[image], parameters.bound, 0, 0.0f);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        pointer<int>(parameters.below.output_scale.exponent)[image] = scale.exponent;
    }
    unsigned largest = 0;
    OctetPlace place;
    if (octet_of_thread(height, width, channels, place)) {
        const Octet<Element> *input = pointer<const Octet<Element>>(parameters.input);
        const Window cell_rows = window_of(place.y, height, side);
        const Window cell_columns = window_of(place.x, width, side);
        float sums[VGGX_OCTET] = {};
        for (int y = cell_rows.begin; y < cell_rows.end; ++y) {
            const Window rows = window_of(y, side, height);
            for (int x = cell_columns.begin; x < cell_columns.end; ++x) {
                const Window columns = window_of(x, side, width);
                const float share = 1.0f / float((rows.end - rows.begin) * (columns.end - columns.begin));
                const OctetPlace cell = {image, y, x, place.octet};
                const Octet<Element> octet = input[cell.index(side, side, channels)];
#pragma unroll
                for (int k = 0; k < VGGX_OCTET; ++k) {
                    sums[k] += widen(octet.values[k]) * share;
                }
            }
        }
#pragma unroll
        for (int k = 0; k < VGGX_OCTET; ++k) {
            sums[k] *= scale.sum_factor;
        }
        largest = store_below<Element>(parameters.below, place, height, width, channels, sums);
    }
    raise_largest(pointer<unsigned>(parameters.below.output_scale.largest) + image, largest);
}

template <class Element> __device__ __forceinline__ void unpool(const VggxUnpool &parameters) {
    const int image = int(blockIdx.y);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        pointer<unsigned>(parameters.below.output_scale.largest)[image] =
            pointer<const unsigned>(parameters.input_scale.largest)[image];
        pointer<int>(parameters.below.output_scale.exponent)[image] =
            pointer<const int>(parameters.input_scale.exponent)[image];
    }
    OctetPlace place;
    if (!octet_of_thread(parameters.height, parameters.width, parameters.channels, place)) {
        return;
    }
    const Octet<Element> octet =
        pointer<const Octet<Element>>(parameters.input)[place.index(parameters.height, parameters.width, parameters.channels)];
    float signals[VGGX_OCTET];
#pragma unroll
    for (int k = 0; k < VGGX_OCTET; ++k) {
        signals[k] = widen(octet.values[k]);
    }
    store_below<Element>(parameters.below, place, parameters.height, parameters.width, parameters.channels, signals);
}

VGGX_KERNEL(average_pool_f16, VggxAveragePool, 256, 4) { average_pool<float16>(parameters); }
VGGX_KERNEL(average_pool_bf16, VggxAveragePool, 256, 4) { average_pool<bfloat16>(parameters); }
VGGX_KERNEL(average_pool_f32, VggxAveragePool, 256, 4) { average_pool<float>(parameters); }

VGGX_KERNEL(average_pool_backward_f16, VggxAveragePool, 256, 4) { average_pool_backward<float16>(parameters); }
VGGX_KERNEL(average_pool_backward_bf16, VggxAveragePool, 256, 4) { average_pool_backward<bfloat16>(parameters); }
VGGX_KERNEL(average_pool_backward_f32, VggxAveragePool, 256, 4) { average_pool_backward<float>(parameters); }

VGGX_KERNEL(unpool_f16, VggxUnpool, 256, 4) { unpool<float16>(parameters); }
VGGX_KERNEL(unpool_bf16, VggxUnpool, 256, 4) { unpool<bfloat16>(parameters); }
VGGX_KERNEL(unpool_f32, VggxUnpool, 256, 4) { unpool<float>(parameters); }
