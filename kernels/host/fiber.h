// A computation with a stack of its own, which can be left and taken up again: one for every thread of a block.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define VGGX_HOST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VGGX_HOST_ADDRESS_SANITIZER 1
#endif
#endif

namespace vggx_host {

struct Fiber {
    unsigned char *stack = nullptr; // lowest address
    std::size_t stack_bytes = 0;
#if defined(__x86_64__)
    void *stack_pointer = nullptr; // while it is left
#else
    ucontext_t context;
#endif
    void *fake_stack = nullptr; // AddressSanitizer's

    // Stands for the stack that the calling OS thread runs on already.
    void adopt_this_stack();
    // Gives it memory, with a guard page below.
    void allocate(std::size_t bytes);
    // The next switch to it calls `entry`, which must never return. `stagger` bytes of the stack stay unused, so that
    // the same variables of many fibers do not meet in the same cache sets.
    void prepare(void (*entry)(), std::size_t stagger);
    // The first thing `entry` does.
    static void entered();
};

// Leaves `from`, which is running, and takes up `to`.
void switch_fiber(Fiber &from, Fiber &to);
// The same for good: `from` must be prepared anew before it can run again.
[[noreturn]] void abandon_fiber(Fiber &from, Fiber &to);

} // namespace vggx_host
