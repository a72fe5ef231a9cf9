#include "cluster.h"

namespace vggx_host {

void Cluster::run(const Launch &launch, Index first, Failure &failure) {
    // It may run on any OS thread.
    scheduler.adopt_this_stack();
    count = launch.kernel->cluster;
    while (blocks.size() < count) {
        blocks.push_back(std::make_unique<Block>());
    }
    const Configuration &settings = configuration();
    shuffled = settings.order == Order::shuffle;
    random = Random(settings.seed + first.x + 1009ull * first.y + 1000003ull * first.z);
    loads.clear();
    arrived = turn = 0;
    for (unsigned rank = 0; rank < count; rank++) {
        blocks[rank]->prepare(*this, rank, launch, {first.x + rank, first.y, first.z}, failure);
    }
    BlockThread *thread = next();
    running = thread;
    switch_fiber(scheduler, thread->fiber);
    running = nullptr;
    for (unsigned rank = 0; rank < count; rank++) {
        blocks[rank]->end();
    }
}

bool Cluster::anybody_ready() const {
    for (unsigned rank = 0; rank < count; rank++) {
        if (blocks[rank]->anybody_ready()) {
            return true;
        }
    }
    return false;
}

unsigned Cluster::living() const {
    unsigned sum = 0;
    for (unsigned rank = 0; rank < count; rank++) {
        sum += blocks[rank]->living_threads();
    }
    return sum;
}

Block &Cluster::block(unsigned rank, const char *user) {
    Block &self = *running_thread().block;
    if (rank >= count) {
        self.fail(719, format("%s block %u of a cluster of %u", user, rank, count));
    }
    if (blocks[rank]->living_threads() == 0) {
        self.fail(719, format("%s block %u of the cluster, which has exited", user, rank));
    }
    return *blocks[rank];
}

BlockThread *Cluster::next() {
    if (!loads.empty()) {
        land_some_loads();
    }
    if (count > 1) {
        choose_block();
    }
    return blocks[turn]->next();
}

// As the turns of warps within a block.
void Cluster::choose_block() {
    if (shuffled && blocks[turn]->anybody_ready() && random.below(8) != 0) {
        return;
    }
    const bool reverse = configuration().order == Order::reverse;
    const unsigned from = shuffled ? random.below(count) : 0;
    for (unsigned step = 0; step < count; step++) {
        const unsigned rank = reverse ? count - 1 - step : (from + step) % count;
        if (blocks[rank]->anybody_ready()) {
            turn = rank;
            return;
        }
    }
}

void Cluster::arrive() {
    if (++arrived == living()) {
        release_barrier();
    }
}

void Cluster::leave() {
    if (arrived != 0 && arrived == living()) {
        release_barrier();
    }
}

void Cluster::release_barrier() {
    arrived = 0;
    for (unsigned rank = 0; rank < count; rank++) {
        blocks[rank]->leave_cluster_barrier();
    }
}

std::string Cluster::states() const {
    std::string text = blocks[0]->states();
    for (unsigned rank = 1; rank < count; rank++) {
        text += format("; block %u of the cluster:", rank) + blocks[rank]->states();
    }
    return text;
}

unsigned cluster_rank() { return running_thread().block->rank; }
void cluster_barrier() { running_thread().block->meet_at_cluster_barrier(); }

} // namespace vggx_host
