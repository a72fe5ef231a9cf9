#include "block.h"

#include "cluster.h"
#include "copies.h"
#include "memory.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#ifdef VGGX_HOST_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#define VGGX_HOST_FORBID(begin, bytes) __asan_poison_memory_region(begin, bytes)
#define VGGX_HOST_ALLOW(begin, bytes) __asan_unpoison_memory_region(begin, bytes)
#else
#define VGGX_HOST_FORBID(begin, bytes) static_cast<void>(0)
#define VGGX_HOST_ALLOW(begin, bytes) static_cast<void>(0)
#endif

namespace vggx_host {

thread_local Thread *running = nullptr;

namespace {

#ifdef VGGX_HOST_ADDRESS_SANITIZER
constexpr std::size_t stack_bytes = 256 << 10;
#else
constexpr std::size_t stack_bytes = 64 << 10;
#endif

constexpr unsigned everybody = 0xffffffffu;
// In front of the first object, which is 1024-aligned as on the device.
constexpr unsigned front_gap = 1024;
// Behind every object. An odd multiple of 128: later objects have no more alignment than they were promised.
constexpr unsigned gap = 1024 + 128;

const char *name(Collective operation) {
    switch (operation) {
    case Collective::synchronise:
        return "__syncwarp";
    case Collective::shuffle:
        return "a shuffle";
    case Collective::reduce:
        return "a reduction of the warp";
    case Collective::vote:
        return "a vote";
    case Collective::load_matrices:
        return "ldmatrix_x4";
    case Collective::load_transposed_matrices:
        return "ldmatrix_x4_transposed";
    case Collective::multiply_float16:
        return "mma_m16n8k16<float16>";
    case Collective::multiply_bfloat16:
        return "mma_m16n8k16<bfloat16>";
    }
    return "?";
}

void thread_main() {
    Fiber::entered();
    BlockThread &thread = running_thread();
    thread.block->launch->kernel->run(thread.block->launch->parameters.data());
    thread.block->exit();
}

} // namespace

std::string format(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

Block::Block() {
    emergency.allocate(stack_bytes);
    void *memory = mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("vggx host execution: no memory for shared memory");
        std::abort();
    }
    arena = static_cast<unsigned char *>(memory); // page-aligned, hence 1024-aligned
    std::memset(arena, poison, arena_bytes);
}

void Block::end() {
    VGGX_HOST_ALLOW(arena, arena_bytes);
    if (failure->error == 0) {
        check_gaps();
    }
}

void Block::prepare(Cluster &new_cluster, unsigned new_rank, const Launch &new_launch, Index block, Failure &new_failure) {
    cluster = &new_cluster;
    rank = new_rank;
    launch = &new_launch;
    failure = &new_failure;
    turn = 0;
    const Configuration &settings = configuration();
    place = {block, launch->block, launch->grid};
    count = living = launch->block.x * launch->block.y * launch->block.z;
    warp_count = (count + 31) / 32;
    arrived = 0;

    objects.clear();
    barriers.clear();
    for (Warpgroup &warpgroup : warpgroups) {
        warpgroup.arrived = 0;
        warpgroup.products.clear();
        warpgroup.accumulators.clear();
    }
    fenced_arena.clear();
    std::memset(arena, poison, arena_end);
    arena_end = front_gap;
    VGGX_HOST_FORBID(arena, arena_bytes);

    while (threads.size() < count) {
        threads.push_back(std::make_unique<BlockThread>());
        threads.back()->fiber.allocate(stack_bytes);
    }
    for (unsigned w = 0; w < warp_count; w++) {
        Warp &warp = warps[w];
        const unsigned lanes = std::min(32u, count - 32 * w);
        warp.existing = lanes == 32 ? everybody : (1u << lanes) - 1;
        warp.ready = warp.in_collective = warp.at_barrier = warp.exited = 0;
        warp.at_mbarrier = warp.at_warpgroup = warp.at_cluster_barrier = warp.fenced = 0;
        for (unsigned lane = 0; lane < lanes; lane++) {
            const unsigned number = 32 * w + lane;
            BlockThread &thread = *threads[number];
            thread.index = {number % launch->block.x, number / launch->block.x % launch->block.y,
                            number / launch->block.x / launch->block.y};
            thread.place = &place;
            thread.block = this;
            thread.warp = &warp;
            thread.lane = lane;
            thread.copies.clear();
            thread.groups.clear();
            thread.landed_copies = thread.landed_groups = 0;
            thread.committed_products = 0;
            thread.stores.clear();
            thread.committed_stores = 0;
            thread.registers_fenced = thread.product_open = false;
            thread.fiber.prepare(thread_main, number * 192 % 4096);
            warp.lanes[lane] = &thread;
        }
        const bool reverse = settings.order == Order::reverse;
        for (unsigned position = 0; position < 32; position++) {
            const unsigned lane = reverse ? 31 - position : position;
            warp.lane_at[position] = (unsigned char)lane;
            warp.position_of[lane] = (unsigned char)position;
        }
        warp_at[w] = warp.position = reverse ? warp_count - 1 - w : w;
    }
    shuffled = settings.order == Order::shuffle;
    random = Random(settings.seed + block.x + 1009ull * block.y + 1000003ull * block.z);
    order_turns();
    ready_warps = 0;
    for (unsigned w = 0; w < warp_count; w++) {
        make_ready(warps[w], warps[w].existing);
    }
}

// Only while nobody is ready: positions change their meaning.
void Block::order_turns() {
    if (!shuffled) {
        return;
    }
    for (unsigned p = warp_count - 1; p > 0; p--) {
        std::swap(warp_at[p], warp_at[random.below(p + 1)]);
    }
    for (unsigned p = 0; p < warp_count; p++) {
        Warp &warp = warps[warp_at[p]];
        warp.position = p;
        for (unsigned q = 31; q > 0; q--) {
            std::swap(warp.lane_at[q], warp.lane_at[random.below(q + 1)]);
        }
        for (unsigned q = 0; q < 32; q++) {
            warp.position_of[warp.lane_at[q]] = (unsigned char)q;
        }
    }
}

void Block::make_ready(Warp &warp, unsigned lanes) {
    if (lanes == everybody) {
        warp.ready = everybody;
    } else {
        for (unsigned rest = lanes; rest; rest &= rest - 1) {
            warp.ready |= 1u << warp.position_of[__builtin_ctz(rest)];
        }
    }
    if (warp.ready) {
        ready_warps |= 1u << warp.position;
    }
}

// The first warp that is ready goes on until all its lanes wait, its lanes in their order: one warp runs ahead of all
// others as far as it may. Shuffled turns also go from warp to warp.
BlockThread *Block::next() {
    if (shuffled) {
        if (ready_warps != 0 && (!(ready_warps >> turn & 1) || random.below(8) == 0)) {
            unsigned rest = ready_warps;
            for (unsigned skip = random.below(unsigned(__builtin_popcount(rest))); skip; skip--) {
                rest &= rest - 1;
            }
            turn = unsigned(__builtin_ctz(rest));
        }
    } else if (ready_warps != 0) {
        turn = unsigned(__builtin_ctz(ready_warps));
    }
    if (ready_warps == 0) {
        return nullptr;
    }
    Warp &warp = warps[warp_at[turn]];
    return warp.lanes[warp.lane_at[__builtin_ctz(warp.ready)]];
}

// Lets the others go on, until it is the running thread's turn again.
void Block::take_turns() {
    BlockThread &self = running_thread();
    BlockThread *other = cluster->next();
    if (other == nullptr) {
        stuck();
    }
    if (other != &self) {
        running = other;
        switch_fiber(self.fiber, other->fiber);
    }
}

static inline void not_ready(Warp &warp, unsigned &ready_warps, unsigned lane) {
    warp.ready &= ~(1u << warp.position_of[lane]);
    if (warp.ready == 0) {
        ready_warps &= ~(1u << warp.position);
    }
}

// The running thread waits from now on.
void Block::leave_turn() {
    BlockThread &self = running_thread();
    not_ready(*self.warp, ready_warps, self.lane);
}

// What makes a collective impossible, once for all its lanes.
void Block::check_collective(const Warp &warp, Collective operation, unsigned mask, unsigned lane) {
    if (!(mask >> lane & 1)) {
        fail(719, format("called %s with mask 0x%08x, in which it is not", name(operation), mask));
    }
    if (mask & ~warp.existing) {
        fail(719, format("called %s with mask 0x%08x, but its warp has only %d lanes", name(operation), mask,
                         __builtin_popcount(warp.existing)));
    }
    if (mask & warp.exited) {
        fail(719, format("called %s with mask 0x%08x, but lanes 0x%08x have exited", name(operation), mask, mask & warp.exited));
    }
    // Whoever waits already and shares a lane must wait for the same.
    for (unsigned rest = warp.in_collective; rest; rest &= rest - 1) {
        const unsigned other = unsigned(__builtin_ctz(rest));
        if ((warp.mask[other] & mask) != 0 && (warp.operation[other] != operation || warp.mask[other] != mask)) {
            fail(719, format("called %s with mask 0x%08x, but lane %u waits in %s with mask 0x%08x", name(operation), mask, other,
                             name(warp.operation[other]), warp.mask[other]));
        }
    }
}

__attribute__((always_inline)) inline void Block::meet_in_collective(Collective operation, unsigned mask, void *operands) {
    BlockThread &self = running_thread();
    Warp &warp = *self.warp;
    const unsigned lane = self.lane;
    // All that wait have been compared with each other, so one that agrees stands for them, if all lanes take part.
    const unsigned others = warp.in_collective, first = unsigned(__builtin_ctz(others | 0x80000000u));
    if (mask != everybody || (others == 0 ? (warp.existing & ~warp.exited) != everybody
                                          : warp.operation[first] != operation || warp.mask[first] != mask)) {
        check_collective(warp, operation, mask, lane);
    }
    warp.operation[lane] = operation;
    warp.mask[lane] = mask;
    warp.operands[lane] = operands;
    warp.in_collective = others | 1u << lane;
    warp.ready &= ~(1u << warp.position_of[lane]);
    if ((warp.in_collective & mask) == mask) {
        perform(warp, operation, mask);
        warp.in_collective &= ~mask;
        make_ready(warp, mask);
    }
    if (shuffled || warp.ready == 0) {
        if (warp.ready == 0) {
            ready_warps &= ~(1u << warp.position);
        }
        take_turns();
        return;
    }
    // No other warp can have become ready in the meantime.
    BlockThread *next = warp.lanes[warp.lane_at[__builtin_ctz(warp.ready)]];
    running = next;
    if (next != &self) {
        switch_fiber(self.fiber, next->fiber);
    }
}

void Block::release_barrier() {
    arrived = 0;
    order_turns();
    for (unsigned w = 0; w < warp_count; w++) {
        const unsigned lanes = warps[w].at_barrier;
        warps[w].at_barrier = 0;
        make_ready(warps[w], lanes);
    }
}

void Block::meet_at_barrier() {
    BlockThread &self = running_thread();
    self.warp->at_barrier |= 1u << self.lane;
    not_ready(*self.warp, ready_warps, self.lane);
    if (++arrived == living) {
        release_barrier();
    }
    take_turns();
}

void Block::meet_at_cluster_barrier() {
    BlockThread &self = running_thread();
    self.warp->at_cluster_barrier |= 1u << self.lane;
    leave_turn();
    cluster->arrive();
    take_turns();
}

void Block::leave_cluster_barrier() {
    for (unsigned w = 0; w < warp_count; w++) {
        const unsigned lanes = warps[w].at_cluster_barrier;
        warps[w].at_cluster_barrier = 0;
        make_ready(warps[w], lanes);
    }
}

void Block::exit() {
    BlockThread &self = running_thread();
    // Copies that nobody waited for end at some time: here, over what the memory may be used for by then.
    self.groups.push_back(self.copies.size());
    wait_for_copies(0);
    finish_stores();
    check_nothing_under_way();
    self.warp->exited |= 1u << self.lane;
    not_ready(*self.warp, ready_warps, self.lane);
    // Threads that have exited do not count at a barrier.
    if (--living != 0 && arrived == living) {
        release_barrier();
    }
    cluster->leave();
    const bool last = cluster->living() == 0;
    BlockThread *other = last ? nullptr : cluster->next();
    if (!last && other == nullptr) {
        stuck();
    }
    running = other;
    abandon_fiber(self.fiber, other ? other->fiber : cluster->scheduler);
}

std::string Block::where(bool thread) const {
    std::string text = format("kernel %s, block (%u, %u, %u)", launch->kernel->name, place.block.x, place.block.y, place.block.z);
    if (thread) {
        const Index &index = running->index;
        text += format(", thread (%u, %u, %u)", index.x, index.y, index.z);
    }
    return text;
}

void Block::fail(int error, const std::string &message) {
    BlockThread &self = running_thread();
    failure->set(error, self.block->where(true) + ": " + message);
    running = nullptr;
    abandon_fiber(self.fiber, cluster->scheduler);
}

std::string Block::state_at_barrier(const BlockThread &thread) {
    const PhaseBarrier &barrier = barrier_at(thread.awaited_barrier);
    return format("waits for parity %u of the %s: %u of %u arrivals and %ld bytes are missing", thread.awaited_parity,
                  place_of(barrier.address).c_str(), barrier.pending, barrier.arrivals, barrier.bytes);
}

std::string Block::place_of(unsigned address) const {
    const unsigned offset = address - first_shared_address;
    for (std::size_t number = objects.size(); number-- > 0;) {
        if (offset >= objects[number].begin) {
            return format("mbarrier at byte %u of object %zu in shared memory", offset - objects[number].begin, number);
        }
    }
    return format("mbarrier at 0x%x", address);
}

// Nobody can go on: names every thread's state, in runs of threads with the same.
void Block::stuck() {
    failure->set(719, where(false) + " is stuck:" + cluster->states());
    BlockThread &self = running_thread();
    running = nullptr;
    abandon_fiber(self.fiber, cluster->scheduler);
}

std::string Block::states() {
    std::string text, previous;
    unsigned first = 0;
    for (unsigned number = 0; number <= count; number++) {
        std::string state;
        if (number < count) {
            const BlockThread &thread = *threads[number];
            const unsigned bit = 1u << thread.lane;
            state = thread.warp->exited & bit          ? "exited"
                    : thread.warp->at_barrier & bit    ? "at __syncthreads"
                    : thread.warp->at_mbarrier & bit   ? state_at_barrier(thread)
                    : thread.warp->at_warpgroup & bit  ? "in a product of its warpgroup"
                    : thread.warp->at_cluster_barrier & bit ? "at cluster_barrier"
                    : thread.warp->in_collective & bit ? format("in %s, mask 0x%08x", name(thread.warp->operation[thread.lane]), thread.warp->mask[thread.lane])
                                                       : "ready";
        }
        if (number > 0 && state != previous) {
            text += first + 1 == number ? format(" thread %u %s;", first, previous.c_str())
                                        : format(" threads %u-%u %s;", first, number - 1, previous.c_str());
            first = number;
        }
        previous = state;
    }
    text.pop_back();
    return text;
}

void *Block::take_shared(unsigned used, unsigned taken, std::size_t bytes, unsigned alignment) {
    if (taken < objects.size()) {
        if (objects[taken].bytes != bytes) {
            fail(719, format("takes %zu bytes of shared memory as object %u, another thread took %u", bytes, taken,
                             objects[taken].bytes));
        }
        return arena + objects[taken].begin;
    }
    if (used + bytes > launch->shared_bytes) {
        fail(700, format("takes %zu bytes of shared memory after %u others, but the launch asked for %u bytes", bytes, used,
                         launch->shared_bytes));
    }
    const SharedObject object = {(arena_end + alignment - 1) / alignment * alignment, unsigned(bytes)};
    arena_end = (object.begin + object.bytes + 127u) / 128u * 128u + gap;
    if (arena_end > arena_bytes) {
        fail(719, "takes too many objects in shared memory for host execution");
    }
    VGGX_HOST_ALLOW(arena + object.begin, object.bytes);
    objects.push_back(object);
    return arena + object.begin;
}

unsigned Block::shared_address(const void *pointer) {
    const unsigned char *byte = static_cast<const unsigned char *>(pointer);
    for (const SharedObject &object : objects) {
        if (byte >= arena + object.begin && byte <= arena + object.begin + object.bytes) {
            return first_shared_address + unsigned(byte - arena);
        }
    }
    fail(700, "asked for the shared address of something that is in no object in shared memory");
}

unsigned char *Block::shared(unsigned address, unsigned bytes, const char *user) {
    if (address % 16 != 0) {
        fail(716, format("%s at shared address 0x%x, which is not a multiple of 16", user, address));
    }
    const unsigned offset = address - first_shared_address;
    for (const SharedObject &object : objects) {
        if (offset >= object.begin && offset + bytes <= object.begin + object.bytes) {
            return arena + offset;
        }
    }
    // Say how far beside which object.
    for (std::size_t number = objects.size(); number-- > 0;) {
        if (offset < arena_bytes && offset >= objects[number].begin) {
            fail(700, format("%s at byte %u of object %zu in shared memory, which has %u bytes", user,
                             offset - objects[number].begin, number, objects[number].bytes));
        }
    }
    fail(700, format("%s at 0x%x, which is no address of an object in shared memory", user, address));
}

void Block::check_gaps() {
    unsigned begin = 0;
    for (std::size_t number = 0; number <= objects.size(); number++) {
        const unsigned end = number < objects.size() ? objects[number].begin : arena_end;
        const unsigned char *touched =
            std::find_if(arena + begin, arena + end, [](unsigned char byte) { return byte != poison; });
        if (touched != arena + end) {
            const std::string what =
                number == 0 ? "wrote before the beginning of its shared memory"
                            : format("wrote at byte %u of object %zu in shared memory, which has %u bytes",
                                     unsigned(touched - arena) - objects[number - 1].begin, number - 1, objects[number - 1].bytes);
            failure->set(700, where(false) + ": " + what);
            std::memset(arena, poison, arena_bytes);
            return;
        }
        begin = number < objects.size() ? objects[number].begin + objects[number].bytes : end;
    }
}

void collective(Collective operation, unsigned mask, void *operands) {
    running_thread().block->meet_in_collective(operation, mask, operands);
}

void barrier() { running_thread().block->meet_at_barrier(); }

void fail(int error, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    running_thread().block->fail(error, text);
}

void *take_shared(unsigned used, unsigned taken, std::size_t bytes, unsigned alignment) {
    return running_thread().block->take_shared(used, taken, bytes, alignment);
}

} // namespace vggx_host
