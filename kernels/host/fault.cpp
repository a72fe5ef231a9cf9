#include "fault.h"

#include "block.h"
#include "memory.h"

#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <pthread.h>
#include <ucontext.h>

namespace vggx_host {

#ifdef VGGX_HOST_ADDRESS_SANITIZER

void catch_faults() {}

#else

namespace {

struct sigaction previous_segv, previous_bus;
thread_local const void *fault_address;

// Runs as an ordinary function on the emergency stack of the block, in place of what the thread was doing.
[[noreturn]] void after_fault() {
    BlockThread &self = running_thread();
    const unsigned char *address = static_cast<const unsigned char *>(fault_address);
    if (address >= self.fiber.stack - 4096 && address < self.fiber.stack) {
        self.block->fail(719, "its stack is used up");
    }
    // Null is also what the processor reports for a vector access that is not aligned.
    self.block->fail(700, (address ? "accessed " : "made an access that is not aligned, or accessed ") + describe(address));
}

void handle(int signal, siginfo_t *information, void *context) {
    if (running == nullptr) {
        const struct sigaction &previous = signal == SIGSEGV ? previous_segv : previous_bus;
        if (previous.sa_flags & SA_SIGINFO) {
            previous.sa_sigaction(signal, information, context);
        } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
            previous.sa_handler(signal);
        } else {
            ::signal(signal, SIG_DFL); // the access is repeated
        }
        return;
    }
    fault_address = information->si_addr;
    const Fiber &stack = running_thread().block->emergency;
    const std::uintptr_t top = (std::uintptr_t(stack.stack) + stack.stack_bytes) & ~std::uintptr_t(15);
    ucontext_t *state = static_cast<ucontext_t *>(context);
#if defined(__x86_64__)
    state->uc_mcontext.gregs[REG_RSP] = greg_t(top - 8); // as behind a call
    state->uc_mcontext.gregs[REG_RIP] = greg_t(std::uintptr_t(&after_fault));
#elif defined(__aarch64__)
    state->uc_mcontext.sp = top;
    state->uc_mcontext.pc = std::uintptr_t(&after_fault);
#else
    static_cast<void>(top);
    static_cast<void>(state);
    ::signal(signal, SIG_DFL);
#endif
}

// Where a stack may be used up, the handler needs one of its own. (Rust's threads have one; ours and C++'s do not.)
struct SignalStack {
    SignalStack() {
        stack_t present;
        if (sigaltstack(nullptr, &present) == 0 && (present.ss_flags & SS_DISABLE)) {
            memory = new unsigned char[bytes];
            const stack_t mine = {memory, 0, bytes};
            sigaltstack(&mine, nullptr);
        }
    }
    ~SignalStack() {
        if (memory) {
            const stack_t none = {nullptr, SS_DISABLE, 0};
            sigaltstack(&none, nullptr);
            delete[] memory;
        }
    }
    static constexpr std::size_t bytes = 64 << 10;
    unsigned char *memory = nullptr;
};

} // namespace

void catch_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action;
        std::memset(&action, 0, sizeof action);
        action.sa_sigaction = handle;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        sigaction(SIGSEGV, &action, &previous_segv);
        sigaction(SIGBUS, &action, &previous_bus);
    });
    static thread_local SignalStack stack;
    static_cast<void>(stack);
}

#endif

} // namespace vggx_host
