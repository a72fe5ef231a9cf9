// The kernels of this library by name, as VGGX_KERNEL declares them.
#pragma once

#include <cstddef>

namespace vggx_host {

struct Kernel {
    // `run` calls the kernel with the structure at the address given.
    Kernel(const char *name, std::size_t parameter_bytes, unsigned threads, unsigned blocks, unsigned cluster,
           void (*run)(const void *));

    const char *name;
    std::size_t parameter_bytes;
    unsigned threads; // exact number of threads of a block
    unsigned blocks;  // that a multiprocessor should hold at least
    unsigned cluster; // blocks of one along x
    void (*run)(const void *parameters);
    const Kernel *next;
};

// Null where there is none.
const Kernel *find_kernel(const char *name);

} // namespace vggx_host
