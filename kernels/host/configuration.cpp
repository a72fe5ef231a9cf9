#include "configuration.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace vggx_host {

namespace {

struct Failure {
    std::string name;
    unsigned long call; // from 1; 0: every call
    int error;
    unsigned long calls = 0;
};

std::mutex failures_mutex;
std::vector<Failure> &failures() {
    static auto *list = new std::vector<Failure>;
    return *list;
}

// "name@call=error,name=error"
bool parse_failures(const char *text) {
    std::vector<Failure> list;
    std::string rest = text;
    while (!rest.empty()) {
        const std::size_t comma = rest.find_first_of(",;");
        std::string item = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        const std::size_t equals = item.find('=');
        if (equals == std::string::npos) {
            return false;
        }
        Failure failure = {item.substr(0, equals), 0, std::atoi(item.c_str() + equals + 1)};
        const std::size_t at = failure.name.find('@');
        if (at != std::string::npos) {
            failure.call = std::strtoul(failure.name.c_str() + at + 1, nullptr, 10);
            failure.name.resize(at);
        }
        if (failure.name.empty() || failure.error <= 0) {
            return false;
        }
        list.push_back(failure);
    }
    std::lock_guard lock(failures_mutex);
    failures() = std::move(list);
    return true;
}

bool parse_order(const char *text, Configuration &result) {
    if (std::strcmp(text, "forward") == 0) {
        result.order = Order::forward;
    } else if (std::strcmp(text, "reverse") == 0) {
        result.order = Order::reverse;
    } else if (std::strncmp(text, "shuffle", 7) == 0 && (text[7] == 0 || text[7] == ':')) {
        result.order = Order::shuffle;
        result.seed = text[7] ? std::strtoull(text + 8, nullptr, 10) : 1;
    } else {
        return false;
    }
    return true;
}

bool apply(Configuration &result, const char *name, const char *value) {
    char *end = nullptr;
    const unsigned long long number = std::strtoull(value, &end, 10);
    const bool is_number = end != value && *end == 0;
    const std::string key = name;
    if (key == "VGGX_HOST_DEVICES" && is_number && number <= 64) {
        result.devices = int(number);
    } else if (key == "VGGX_HOST_MEMORY" && is_number) {
        result.memory = std::size_t(number);
    } else if (key == "VGGX_HOST_CAPABILITY") {
        return std::sscanf(value, "%d.%d", &result.major, &result.minor) == 2;
    } else if (key == "VGGX_HOST_DRIVER_VERSION" && is_number) {
        result.driver_version = int(number);
    } else if (key == "VGGX_HOST_THREADS" && is_number) {
        result.os_threads = unsigned(number);
    } else if (key == "VGGX_HOST_ORDER") {
        return parse_order(value, result);
    } else if (key == "VGGX_HOST_FAIL") {
        return parse_failures(value);
    } else {
        return false;
    }
    return true;
}

Configuration from_environment() {
    Configuration result;
    for (const char *name : {"VGGX_HOST_DEVICES", "VGGX_HOST_MEMORY", "VGGX_HOST_CAPABILITY", "VGGX_HOST_DRIVER_VERSION",
                             "VGGX_HOST_THREADS", "VGGX_HOST_ORDER", "VGGX_HOST_FAIL"}) {
        const char *value = std::getenv(name);
        if (value && *value && !apply(result, name, value)) {
            std::fprintf(stderr, "vggx host execution: %s=%s is not understood\n", name, value);
        }
    }
    return result;
}

} // namespace

unsigned Configuration::shared_opt_in() const { return shared_multiprocessor() - 1024; }

unsigned Configuration::shared_multiprocessor() const {
    if (major == 8) {
        return minor == 0 || minor == 7 ? 164 * 1024 : 100 * 1024;
    }
    if (major == 12) {
        return 100 * 1024;
    }
    return major < 8 ? 65 * 1024 : 228 * 1024;
}

Configuration &configuration() {
    static Configuration result = from_environment();
    return result;
}

bool configure(const char *name, const char *value) { return apply(configuration(), name, value); }

int injected_failure(const char *name) {
    // The list is read with the rest.
    configuration();
    std::lock_guard lock(failures_mutex);
    for (Failure &failure : failures()) {
        if (failure.name == name) {
            failure.calls++;
            if (failure.call == 0 || failure.call == failure.calls) {
                return failure.error;
            }
        }
    }
    return 0;
}

} // namespace vggx_host
