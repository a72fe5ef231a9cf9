// Kernels with the faults that the checks look for, to show that they find them.

// Holds more sums than the 64 registers that a thread of 1024 can have: spills. Named like a kernel that must use tensor
// cores, cp.async and ldmatrix, and uses none of them.
extern "C" __global__ void __launch_bounds__(1024) convolution_forward_f16_spilling(const float *input, float *output, int steps) {
    float sums[128] = {};
    for (int step = 0; step < steps; step++) {
#pragma unroll
        for (int i = 0; i < 128; i++) sums[i] = sums[i] * input[step * 128 + i] + input[i];
    }
#pragma unroll
    for (int i = 0; i < 128; i++) output[i * 1024 + threadIdx.x] = sums[i];
}

// An array that is indexed at run time has no registers: local memory without a spill.
extern "C" __global__ void indexed_array(const int *input, int *output, int count) {
    int values[64];
    for (int i = 0; i < 64; i++) values[i] = input[i * 64 + threadIdx.x];
    for (int i = 0; i < count; i++) values[input[i] & 63] += i;
    output[threadIdx.x] = values[count & 63];
}

// Shared memory of its own, beside the launch's.
extern "C" __global__ void static_shared(const int *input, int *output) {
    __shared__ int values[256];
    values[threadIdx.x] = input[threadIdx.x];
    __syncthreads();
    output[threadIdx.x] = values[255 - threadIdx.x];
}
