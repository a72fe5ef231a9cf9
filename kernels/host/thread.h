// What the code of a kernel sees of the machine that runs it: the running thread, and the rendezvous of its block.
#pragma once

#include <cstddef>

namespace vggx_host {

struct Index {
    unsigned x, y, z;
};

// The same for all threads of a block.
struct Place {
    Index block;
    Index block_extent;
    Index grid_extent;
};

struct Thread {
    Index index;
    const Place *place;
};

// Null outside of kernels. A thread of a block never moves to another OS thread.
extern thread_local Thread *running __attribute__((tls_model("initial-exec"), visibility("hidden")));

// What lanes of a warp do together. Each posts its operands, whose type belongs to the operation.
enum class Collective {
    synchronise,
    shuffle,
    reduce,
    vote,
    load_matrices,
    load_transposed_matrices,
    multiply_float16,
    multiply_bfloat16
};

// Returns when all lanes of `mask` have called it with the same operation and mask, and the operation is done.
void collective(Collective operation, unsigned mask, void *operands);
void barrier();

// Ends the kernel with an error of the driver API (700: illegal address, 716: misaligned address, 719: launch failed).
// The message continues "kernel NAME, block (x, y, z), thread (x, y, z): ".
[[noreturn]] void fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The object that the thread takes after `taken` others, `used` bytes into the device's shared memory.
void *take_shared(unsigned used, unsigned taken, std::size_t bytes, unsigned alignment);

} // namespace vggx_host
