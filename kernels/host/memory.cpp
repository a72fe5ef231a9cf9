#include "memory.h"

#include "configuration.h"
#include "fiber.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace vggx_host {

namespace {

// As on real devices.
constexpr std::size_t alignment = 256;
// Larger allocations take memory only where they are written.
constexpr std::size_t large = std::size_t(8) << 20;
// Mappings of freed memory that stay inaccessible, so that their addresses are not given out again soon.
constexpr std::size_t quarantined = 1024;

struct Allocation {
    int device;
    const void *owner;
    std::size_t bytes;
    unsigned char *mapping; // with a guard page at each end; null: from the C library
    std::size_t mapping_bytes;
};

std::map<std::uintptr_t, Allocation> &table() {
    static auto *map = new std::map<std::uintptr_t, Allocation>;
    return *map;
}

std::map<std::uintptr_t, std::size_t> &pinned_table() {
    static auto *map = new std::map<std::uintptr_t, std::size_t>;
    return *map;
}

std::deque<std::pair<void *, std::size_t>> &quarantine() {
    static auto *queue = new std::deque<std::pair<void *, std::size_t>>;
    return *queue;
}

std::size_t rounded(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Fills page-aligned memory with poison without touching it: pages of a file that holds nothing else, copied on write.
bool map_poison(unsigned char *begin, std::size_t bytes) {
    static const int file = [] {
        const int descriptor = memfd_create("vggx-host-poison", MFD_CLOEXEC);
        static unsigned char block[1 << 16];
        std::memset(block, poison, sizeof block);
        for (std::size_t written = 0; descriptor >= 0 && written < large; written += sizeof block) {
            if (write(descriptor, block, sizeof block) != ssize_t(sizeof block)) {
                return -1;
            }
        }
        return descriptor;
    }();
    if (file < 0) {
        return false;
    }
    for (std::size_t done = 0; done < bytes; done += large) {
        const std::size_t part = std::min(large, bytes - done);
        if (mmap(begin + done, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file, 0) == MAP_FAILED) {
            return false;
        }
    }
    return true;
}

const std::pair<const std::uintptr_t, Allocation> *find(const void *address) {
    const auto after = table().upper_bound(std::uintptr_t(address));
    return after == table().begin() ? nullptr : &*std::prev(after);
}

void release(std::uintptr_t address, const Allocation &allocation) {
    if (!allocation.mapping) {
        std::free(reinterpret_cast<void *>(address));
        return;
    }
    // The memory goes back, the addresses stay taken for a while: use after free is a fault.
    mmap(allocation.mapping, allocation.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    quarantine().emplace_back(allocation.mapping, allocation.mapping_bytes);
    if (quarantine().size() > quarantined) {
        munmap(quarantine().front().first, quarantine().front().second);
        quarantine().pop_front();
    }
}

} // namespace

void *allocate_device(int device, const void *owner, std::size_t bytes) {
    if (bytes == 0 || bytes > configuration().memory ||
        rounded(bytes, alignment) + allocated_bytes(device) > configuration().memory) {
        return nullptr;
    }
    Allocation allocation = {device, owner, bytes, nullptr, 0};
#ifdef VGGX_HOST_ADDRESS_SANITIZER
    if (bytes < large) {
        // posix_memalign takes any size: the red zone begins with the first byte behind it.
        void *memory = nullptr;
        if (posix_memalign(&memory, alignment, bytes) != 0) {
            return nullptr;
        }
        std::memset(memory, poison, bytes);
        table()[std::uintptr_t(memory)] = allocation;
        return memory;
    }
#endif
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
    const std::size_t usable = rounded(bytes, page);
    allocation.mapping_bytes = usable + 2 * page;
    void *mapping = mmap(nullptr, allocation.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) {
        return nullptr;
    }
    allocation.mapping = static_cast<unsigned char *>(mapping);
    unsigned char *begin = allocation.mapping + page;
    const bool filled = bytes >= large ? map_poison(begin, usable)
                                       : mprotect(begin, usable, PROT_READ | PROT_WRITE) == 0 &&
                                             std::memset(begin, poison, usable) != nullptr;
    if (!filled) {
        munmap(mapping, allocation.mapping_bytes);
        return nullptr;
    }
    // The end lies as close to the guard page as the alignment allows.
    unsigned char *address = begin + (usable - rounded(bytes, alignment));
    table()[std::uintptr_t(address)] = allocation;
    return address;
}

bool free_device(void *address) {
    const auto found = table().find(std::uintptr_t(address));
    if (found == table().end()) {
        return false;
    }
    release(found->first, found->second);
    table().erase(found);
    return true;
}

std::size_t allocated_bytes(int device) {
    std::size_t sum = 0;
    for (const auto &[address, allocation] : table()) {
        sum += allocation.device == device ? rounded(allocation.bytes, alignment) : 0;
    }
    return sum;
}

std::size_t allocations(const void *owner) {
    return std::size_t(
        std::count_if(table().begin(), table().end(), [&](const auto &entry) { return entry.second.owner == owner; }));
}

void free_all(const void *owner) {
    for (auto entry = table().begin(); entry != table().end();) {
        if (entry->second.owner == owner) {
            release(entry->first, entry->second);
            entry = table().erase(entry);
        } else {
            ++entry;
        }
    }
}

int device_of(const void *address, std::size_t bytes) {
    const auto *entry = find(address);
    if (!entry) {
        return -1;
    }
    const std::size_t offset = std::uintptr_t(address) - entry->first;
    return offset <= entry->second.bytes && bytes <= entry->second.bytes - offset ? entry->second.device : -1;
}

const void *owner_of(const void *address) {
    return device_of(address, 1) < 0 ? nullptr : find(address)->second.owner;
}

std::string describe(const void *address) {
    char text[160];
    const auto *entry = find(address);
    if (!entry || std::uintptr_t(address) - entry->first > entry->second.bytes + (std::size_t(64) << 20)) {
        std::snprintf(text, sizeof text, "address 0x%zx, in no device allocation", std::size_t(std::uintptr_t(address)));
    } else {
        std::snprintf(text, sizeof text, "address 0x%zx, byte %zu of a device allocation of %zu bytes",
                      std::size_t(std::uintptr_t(address)), std::size_t(std::uintptr_t(address) - entry->first),
                      entry->second.bytes);
    }
    return text;
}

std::string overrun(int device) {
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
    std::string result;
    for (const auto &[address, allocation] : table()) {
        if (allocation.device != device || !allocation.mapping) {
            continue;
        }
        unsigned char *begin = reinterpret_cast<unsigned char *>(address), *end = begin + allocation.bytes;
        // In front, nothing more than what a neighbouring vector would touch.
        unsigned char *first = std::max(allocation.mapping + page, begin - alignment);
        unsigned char *last = allocation.mapping + allocation.mapping_bytes - page;
        const auto touched = [](unsigned char byte) { return byte != poison; };
        unsigned char *before = std::find_if(first, begin, touched), *behind = std::find_if(end, last, touched);
        if (before == begin && behind == last) {
            continue;
        }
        const bool front = before != begin;
        char text[160];
        std::snprintf(text, sizeof text, "wrote %zu bytes %s a device allocation of %zu bytes",
                      std::size_t(front ? begin - before : behind - end + 1), front ? "before the beginning of" : "beyond the end of",
                      allocation.bytes);
        result = text;
        std::memset(first, poison, std::size_t(begin - first));
        std::memset(end, poison, std::size_t(last - end));
    }
    return result;
}

void *allocate_pinned(std::size_t bytes) {
    void *memory = nullptr;
    if (bytes == 0 || posix_memalign(&memory, 4096, bytes) != 0) {
        return nullptr;
    }
    std::memset(memory, poison, bytes);
    pinned_table()[std::uintptr_t(memory)] = bytes;
    return memory;
}

bool free_pinned(void *address) {
    if (pinned_table().erase(std::uintptr_t(address)) == 0) {
        return false;
    }
    std::free(address);
    return true;
}

std::size_t pinned_allocations() { return pinned_table().size(); }

bool is_pinned(const void *address, std::size_t bytes) {
    const auto after = pinned_table().upper_bound(std::uintptr_t(address));
    if (after == pinned_table().begin()) {
        return false;
    }
    const auto &[begin, length] = *std::prev(after);
    const std::size_t offset = std::uintptr_t(address) - begin;
    return offset < length && bytes <= length - offset;
}

} // namespace vggx_host
