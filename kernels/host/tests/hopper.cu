// Boxes of tensors and products of warpgroups: kernels that are right, and one with a deliberate mistake for each rule.
#include "../../wgmma.cuh"

#include "params.h"

// One box of four dimensions, as it lies in shared memory.
VGGX_KERNEL(right_box, TestBoxes, 128, 1) {
    SharedMemory memory;
    auto *box = memory.take<unsigned short, 1024>(unsigned(parameters.bytes) / 2);
    auto *barrier = memory.take<uint64_t>(1);
    if (threadIdx.x == 0) {
        mbarrier_init(barrier, 1);
        mbarrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(barrier, unsigned(parameters.bytes));
        const int *at = parameters.coordinates;
        tma_load_4d(shared_address(box), parameters.a, barrier, at[0], at[1], at[2], at[3]);
    }
    mbarrier_wait(barrier, 0);
    for (unsigned i = threadIdx.x; i < unsigned(parameters.bytes) / 2; i += 128) {
        pointer<unsigned short>(parameters.output)[i] = box[i];
    }
}

// d [64, 128] = a [64, 64] * b [128, 64] transposed, both with the depth innermost, or with a mistake.
enum Mistake {
    none,
    no_fence,          // of the registers
    few_bytes,         // are expected, fewer than come
    many_bytes,        // are expected, more than come
    read_early,        // the sums, before the wait
    overwritten,       // an operand, while a product reads it
    no_phase_wait,     // for the boxes
    stored_unfenced,   // an operand is changed by an ordinary store
    missing_warp,      // takes no part
    not_committed,     // before the wait
    left_under_way,    // a product, at the end
    misaligned,        // a box
    not_initialised,   // the barrier
    arrived_too_often, // at the barrier
    sums_written,      // while a product is under way
    stored_and_fenced  // right again: an operand is changed by an ordinary store, with a fence
};

template <class Element> __device__ __forceinline__ void product(const TestBoxes &parameters, int mistake) {
    SharedMemory memory;
    auto *a = memory.take<unsigned char, 1024>(64 * 128);
    auto *b = memory.take<unsigned char, 1024>(128 * 128 + 1024);
    auto *barrier = memory.take<uint64_t>(1);
    if (threadIdx.x == 0 && mistake != not_initialised) {
        mbarrier_init(barrier, 1);
        mbarrier_init_fence();
    }
    __syncthreads();
    const unsigned bytes = (64 + 128) * 128;
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(barrier, mistake == few_bytes ? bytes - 128 : mistake == many_bytes ? bytes + 128 : bytes);
        tma_load_2d(shared_address(a), parameters.a, barrier, 0, 0);
        tma_load_2d(shared_address(b) + (mistake == misaligned ? 128 : 0), parameters.b, barrier, 0, 0);
        if (mistake == arrived_too_often) {
            mbarrier_arrive(barrier);
        }
    }
    if (mistake != no_phase_wait) {
        mbarrier_wait(barrier, 0);
    }
    if (mistake == stored_unfenced || mistake == stored_and_fenced) {
        // Doubles nothing, but for row 0 of a, whose swizzle leaves it in its order.
        if (threadIdx.x < 64) {
            reinterpret_cast<unsigned short *>(a)[threadIdx.x] = (unsigned short)parameters.coordinates[0];
        }
        if (mistake == stored_and_fenced) {
            fence_proxy_async();
        }
        __syncthreads();
    }
    if (mistake == missing_warp && threadIdx.x / 32 == 2) {
        return;
    }
    float sums[64];
    if (mistake != no_fence) {
        wgmma_fence();
    }
    for (unsigned step = 0; step < 4; ++step) {
        wgmma_shared<Element, 128>(sums, matrix_descriptor(shared_address(a) + 32 * step, 1024),
                                   matrix_descriptor(shared_address(b), 1024) + 2 * step, step > 0);
    }
    if (mistake != not_committed) {
        wgmma_commit();
    }
    float *output = pointer<float>(parameters.output) + threadIdx.x * 64;
    if (mistake == overwritten && threadIdx.x == 0) {
        mbarrier_arrive_expect(barrier, 64 * 128);
        tma_load_2d(shared_address(a), parameters.a, barrier, 0, 0);
    }
    if (mistake == overwritten) {
        __syncthreads(); // nobody waits for the products before
    }
    if (mistake == sums_written) {
        sums[5] = 1.0f;
        wgmma_fence_operand(sums);
    }
    if (mistake == left_under_way) {
        return;
    }
    if (mistake != read_early) {
        wgmma_wait<0>();
        wgmma_fence_operand(sums);
    }
    for (int i = 0; i < 64; ++i) {
        output[i] = sums[i];
    }
    wgmma_wait<0>();
}

