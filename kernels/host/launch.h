// One launch of a kernel: all blocks of its grid, on several OS threads.
#pragma once

#include "registry.h"
#include "thread.h"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

namespace vggx_host {

// Parameters are as aligned as tensor maps in them.
struct alignas(128) ParameterBytes {
    unsigned char bytes[128];
};

struct Launch {
    const Kernel *kernel;
    Index grid;
    Index block;
    unsigned shared_bytes;
    std::vector<ParameterBytes> parameters;
    int device;
};

// The first error of a launch; other blocks stop when they see it.
struct Failure {
    std::atomic<int> error = 0;
    std::mutex mutex;
    std::string message;

    void set(int error, const std::string &message);
};

// Gives 0, or the error of the driver API after printing a line that says what is wrong and where. The caller holds the
// lock of the driver.
int run(const Launch &launch);

// Prints a line and keeps it for tests.
void report(const std::string &message);
const char *last_report();

} // namespace vggx_host
