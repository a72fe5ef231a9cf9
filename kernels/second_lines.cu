// Second moments: sums of x along the border of the maps, pilots, and the lines that products are taken of.
#include "second_lags.cuh"

// A map's rows (or columns) are told apart as far as lags do: the first two, the last two, and those between.
__device__ __forceinline__ int kinds(int extent) { return min(extent, 5); }

// The first row of a kind, and how many it has.
__device__ __forceinline__ int kind_begin(int kind, int extent) { return kind < 3 ? kind : extent - (kinds(extent) - kind); }
__device__ __forceinline__ int kind_count(int kind, int extent) { return kind == 2 && extent > 4 ? extent - 4 : 1; }

template <class Element> __device__ __forceinline__ void second_borders(const VggxSecondRegions &parameters) {
    const VggxSecondMaps &maps = parameters.maps;
    SharedMemory shared;
    double *sums = shared.take<double>(256);
    const int rows = int(blockIdx.y) / 5, columns = int(blockIdx.y) % 5;
    const bool inner = maps.height > 4 && maps.width > 4 && rows == 2 && columns == 2;
    const int lane = threadIdx.x % 64;
    const int channel = int(blockIdx.x) * 64 + lane;
    double sum = 0.0;
    if (rows < kinds(maps.height) && columns < kinds(maps.width) && !inner && channel < maps.channels) {
        const int height = kind_count(rows, maps.height), width = kind_count(columns, maps.width);
        const int first = int(blockIdx.z) * parameters.slice_images;
        const int last = min(first + parameters.slice_images, maps.images);
        for (int image = first; image < last; ++image) {
            const float factor = pointer<const float>(maps.factors)[image];
            if (factor == 0.0f) {
                continue;
            }
            double of_image = 0.0;
            for (int n = int(threadIdx.x) / 64; n < height * width; n += 4) {
                const int y = kind_begin(rows, maps.height) + n / width;
                const int x = kind_begin(columns, maps.width) + n % width;
                const int64_t position = (int64_t(image) * maps.height + y) * maps.width + x;
                of_image += double(widen(pointer<const Element>(maps.input)[position * maps.channels + channel]));
            }
            sum += of_image * double(factor);
        }
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < 64 && channel < maps.channels) {
        const double all = (sums[lane] + sums[64 + lane]) + (sums[128 + lane] + sums[192 + lane]);
        const int64_t row = int64_t(blockIdx.z) * VGGX_SECOND_KINDS + blockIdx.y;
        pointer<double>(parameters.partials)[row * maps.channels + channel] = all;
    }
}

// Positions of a plane's view that are left without the given number of first and last rows and columns.
struct Region {
    int top, bottom, left, right;
};

// Rows and columns of the map that do not belong to a plane's view.
__device__ __forceinline__ Region view_of_plane(int plane, int height, int width) {
    const int strip = plane < VGGX_SECOND_LAGS ? -1 : (plane - VGGX_SECOND_LAGS) / 3; // 0 to 3: first and last row and column
    const int corner = plane - (VGGX_SECOND_LAGS + 12);                               // 0 to 3, once it is not negative
    const bool first_row = corner < 0 ? strip == 0 : corner < 2, last_row = corner < 0 ? strip == 1 : corner >= 2;
    const bool first_column = corner < 0 ? strip == 2 : corner % 2 == 0, last_column = corner < 0 ? strip == 3 : corner % 2 == 1;
    return {last_row ? height - 1 : 0, first_row ? height - 1 : 0, last_column ? width - 1 : 0, first_column ? width - 1 : 0};
}

// The lag of a plane on the map.
__device__ __forceinline__ Lag lag_of_plane(int plane) {
    Lag lag(plane < VGGX_SECOND_LAGS ? plane : 0);
    if (plane >= VGGX_SECOND_LAGS && plane < VGGX_SECOND_LAGS + 12) {
        const int along = (plane - VGGX_SECOND_LAGS) % 3;
        const bool down = plane >= VGGX_SECOND_LAGS + 6;
        lag.dy = down ? along : 0;
        lag.dx = down ? 0 : along;
    }
    return lag;
}

// Sums of one channel over kinds, and over all of the map last.
struct KindSums {
    const double *sums; // [VGGX_SECOND_KINDS + 1, 64], of this channel
    int height, width;

    __device__ __forceinline__ double operator()(Region region) const {
        if (region.top + region.bottom >= height || region.left + region.right >= width) {
            return 0.0;
        }
        // Where the inner positions belong to it, what does not is taken off the whole.
        const bool inner = height > 4 && width > 4 && inside(2, 2, region);
        double sum = 0.0;
        for (int kind = 0; kind < VGGX_SECOND_KINDS; ++kind) {
            const int row = kind / 5, column = kind % 5;
            if (row < kinds(height) && column < kinds(width) && inside(row, column, region) != inner) {
                sum += sums[kind * 64];
            }
        }
        return inner ? sums[VGGX_SECOND_KINDS * 64] - sum : sum;
    }

    __device__ __forceinline__ bool inside(int row, int column, Region region) const {
        const int y = kind_begin(row, height), x = kind_begin(column, width);
        return y >= region.top && y < height - region.bottom && x >= region.left && x < width - region.right;
    }
};

// To so many significant bits.
__device__ __forceinline__ float rounded(float value, int bits) {
    const unsigned dropped = 24u - unsigned(bits);
    const unsigned unit = 1u << dropped;
    return __uint_as_float((__float_as_uint(value) + unit / 2) & ~(unit - 1));
}