VGGX_KERNEL(right_product_f16, TestBoxes, 128, 1) { product<float16>(parameters, none); }
VGGX_KERNEL(right_product_bf16, TestBoxes, 128, 1) { product<bfloat16>(parameters, none); }
VGGX_KERNEL(right_product_f8, TestBoxes, 128, 1) { product<float8>(parameters, none); }
VGGX_KERNEL(wrong_product, TestBoxes, 128, 1) { product<float16>(parameters, parameters.value); }

// d [64, 128] = a [64, 16] * b [16, 128] with a in registers and the columns of b innermost: 64 of them in a box.
VGGX_KERNEL(right_product_registers, TestBoxes, 128, 1) {
    SharedMemory memory;
    auto *b = memory.take<unsigned char, 1024>(2 * 16 * 128);
    auto *barrier = memory.take<uint64_t>(1);
    if (threadIdx.x == 0) {
        mbarrier_init(barrier, 1);
        mbarrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_arrive_expect(barrier, 2 * 16 * 128);
        tma_load_2d(shared_address(b), parameters.b, barrier, 0, 0);
        tma_load_2d(shared_address(b) + 16 * 128, parameters.b, barrier, 64, 0);
    }
    mbarrier_wait(barrier, 0);
    const unsigned g = threadIdx.x % 32 / 4, q = threadIdx.x % 4, first = threadIdx.x / 32 * 16;
    const auto *values = pointer<const unsigned>(parameters.input); // two of the depth each
    unsigned a[4];
    for (unsigned i = 0; i < 4; ++i) {
        a[i] = values[(first + g + i % 2 * 8) * 8 + q + i / 2 * 4];
    }
    float sums[64];
    wgmma_fence();
    wgmma_registers<float16, 128>(sums, a, matrix_descriptor(shared_address(b), 1024, 16 * 128), false);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_fence_operand(sums);
    for (int i = 0; i < 64; ++i) {
        pointer<float>(parameters.output)[threadIdx.x * 64 + i] = sums[i];
    }
}

// A thread fills a ring of two slots, `value` times; the others read each. With `coordinates[0]` they free a slot before they have read it.
VGGX_KERNEL(right_ring, TestBoxes, 128, 1) {
    SharedMemory memory;
    auto *slots = memory.take<unsigned short, 1024>(2 * 64 * 8);
    auto *barriers = memory.take<uint64_t>(4);
    if (threadIdx.x == 0) {
        for (int n = 0; n < 2; ++n) {
            mbarrier_init(barriers + n, 1);
            mbarrier_init(barriers + 2 + n, 3);
        }
        mbarrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int n = 0; n < parameters.value; ++n) {
            mbarrier_wait(barriers + 2 + n % 2, unsigned(n / 2 % 2) ^ 1u);
            mbarrier_arrive_expect(barriers + n % 2, 64 * 8 * 2);
            tma_load_2d(shared_address(slots + n % 2 * 64 * 8), parameters.a, barriers + n % 2, 0, 8 * n);
        }
    } else if (threadIdx.x >= 32) {
        unsigned sum = 0;
        for (int n = 0; n < parameters.value; ++n) {
            mbarrier_wait(barriers + n % 2, unsigned(n / 2 % 2));
            const bool early = parameters.coordinates[0] != 0;
            if (early && threadIdx.x % 32 == 0) {
                mbarrier_arrive(barriers + 2 + n % 2);
            }
            __syncwarp();
            for (unsigned i = threadIdx.x - 32; i < 64 * 8; i += 96) {
                sum += slots[n % 2 * 64 * 8 + i];
            }
            __syncwarp();
            if (!early && threadIdx.x % 32 == 0) {
                mbarrier_arrive(barriers + 2 + n % 2);
            }
        }
        pointer<unsigned>(parameters.output)[threadIdx.x - 32] = sum;
    }
}

// A box that threads have written goes to a tensor, or with a mistake.
enum StoreMistake {
    stored_right,
    store_unfenced,     // what threads have written
    store_fenced_early, // before they wrote it
    store_no_barrier,   // between writing and the copy
    store_overwritten,  // before the wait
    store_not_waited,   // for
    store_not_committed,
    store_misaligned,
    store_read_back // from the tensor, which holds it only when the kernel is done
};

