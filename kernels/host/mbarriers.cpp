// Barriers in shared memory that count arrivals and bytes, and the copies of boxes of tensors that bring the bytes.
//
// A copy lands when nobody can go on without it (order forward), at once (reverse) or at any time between (shuffle). Its destination
// holds NaN from its start on.
#include "cluster.h"
#include "memory.h"

#include <algorithm>
#include <cstring>

namespace vggx_host {

namespace {

constexpr unsigned barrier_bytes = 8;
// What the counters of an mbarrier hold.
constexpr unsigned most_arrivals = (1u << 20) - 1;
constexpr long most_bytes = (1l << 20) - 1;

} // namespace

PhaseBarrier &Block::barrier_at(unsigned address) {
    for (PhaseBarrier &barrier : barriers) {
        if (barrier.address == address) {
            return barrier;
        }
    }
    fail(719, "uses the " + place_of(address) + ", which was not initialised");
}

void Block::initialise_barrier(unsigned address, unsigned arrivals) {
    const unsigned offset = address - first_shared_address;
    const bool inside = std::any_of(objects.begin(), objects.end(), [&](const SharedObject &object) {
        return offset >= object.begin && offset + barrier_bytes <= object.begin + object.bytes;
    });
    if (!inside || address % barrier_bytes != 0) {
        fail(716, format("initialises an mbarrier at 0x%x, which is not 8 aligned bytes of an object in shared memory", address));
    }
    if (arrivals == 0 || arrivals > most_arrivals) {
        fail(719, format("initialises an mbarrier for %u arrivals", arrivals));
    }
    for (const PhaseBarrier &barrier : barriers) {
        if (barrier.address == address) {
            fail(719, "initialises the " + place_of(address) + " again");
        }
    }
    barriers.push_back({address, arrivals, arrivals, 0, 0, {}});
}

// Wakes those who wait when nothing is missing any more; says whether there were any.
bool Block::complete_phase(PhaseBarrier &barrier) {
    if (barrier.pending != 0 || barrier.bytes != 0) {
        return false;
    }
    barrier.phase++;
    barrier.pending = barrier.arrivals;
    std::vector<BlockThread *> woken;
    woken.swap(barrier.waiting);
    for (BlockThread *thread : woken) {
        if (barrier.phase % 2 == thread->awaited_parity) {
            barrier.waiting.push_back(thread); // for the next one
            continue;
        }
        thread->warp->at_mbarrier &= ~(1u << thread->lane);
        make_ready(*thread->warp, 1u << thread->lane);
    }
    return barrier.waiting.size() < woken.size();
}

void Block::arrive(unsigned address, unsigned bytes) {
    PhaseBarrier &barrier = barrier_at(address);
    if (barrier.pending == 0) {
        fail(719, format("arrives at the %s more often than the %u times of a phase", place_of(address).c_str(), barrier.arrivals));
    }
    barrier.bytes += bytes;
    if (barrier.bytes > most_bytes) {
        fail(719, format("expects %ld bytes at the %s", barrier.bytes, place_of(address).c_str()));
    }
    barrier.pending--;
    if (complete_phase(barrier)) {
        // Who was woken may go on before this thread does: what was free too early is overwritten then.
        running_thread().block->take_turns();
    }
}

void Block::wait_for_phase(unsigned address, unsigned parity) {
    if (parity > 1) {
        fail(719, format("waits for parity %u", parity));
    }
    BlockThread &self = running_thread();
    while (barrier_at(address).phase % 2 == parity) {
        self.awaited_barrier = address;
        self.awaited_parity = parity;
        barrier_at(address).waiting.push_back(&self);
        self.warp->at_mbarrier |= 1u << self.lane;
        leave_turn();
        take_turns();
    }
}

// What both directions demand.
void Block::check_box_address(const TensorMap &map, unsigned address, const char *user) {
    const unsigned alignment = map.swizzle ? 8u * map.swizzle : 128u;
    if (address % alignment != 0) {
        fail(716, format("%s at shared address 0x%x, which is not a multiple of %u", user, address, alignment));
    }
    if (map.swizzle && map.row_bytes() != map.swizzle) {
        fail(719, format("%s of boxes narrower than their swizzle is unknown to host execution", user));
    }
}

TensorMap Block::tensor_map(const void *address, unsigned dimensions, const char *user) {
    TensorMap map;
    std::memcpy(&map, address, sizeof map);
    if (map.magic != tensor_map_magic || map.rank != dimensions) {
        fail(719, format("%s of %u dimensions by something that is no tensor map of so many", user, dimensions));
    }
    return map;
}

// A box is about to be written to this block's shared memory.
void Block::prepare_destination(const TensorLoad &load) {
    const unsigned bytes = load.map.box_bytes(), begin = load.destination - first_shared_address;
    shared(load.destination, bytes, "tma_load");
    check_box_address(load.map, load.destination, "tma_load");
    barrier_at(load.barrier);
    cluster->check_not_loading(rank, begin, begin + bytes, "tma_load writes");
    for (const Warpgroup &warpgroup : warpgroups) {
        for (const Product &product : warpgroup.products) {
            const auto reads = [&](std::uint64_t descriptor, unsigned outer, bool outer_innermost) {
                const OperandRange range = operand_range(descriptor, outer, outer_innermost);
                return begin < range.end && range.begin < begin + bytes;
            };
            if ((!product.a_in_registers && reads(product.a, 64, false)) ||
                reads(product.b, product.accumulators->columns, product.b_by_columns)) {
                fail(719, "tma_load overwrites shared memory that a product under way reads");
            }
        }
    }
    std::memset(arena + begin, poison, bytes);
}

void Cluster::start_load(const TensorLoad &load) {
    for (unsigned rest = load.blocks; rest; rest &= rest - 1) {
        block(unsigned(__builtin_ctz(rest)), "tma_load to").prepare_destination(load);
    }
    loads.push_back(load);
    if (configuration().order == Order::reverse) {
        land(loads.size() - 1);
    }
}

void Cluster::check_not_loading(unsigned rank, unsigned begin, unsigned end, const char *user) {
    for (const TensorLoad &load : loads) {
        const unsigned first = load.destination - first_shared_address;
        if (load.blocks >> rank & 1 && begin < first + load.map.box_bytes() && first < end) {
            running_thread().block->fail(719, format("%s shared memory that a tma_load under way writes", user));
        }
    }
}

void Cluster::land_some_loads() {
    while (!loads.empty() && (!anybody_ready() || (shuffled && random.below(4) == 0))) {
        land(shuffled ? random.below(unsigned(loads.size())) : 0);
    }
}

// What lies outside of the tensor is zero, and counts as bytes too.
void Cluster::land(std::size_t index) {
    const TensorLoad load = loads[index];
    loads.erase(loads.begin() + std::ptrdiff_t(index));
    const unsigned row_bytes = load.map.row_bytes();
    std::vector<unsigned char> box(load.map.box_bytes());
    Block &self = *running_thread().block;
    for (unsigned number = 0; number < box.size() / row_bytes; number++) {
        const BoxRow row = row_of_box(load.map, load.coordinates, number);
        if (row.begin == row.end) {
            continue;
        }
        const auto *source = reinterpret_cast<const unsigned char *>(row.address);
        if (device_of(source, row.end - row.begin) != self.launch->device) {
            self.fail(700, "tma_load from " + describe(source));
        }
        std::memcpy(box.data() + number * row_bytes + row.begin, source, row.end - row.begin);
    }
    for (unsigned rest = load.blocks; rest; rest &= rest - 1) {
        blocks[unsigned(__builtin_ctz(rest))]->receive(load, box);
    }
}

void Block::receive(const TensorLoad &load, const std::vector<unsigned char> &box) {
    if (fenced_arena.empty()) {
        publish_stores();
    }
    for (unsigned byte = 0; byte < box.size(); byte += 16) {
        const unsigned to = swizzled_address(load.destination - first_shared_address + byte, load.map.swizzle);
        std::memcpy(arena + to, box.data() + byte, 16);
        std::memcpy(fenced_arena.data() + to, box.data() + byte, 16);
    }
    PhaseBarrier &barrier = barrier_at(load.barrier);
    barrier.bytes -= long(box.size());
    // Only what another block sends may come before it is expected.
    if (barrier.bytes < 0 && (load.sender == rank || barrier.pending == 0)) {
        fail(719, format("tma_load brings %ld bytes more than are expected at the %s", -barrier.bytes, place_of(load.barrier).c_str()));
    }
    complete_phase(barrier);
}

void Block::check_no_load_under_way() {
    cluster->check_not_loading(rank, 0, arena_bytes, "exits as the last thread with");
    for (const PhaseBarrier &barrier : barriers) {
        if (barrier.bytes < 0) {
            fail(719, format("exits as the last thread after %ld bytes more than were expected at the %s", -barrier.bytes,
                             place_of(barrier.address).c_str()));
        }
    }
}

void Block::fence_proxy() {
    BlockThread &self = running_thread();
    self.warp->fenced |= 1u << self.lane;
    if (self.warp->fenced == (self.warp->existing & ~self.warp->exited)) {
        self.warp->fenced = 0;
        publish_stores();
    }
}

void Block::publish_stores() {
    fenced_arena.resize(arena_bytes, poison);
    for (const SharedObject &object : objects) {
        std::memcpy(fenced_arena.data() + object.begin, arena + object.begin, object.bytes);
    }
}

void initialise_barrier(unsigned address, unsigned arrivals) { running_thread().block->initialise_barrier(address, arrivals); }
void arrive(unsigned address, unsigned bytes) { running_thread().block->arrive(address, bytes); }
void arrive_in_cluster(unsigned address, unsigned rank) {
    running_thread().block->cluster->block(rank, "arrives at an mbarrier of").arrive(address, 0);
}
void wait_for_phase(unsigned address, unsigned parity) { running_thread().block->wait_for_phase(address, parity); }
void fence_proxy() { running_thread().block->fence_proxy(); }

void start_load(unsigned destination, const void *map, unsigned barrier, const int *coordinates, unsigned rank) {
    start_multicast(destination, map, barrier, coordinates, rank, 1u << running_thread().block->rank);
}

void start_multicast(unsigned destination, const void *map, unsigned barrier, const int *coordinates, unsigned rank, unsigned blocks) {
    Block &block = *running_thread().block;
    TensorLoad load = {};
    load.map = block.tensor_map(map, rank, "tma_load");
    std::copy(coordinates, coordinates + rank, load.coordinates);
    load.destination = destination;
    load.barrier = barrier;
    load.blocks = blocks;
    load.sender = block.rank;
    block.cluster->start_load(load);
}

} // namespace vggx_host
