// The blocks of a cluster, which run at the same time and reach each other's shared memory; without clusters one block.
#pragma once

#include "block.h"

namespace vggx_host {

// Everything that runs clusters on one OS thread; reused from launch to launch.
class Cluster {
  public:
    Cluster() = default;
    Cluster(const Cluster &) = delete;

    // Runs a cluster to its end, whose blocks follow `first` along x; what goes wrong is in `failure`.
    void run(const Launch &launch, Index first, Failure &failure);

    // The thread whose turn it is; null where nobody can go on.
    BlockThread *next();
    // Threads that have not exited.
    unsigned living() const;
    unsigned size() const { return count; }
    // What the running thread uses of another block.
    Block &block(unsigned rank, const char *user);
    // States of all threads.
    std::string states() const;

    // The barrier of all threads of the cluster; those that have exited do not count.
    void arrive();
    void leave();

    // mbarriers.cpp
    void start_load(const TensorLoad &load);
    // Fails where a copy under way writes these bytes of the shared memory of block `rank`.
    void check_not_loading(unsigned rank, unsigned begin, unsigned end, const char *user);

    Fiber scheduler; // the OS thread's own stack

  private:
    bool anybody_ready() const;
    void choose_block();
    void release_barrier();
    void land_some_loads();
    void land(std::size_t load);

    std::vector<std::unique_ptr<Block>> blocks; // by rank; at least `count`
    unsigned count = 0;
    unsigned turn = 0;    // rank of the block whose turn it is
    unsigned arrived = 0; // at the barrier
    bool shuffled = false;
    Random random{1};
    std::vector<TensorLoad> loads; // under way, oldest first
};

} // namespace vggx_host