VGGX_KERNEL(store_box, TestBoxes, 128, 1) {
    SharedMemory memory;
    auto *box = memory.take<unsigned short, 1024>(unsigned(parameters.bytes) / 2 + 64);
    const int mistake = parameters.value;
    const auto fill = [&](unsigned first) {
        for (unsigned i = threadIdx.x; i < unsigned(parameters.bytes) / 2; i += 128) {
            box[i] = (unsigned short)(first + i);
        }
    };
    if (mistake == store_fenced_early) {
        fence_proxy_async();
        __syncthreads();
    }
    fill(1);
    if (mistake != store_unfenced && mistake != store_fenced_early) {
        fence_proxy_async();
    }
    if (mistake != store_no_barrier) {
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        const int *at = parameters.coordinates;
        tma_store_4d(parameters.a, shared_address(box) + (mistake == store_misaligned ? 128 : 0), at[0], at[1], at[2], at[3]);
        if (mistake != store_not_committed) {
            tma_store_commit();
        }
        if (mistake != store_overwritten && mistake != store_not_waited) {
            tma_store_wait_read<0>();
        }
    }
    if (mistake == store_no_barrier || mistake == store_not_waited) {
        return;
    }
    __syncthreads();
    if (mistake == store_read_back) {
        pointer<unsigned short>(parameters.output)[threadIdx.x] = pointer<const unsigned short>(parameters.input)[threadIdx.x];
    }
    fill(5);
    __syncthreads();
    if (mistake == store_overwritten && threadIdx.x == 0) {
        tma_store_wait_read<0>();
    }
}

// Both blocks of a cluster read every box of a ring of two slots, `value` boxes in all, of which each brings one half to both.
enum ClusterMistake {
    cluster_right,
    cluster_no_first_barrier, // of the cluster, but of the block
    cluster_early_exit,       // without waiting for the other block
    cluster_own_releases,     // only, for a barrier that waits for no others
    cluster_few_bytes,        // are expected: those of the own half
    cluster_many_bytes,
    cluster_third_block // is sent to
};

VGGX_CLUSTER_KERNEL(share_boxes, TestBoxes, 128, 1, 2) {
    SharedMemory memory;
    constexpr unsigned half = 64 * 8;
    auto *slots = memory.take<unsigned short, 1024>(2 * 2 * half);
    auto *barriers = memory.take<uint64_t>(4);
    const int mistake = parameters.coordinates[0];
    if (threadIdx.x == 0) {
        for (int n = 0; n < 2; ++n) {
            mbarrier_init(barriers + n, 1);
            mbarrier_init(barriers + 2 + n, mistake == cluster_own_releases ? 3 : 6);
        }
        mbarrier_init_fence();
    }
    if (mistake == cluster_no_first_barrier) {
        __syncthreads();
    } else {
        cluster_barrier();
    }
    const unsigned rank = cluster_rank();
    if (threadIdx.x == 0) {
        const unsigned bytes = mistake == cluster_few_bytes ? half * 2 : mistake == cluster_many_bytes ? half * 5 : half * 4;
        for (int n = 0; n < parameters.value; ++n) {
            mbarrier_wait(barriers + 2 + n % 2, unsigned(n / 2 % 2) ^ 1u);
            mbarrier_arrive_expect(barriers + n % 2, bytes);
            tma_load_2d_multicast(shared_address(slots + (n % 2 * 2 + rank) * half), parameters.a, barriers + n % 2,
                                  mistake == cluster_third_block ? 7 : 3, 0, 16 * n + 8 * int(rank));
        }
    } else if (threadIdx.x >= 32) {
        unsigned sum = 0;
        for (int n = 0; n < parameters.value; ++n) {
            mbarrier_wait(barriers + n % 2, unsigned(n / 2 % 2));
            for (unsigned i = threadIdx.x - 32; i < 2 * half; i += 96) {
                sum += slots[unsigned(n % 2) * 2 * half + i] * unsigned(n + 1);
            }
            __syncwarp();
            if (threadIdx.x % 32 < (mistake == cluster_own_releases ? 1 : 2)) {
                mbarrier_arrive_in_cluster(barriers + 2 + n % 2, mistake == cluster_own_releases ? rank : threadIdx.x % 32);
            }
        }
        pointer<unsigned>(parameters.output)[blockIdx.x * 96 + threadIdx.x - 32] = sum;
    }
    if (mistake != cluster_early_exit) {
        cluster_barrier();
    }
}
