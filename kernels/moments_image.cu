// Moments of the first layer. Its fan-in is 27 = 9 taps * 3 channels: a block gathers the patches of 128 positions, padded to 32
// values, and has all of the fan-in times 64 neurons.
#include "image_patch.cuh"
#include "moments.cuh"

template <class Element> __device__ __forceinline__ void moments_image(const VggxMoments &parameters) {
    using Patches = PositionRows<Element, VGGX_IMAGE_DEPTH>;
    using Neurons = PositionRows<Element, 64>;
    constexpr int count = 128, vector = Vector<Element>::count;
    const VggxMomentMaps &maps = parameters.maps;
    SharedMemory shared;
    unsigned char *patches = shared.take<unsigned char>(count * Patches::bytes);
    unsigned char *z = shared.take<unsigned char>(count * Neurons::bytes);
    const PositionOperands<Element> operands = {shared.take<PositionFactors>(count), shared.take<Element>(count)};

    const int thread = int(threadIdx.x), lane = thread % 32, quarter = thread / 32 * 16;
    const int groups = maps.outputs / 64, chunk = int(blockIdx.x) / groups, neuron = int(blockIdx.x) % groups * 64;
    const BatchPositions positions(maps);
    const int first = chunk * parameters.chunk_positions, end = min(first + parameters.chunk_positions, positions.all);
    const LaneNeurons<Element> neurons(parameters, neuron + quarter, lane);
    const auto row_of = [&](int position, unsigned &key) -> const unsigned char * {
        key = Patches::key(position);
        return patches + position * Patches::bytes;
    };

    MomentSums<2> sums = {};
    for (int begin = first; begin < end; begin += count) {
        const auto *source = pointer<const Vector<Element>>(maps.pre_activation) + neuron / vector;
        for (int index = thread; index < count * Neurons::chunks; index += 128) {
            const int row = index / Neurons::chunks, part = index % Neurons::chunks;
            const bool valid = begin + row < end;
            cp_async_16(shared_address(z) + Neurons::offset(row, part),
                        source + (valid ? int64_t(begin + row) * (maps.outputs / vector) + part : 0), valid);
        }
        cp_async_commit();

        const int position = begin + thread;
        const bool counts = position < end;
        const int image = counts ? position / positions.of_image : 0;
        operands.put(thread, counts ? positions.input_factors[image] : 0.0f, counts ? positions.z_factors[image] : 0.0f);
        Element values[VGGX_IMAGE_DEPTH] = {};
        if (counts) {
            const int within = position - image * positions.of_image;
            gather_patch(values, pointer<const Element>(maps.input), position, within / maps.width, within % maps.width,
                         maps.height, maps.width);
        }
#pragma unroll
        for (int n = 0; n < Patches::chunks; ++n) {
            Vector<Element> part;
#pragma unroll
            for (int k = 0; k < vector; ++k) {
                part.values[k] = values[n * vector + k];
            }
            *reinterpret_cast<Vector<Element> *>(patches + Patches::offset(thread, n)) = part;
        }
        cp_async_wait<0>();
        __syncthreads();
        multiply_positions<Element, count>(sums, row_of, z, quarter, operands, neurons, lane);
        // The next positions go where these are.
        __syncthreads();
    }
    store_moments(parameters, sums, reinterpret_cast<float *>(z) + thread / 32 * 3 * 256, chunk, 0, neuron + quarter, lane);
}

VGGX_KERNEL(moments_image_f16, VggxMoments, 128, 4) { moments_image<float16>(parameters); }
VGGX_KERNEL(moments_image_bf16, VggxMoments, 128, 4) { moments_image<bfloat16>(parameters); }
VGGX_KERNEL(moments_image_f32, VggxMoments, 128, 4) { moments_image<float>(parameters); }
