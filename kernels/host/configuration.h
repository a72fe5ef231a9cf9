// What the environment says about the pretended devices and about failures. driver.cpp lists the variables.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vggx_host {

// In which order the threads of a block, the blocks of a grid and the streams of a context get their turns. Results of
// right programs do not depend on it.
enum class Order { forward, reverse, shuffle };

struct Configuration {
    int devices = 1;
    std::size_t memory = std::size_t(8) << 30;
    int major = 9, minor = 0;
    int driver_version = 13000;
    Order order = Order::forward;
    std::uint64_t seed = 1;
    unsigned os_threads = 0; // 0: one for each processor

    unsigned shared_opt_in() const;         // bytes that a block may have at most
    unsigned shared_multiprocessor() const; // bytes that the blocks of a multiprocessor share
};

// Read from the environment at first use.
Configuration &configuration();
// Changes one variable in this process, by its name in the environment; false where name or value mean nothing.
bool configure(const char *name, const char *value);

// Counts a call of a function of the driver, or a run of a kernel, and gives the error it is to fail with, or 0.
int injected_failure(const char *name);

// Small random numbers, the same everywhere (xorshift).
struct Random {
    std::uint64_t state;
    explicit Random(std::uint64_t seed) : state(seed * 0x9e3779b97f4a7c15ull + 0x7f4a7c15u) {
        if (state == 0) {
            state = 1;
        }
    }
    unsigned below(unsigned bound) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return unsigned((state >> 32) * bound >> 32);
    }
};

} // namespace vggx_host
