#include "copies.h"

#include "block.h"
#include "memory.h"

#include <cstdint>
#include <cstring>

namespace vggx_host {

constexpr unsigned copy_bytes = 16;

unsigned address_of_shared(const void *object) { return running_thread().block->shared_address(object); }

void start_copy(unsigned destination, const void *source, bool valid) {
    BlockThread &self = running_thread();
    unsigned char *memory = self.block->shared(destination, copy_bytes, "cp_async_16");
    if (std::uintptr_t(source) % copy_bytes != 0) {
        self.block->fail(716, format("cp_async_16 from %p, which is not a multiple of 16", source));
    }
    if (device_of(source, copy_bytes) != self.block->launch->device) {
        self.block->fail(700, "cp_async_16 from " + describe(source) + (valid ? "" : " (it writes zeros, but must name one)"));
    }
    // Whoever reads it before the wait sees this.
    std::memset(memory, poison, copy_bytes);
    self.copies.push_back({memory, source, valid});
}

void commit_copies() {
    BlockThread &self = running_thread();
    self.groups.push_back(self.copies.size());
}

void wait_for_copies(unsigned pending) {
    BlockThread &self = running_thread();
    while (self.groups.size() - self.landed_groups > pending) {
        const std::size_t end = self.groups[self.landed_groups++];
        for (; self.landed_copies < end; self.landed_copies++) {
            const Copy &copy = self.copies[self.landed_copies];
            if (copy.valid) {
                std::memcpy(copy.destination, copy.source, copy_bytes);
            } else {
                std::memset(copy.destination, 0, copy_bytes);
            }
        }
    }
    // The lists start over where the pipeline has run empty, or forget what is long done.
    if (self.landed_groups == self.groups.size() && self.landed_copies == self.copies.size()) {
        self.copies.clear();
        self.groups.clear();
        self.landed_copies = self.landed_groups = 0;
    } else if (self.landed_copies >= 256) {
        self.copies.erase(self.copies.begin(), self.copies.begin() + std::ptrdiff_t(self.landed_copies));
        self.groups.erase(self.groups.begin(), self.groups.begin() + std::ptrdiff_t(self.landed_groups));
        for (std::size_t &end : self.groups) {
            end -= self.landed_copies;
        }
        self.landed_copies = self.landed_groups = 0;
    }
}

} // namespace vggx_host
