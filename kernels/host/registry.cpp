#include "registry.h"

#include <cstring>

namespace vggx_host {

// Filled by constructors of other files, whose order is open: it must be there before any of them.
static constinit const Kernel *first_kernel = nullptr;

Kernel::Kernel(const char *name, std::size_t parameter_bytes, unsigned threads, unsigned blocks, unsigned cluster,
               void (*run)(const void *))
    : name(name), parameter_bytes(parameter_bytes), threads(threads), blocks(blocks), cluster(cluster), run(run), next(first_kernel) {
    first_kernel = this;
}

const Kernel *find_kernel(const char *name) {
    for (const Kernel *kernel = first_kernel; kernel; kernel = kernel->next) {
        if (std::strcmp(kernel->name, name) == 0) {
            return kernel;
        }
    }
    return nullptr;
}

} // namespace vggx_host