VGGX_KERNEL(second_regions, VggxSecondRegions, 256, 2) {
    const VggxSecondMaps &maps = parameters.maps;
    SharedMemory shared;
    double *sums = shared.take<double>((VGGX_SECOND_KINDS + 1) * 64);
    const int lane = threadIdx.x % 64;
    const int channel = int(blockIdx.x) * 64 + lane;
    const bool real = channel < maps.channels;
    const int exponent = pointer<const int>(maps.common)[0], images = pointer<const int>(maps.common)[2];
    for (int kind = int(threadIdx.x) / 64; kind < VGGX_SECOND_KINDS; kind += 4) {
        double sum = 0.0;
        for (int slice = 0; slice < parameters.slices && real; ++slice) {
            sum += pointer<const double>(
                parameters.partials)[(int64_t(slice) * VGGX_SECOND_KINDS + kind) * maps.channels + channel];
        }
        sums[kind * 64 + lane] = sum;
    }
    if (threadIdx.x < 64) {
        sums[VGGX_SECOND_KINDS * 64 + lane] = real ? ldexp(pointer<const double>(maps.sums)[channel], -exponent) : 0.0;
    }
    __syncthreads();
    if (!real) {
        return;
    }
    const double all = sums[VGGX_SECOND_KINDS * 64 + lane];
    const double positions = double(images) * double(maps.height) * double(maps.width);
    const float pilot = positions > 0.0 ? rounded(float(all / positions), parameters.pilot_bits) : 0.0f;
    if (threadIdx.x < 64) {
        pointer<float>(parameters.pilots)[channel] = pilot;
    }
    const KindSums over = {sums + lane, maps.height, maps.width};
    for (int plane = int(threadIdx.x) / 64; plane < parameters.planes; plane += 4) {
        const Lag lag = lag_of_plane(plane);
        // Of the view, those with a partner, and the partners.
        Region from = view_of_plane(plane, maps.height, maps.width), to = from;
        const int left = max(-lag.dx, 0), right = max(lag.dx, 0);
        from.bottom = max(from.bottom, lag.dy);
        from.left = max(from.left, left);
        from.right = max(from.right, right);
        to.top = max(to.top, lag.dy);
        to.left = max(to.left, right);
        to.right = max(to.right, left);
        const int height = max(maps.height - from.top - from.bottom, 0), width = max(maps.width - from.left - from.right, 0);
        const double count = double(images) * double(height) * double(width);
        double *regions = pointer<double>(parameters.regions) + int64_t(plane) * 2 * maps.channels + channel;
        regions[0] = over(from) - count * double(pilot);
        regions[maps.channels] = over(to);
    }
}

// (x - c) / 2: halved, so that a difference of two stored values cannot overflow float16.
template <class Element> __device__ __forceinline__ Element centred(Element x, float factor, float pilot) {
    return narrow<Element>((widen(x) * factor - pilot) * 0.5f);
}

template <class Element> struct alignas(16) Eight {
    Element values[8];
};

template <class Element> __device__ __forceinline__ void second_gather(const VggxSecondPass &parameters) {
    const VggxSecondMaps &maps = parameters.maps;
    const int octets = parameters.line_channels / 8;
    const int64_t index = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (index >= int64_t(parameters.line_positions) * octets) {
        return;
    }
    const int position = int(index / octets), octet = int(index % octets);
    int v = 0;
    while (v + 1 < parameters.views && position >= parameters.view[v + 1].line) {
        ++v;
    }
    const VggxSecondView &view = parameters.view[v];
    const int within = position - view.line;
    const int pitch = view.length + view.reach;
    const int run = within / pitch, along = within - run * pitch;
    const int row = run / parameters.images, image = parameters.first_image + run % parameters.images;
    const float *pilots = pointer<const float>(parameters.pilots);
    const Element *input = pointer<const Element>(maps.input);
    const float factor = row < view.rows && along < view.length ? pointer<const float>(maps.factors)[image] : 0.0f;
    Eight<Element> result = {};
    if (factor != 0.0f) {
        const int at = view.start + row * view.row_stride + along * view.position_stride;
        const int64_t first = int64_t(image) * maps.height * maps.width;
        if (maps.channels == 3) {
            const int y = at / maps.width, x = at % maps.width;
#pragma unroll
            for (int k = 0; k < 8; ++k) {
                const int number = (octet * 8 + k) / 3, channel = (octet * 8 + k) % 3;
                const Lag lag(number);
                const int to_y = y + lag.dy, to_x = x + lag.dx;
                if (number < VGGX_SECOND_LAGS && to_y < maps.height && to_x >= 0 && to_x < maps.width) {
                    const int64_t from = (first + int64_t(to_y) * maps.width + to_x) * 3 + channel;
                    result.values[k] = centred(input[from], factor, pilots[channel]);
                }
            }
        } else {
            const Eight<Element> values =
                *reinterpret_cast<const Eight<Element> *>(input + (first + at) * maps.channels + octet * 8);
#pragma unroll
            for (int k = 0; k < 8; ++k) {
                result.values[k] = centred(values.values[k], factor, pilots[octet * 8 + k]);
            }
        }
    }
    pointer<Eight<Element>>(parameters.lines)[index] = result;
}

VGGX_KERNEL(second_borders_f16, VggxSecondRegions, 256, 4) { second_borders<float16>(parameters); }
VGGX_KERNEL(second_borders_bf16, VggxSecondRegions, 256, 4) { second_borders<bfloat16>(parameters); }
VGGX_KERNEL(second_borders_f32, VggxSecondRegions, 256, 4) { second_borders<float>(parameters); }

VGGX_KERNEL(second_gather_f16, VggxSecondPass, 256, 4) { second_gather<float16>(parameters); }
VGGX_KERNEL(second_gather_bf16, VggxSecondPass, 256, 4) { second_gather<bfloat16>(parameters); }
VGGX_KERNEL(second_gather_f32, VggxSecondPass, 256, 4) { second_gather<float>(parameters); }
