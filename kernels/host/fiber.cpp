#include "fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef VGGX_HOST_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what the calling convention wants preserved on the stack that is left, and loads it from the other. It jumps
// instead of returning: return addresses that were pushed elsewhere defeat the processor's prediction of returns.
extern "C" void vggx_host_switch_stack(void **save, void *load);
asm(R"(
    .text
    .p2align 4
    .globl vggx_host_switch_stack
    .hidden vggx_host_switch_stack
    .type vggx_host_switch_stack, @function
vggx_host_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx
    .size vggx_host_switch_stack, .-vggx_host_switch_stack
)");
#endif

namespace vggx_host {

void Fiber::adopt_this_stack() {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return;
    }
    void *lowest = nullptr;
    std::size_t bytes = 0;
    pthread_attr_getstack(&attributes, &lowest, &bytes);
    pthread_attr_destroy(&attributes);
    stack = static_cast<unsigned char *>(lowest);
    stack_bytes = bytes;
}

void Fiber::allocate(std::size_t bytes) {
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
    bytes = (bytes + page - 1) / page * page;
    void *memory = mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("vggx host execution: no memory for the stack of a thread");
        std::abort();
    }
    mprotect(memory, page, PROT_NONE);
    stack = static_cast<unsigned char *>(memory) + page;
    stack_bytes = bytes;
}

void Fiber::prepare(void (*entry)(), std::size_t stagger) {
    unsigned char *top = stack + stack_bytes - stagger;
#ifdef VGGX_HOST_ADDRESS_SANITIZER
#if defined(__x86_64__)
    // Frames that returned have tidied up. Those that were abandoned lie above where the stack was left; all of it would take longer than
    // many a kernel.
    unsigned char *left = stack_pointer ? reinterpret_cast<unsigned char *>(stack_pointer) : stack + stack_bytes;
#else
    unsigned char *left = stack;
#endif
    __asan_unpoison_memory_region(left, std::size_t(stack + stack_bytes - left));
    fake_stack = nullptr;
#endif
#if defined(__x86_64__)
    void **words = reinterpret_cast<void **>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t(15));
    *--words = nullptr; // where `entry` would find its return address
    *--words = reinterpret_cast<void *>(entry);
    for (int saved = 0; saved < 6; saved++) {
        *--words = nullptr;
    }
    stack_pointer = words;
#else
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = std::size_t(top - stack);
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
#endif
}

void Fiber::entered() {
#ifdef VGGX_HOST_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

void switch_fiber(Fiber &from, Fiber &to) {
#ifdef VGGX_HOST_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#if defined(__x86_64__)
    vggx_host_switch_stack(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.context, &to.context);
#endif
#ifdef VGGX_HOST_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void abandon_fiber(Fiber &from, Fiber &to) {
#ifdef VGGX_HOST_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(nullptr, to.stack, to.stack_bytes);
#endif
#if defined(__x86_64__)
    vggx_host_switch_stack(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.context, &to.context);
#endif
    std::abort();
}

} // namespace vggx_host
