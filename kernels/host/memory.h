// The memory of the pretended devices, and pinned memory of the host. Every allocation is one of its own: what lies behind its
// end cannot be accessed (to the page; to the byte under AddressSanitizer), and what lies between is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vggx_host {

// What memory holds before anything is written: NaN in every format, all ones in integers.
constexpr unsigned char poison = 0xff;

// The caller holds the lock of the driver. `owner` is the context that it is allocated in. Null where the device, or the machine,
// has not so much left.
void *allocate_device(int device, const void *owner, std::size_t bytes);
// False where no allocation begins there.
bool free_device(void *address);
std::size_t allocated_bytes(int device);
std::size_t allocations(const void *owner); // how many live
void free_all(const void *owner);

// The device that one live allocation wholly containing the range belongs to, or -1.
int device_of(const void *address, std::size_t bytes);
// The context that the live allocation with this byte belongs to; null where there is none.
const void *owner_of(const void *address);
// Describes where an address lies with respect to live allocations, for messages.
std::string describe(const void *address);

// An allocation that a kernel wrote behind the end of, in words; empty where all is well. Repairs it.
std::string overrun(int device);

void *allocate_pinned(std::size_t bytes);
bool free_pinned(void *address);
std::size_t pinned_allocations(); // how many live
bool is_pinned(const void *address, std::size_t bytes);

} // namespace vggx_host
