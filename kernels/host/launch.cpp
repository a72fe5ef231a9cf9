#include "launch.h"

#include "cluster.h"
#include "fault.h"
#include "memory.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <thread>

namespace vggx_host {

namespace {

std::mutex idle_mutex;
// Never destroyed: a launch may run while the process ends.
std::vector<std::unique_ptr<Cluster>> &idle_clusters() {
    static auto *clusters = new std::vector<std::unique_ptr<Cluster>>;
    return *clusters;
}

std::unique_ptr<Cluster> take_cluster() {
    std::lock_guard lock(idle_mutex);
    if (idle_clusters().empty()) {
        return std::make_unique<Cluster>();
    }
    std::unique_ptr<Cluster> cluster = std::move(idle_clusters().back());
    idle_clusters().pop_back();
    return cluster;
}

void give_cluster_back(std::unique_ptr<Cluster> cluster) {
    std::lock_guard lock(idle_mutex);
    idle_clusters().push_back(std::move(cluster));
}

// The order of the clusters of a grid.
std::vector<unsigned> cluster_order(unsigned clusters) {
    std::vector<unsigned> order(clusters);
    std::iota(order.begin(), order.end(), 0u);
    if (configuration().order == Order::reverse) {
        std::reverse(order.begin(), order.end());
    } else if (configuration().order == Order::shuffle) {
        Random random(configuration().seed);
        for (unsigned i = clusters - 1; i > 0; i--) {
            std::swap(order[i], order[random.below(i + 1)]);
        }
    }
    return order;
}

std::string &reported() {
    static auto *message = new std::string;
    return *message;
}

} // namespace

void Failure::set(int new_error, const std::string &new_message) {
    std::lock_guard lock(mutex);
    if (error == 0) {
        message = new_message;
        error = new_error;
    }
}

void report(const std::string &message) {
    static std::mutex mutex;
    std::lock_guard lock(mutex);
    reported() = message;
    std::fprintf(stderr, "vggx host execution: %s\n", message.c_str());
}

const char *last_report() { return reported().c_str(); }

int run(const Launch &launch) {
    const unsigned size = launch.kernel->cluster;
    const unsigned clusters = launch.grid.x * launch.grid.y * launch.grid.z / size;
    const std::vector<unsigned> order = cluster_order(clusters);
    Failure failure;
    std::atomic<unsigned> next = 0;
    const auto work = [&] {
        catch_faults();
        std::unique_ptr<Cluster> cluster = take_cluster();
        for (unsigned turn; failure.error == 0 && (turn = next++) < clusters;) {
            const unsigned number = order[turn] * size;
            const Index index = {number % launch.grid.x, number / launch.grid.x % launch.grid.y,
                                 number / launch.grid.x / launch.grid.y};
            cluster->run(launch, index, failure);
        }
        give_cluster_back(std::move(cluster));
    };
    unsigned os_threads = configuration().os_threads ? configuration().os_threads : std::thread::hardware_concurrency();
    os_threads = std::max(1u, std::min(os_threads, clusters));
    std::vector<std::thread> others;
    for (unsigned i = 1; i < os_threads; i++) {
        others.emplace_back(work);
    }
    work();
    for (std::thread &other : others) {
        other.join();
    }
    if (failure.error == 0) {
        const std::string overrun_found = overrun(launch.device);
        if (!overrun_found.empty()) {
            failure.set(700, format("kernel %s: %s", launch.kernel->name, overrun_found.c_str()));
        }
    }
    if (failure.error != 0) {
        report(failure.message);
    }
    return failure.error;
}

} // namespace vggx_host
