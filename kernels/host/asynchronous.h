// What Hopper does beside the threads of a block: barriers that count arrivals and bytes, copies of boxes of tensors, products of
// warpgroups. Each ends as late as its wait allows, or as early as it may (VGGX_HOST_ORDER); until then what it writes is NaN.
#pragma once

#include <cstdint>

namespace vggx_host {

// Barriers in shared memory, by their addresses.
void initialise_barrier(unsigned address, unsigned arrivals);
// Counts one arrival, after so many bytes more are expected in this phase.
void arrive(unsigned address, unsigned bytes);
// The same at the barrier of another block of the cluster, at the same address, without bytes.
void arrive_in_cluster(unsigned address, unsigned rank);
// Until the phase of this parity is complete.
void wait_for_phase(unsigned address, unsigned parity);

// The number of the running block in its cluster; all threads of all its blocks.
unsigned cluster_rank();
void cluster_barrier();

// Starts copying a box of a tensor; its bytes count at the barrier. The map is one that cuTensorMapEncodeTiled wrote.
void start_load(unsigned destination, const void *map, unsigned barrier, const int *coordinates, unsigned rank);
// The same to each block of the cluster whose bit is set.
void start_multicast(unsigned destination, const void *map, unsigned barrier, const int *coordinates, unsigned rank, unsigned blocks);
// Starts copying a box from shared memory to a tensor.
void start_store(unsigned source, const void *map, const int *coordinates, unsigned rank);
void commit_stores();
// Until at most `pending` groups of the running thread read shared memory.
void wait_for_stores(unsigned pending);
// What the running thread has stored in shared memory may now be read by copies and products: when all lanes of its warp say so.
void fence_proxy();

enum class MatrixElement { float16, bfloat16, float8 };

// One product of a warpgroup as each of its threads calls for it: d [64, columns] += a [64, depth] * b [depth, columns], with a depth of
// 32 bytes.
struct WarpgroupProduct {
    float *d; // columns / 2 of them
    unsigned columns;
    MatrixElement element;
    bool accumulate; // d = a * b otherwise
    const unsigned *a_registers; // four, or null: a is in shared memory, depth innermost
    uint64_t a, b;               // descriptors
    bool b_by_columns;           // b has columns innermost, not depth
};

void fence_registers();
void start_product(const WarpgroupProduct &product);
void commit_products();
// Until at most `pending` groups of the running thread's warpgroup are under way.
void wait_for_products(unsigned pending);

} // namespace vggx_host
